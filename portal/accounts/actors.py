"""From a person and a request to the acting party that events name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit.actor import Actor, ActorKind
from portal.accounts.models import User

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    from audit.http import PortalRequest


def actor_of(
    user: AbstractBaseUser | AnonymousUser | None, request: PortalRequest
) -> Actor:
    """Return who acts in this request: the person, or an anonymous address."""
    if not isinstance(user, User):
        return Actor(
            kind=ActorKind.ANONYMOUS,
            address=request.client_address,
            request_id=request.request_id,
        )
    return Actor(
        kind=ActorKind.USER,
        id=user.ref.id,
        label=user.ref.label,
        role=user.role,
        address=request.client_address,
        request_id=request.request_id,
    )

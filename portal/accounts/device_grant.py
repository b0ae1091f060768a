"""The device authorization grant (RFC 8628) as our command line uses it.

allauth keeps codes and issues tokens. What is added here: who asked, from where
and when, shown to the person who is about to agree (RFC 8628 §5.4, remote
phishing), and the event beside the decision.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from allauth.idp.oidc.internal.oauthlib import device_codes
from django.core.cache import cache
from django.db import transaction

from audit.actor import Ref
from audit.events import EventCode, Outcome
from audit.services import record
from portal.accounts.errors import CodeGoneError
from portal.accounts.setup import SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allauth.idp.oidc.models import Client

    from audit.actor import Actor
    from portal.accounts.models import User

KEEP_SECONDS: Final = 3600
REDEEM_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """What a command line asked for."""

    device_code: str
    client_id: str
    client_name: str
    scopes: tuple[str, ...]
    requester_address: str
    requested_at: datetime | None


def remember_requester(*, device_code: str, address: str, now: datetime) -> None:
    """Keep from where and when a code was asked for, as long as codes live."""
    cache.set(_key(device_code), (address, now.isoformat()), timeout=KEEP_SECONDS)


def described(*, device_code: str, client: Client) -> DeviceRequest:
    """Return what the person is about to agree to.

    Raises:
        CodeGoneError: the code has expired meanwhile.
    """
    data = cache.get(device_codes.cache_device_code_key(device_code))
    if data is None:
        raise _gone()
    address, moment = cache.get(_key(device_code)) or ("", None)
    scopes = data["scope"] or client.get_default_scopes()
    return DeviceRequest(
        device_code=device_code,
        client_id=client.id,
        client_name=client.name,
        scopes=tuple(SCOPES.get(scope, scope) for scope in scopes),
        requester_address=address,
        requested_at=datetime.fromisoformat(moment) if moment else None,
    )


@transaction.atomic
def decide(
    asked: DeviceRequest, *, user: User, confirmed: bool, actor: Actor, now: datetime
) -> None:
    """Record the person's decision and let the command line know.

    Raises:
        CodeGoneError: somebody decided before, or the code has expired; nothing
            was recorded then.
    """
    record(
        EventCode.CLIENT_AUTHORIZE,
        actor=actor,
        now=now,
        outcome=Outcome.DONE if confirmed else Outcome.REFUSED,
        person=user.ref,
        target=Ref(id=asked.client_id, label=asked.client_name),
        details={
            "scopes": list(asked.scopes),
            "requester_address": asked.requester_address,
        },
    )
    if not device_codes.confirm_or_deny_device_code(
        user, asked.device_code, confirm=confirmed
    ):
        raise _gone()


@contextmanager
def redeeming(secret: str) -> Iterator[bool]:
    """Say whether nobody else is redeeming this code or refresh token right now.

    allauth looks it up and then deletes it: without this, of many who come at once
    several would get tokens (attack A24).
    """
    key = f"peerage.redeem.{hashlib.sha256(secret.encode()).hexdigest()}"
    alone = cache.add(key, "", timeout=REDEEM_SECONDS)
    try:
        yield alone
    finally:
        if alone:
            cache.delete(key)


def _gone() -> CodeGoneError:
    return CodeGoneError("This code was answered already, or has expired.")


def _key(device_code: str) -> str:
    return f"peerage.device_request[{device_code}]"

"""Reading people and groups, through one gate: readers see all, others themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.http import Http404

from portal.accounts.models import ApiCredential, Group, User

if TYPE_CHECKING:
    from django.db.models import QuerySet


def list_users_for(viewer: User) -> QuerySet[User]:
    """Return the people whom the viewer may see."""
    users = User.objects.prefetch_related("groups")
    return users if viewer.is_reader else users.filter(pk=viewer.pk)


def get_user_for(viewer: User, user_id: int) -> User:
    """Return a person, or raise 404 when the viewer may not know of them."""
    user = list_users_for(viewer).filter(pk=user_id).first()
    if user is None:
        msg = "no such user"
        raise Http404(msg)
    return user


def list_groups_for(viewer: User) -> QuerySet[Group]:
    """Return the groups whom the viewer may see: all, or their own."""
    groups = Group.objects.all()
    return groups if viewer.is_reader else groups.filter(users=viewer)


def list_credentials_for(viewer: User) -> QuerySet[ApiCredential]:
    """Return the credentials of programs to a reader, newest first."""
    if not viewer.is_reader:
        raise PermissionDenied
    return ApiCredential.objects.select_related("creator")


def get_credential_to_revoke_for(viewer: User, credential_id: int) -> ApiCredential:
    """Return a credential to an administrator."""
    if not viewer.is_reader:
        raise Http404
    found = list_credentials_for(viewer).filter(pk=credential_id).first()
    if found is None:
        raise Http404
    if not viewer.is_administrator:
        raise PermissionDenied
    return found


def find_user(text: str) -> User | None:
    """Return the person of a machine id (`us_7`) or of a subject, for commands."""
    prefix, _, number = text.partition("_")
    if prefix == "us" and number.isdecimal():
        return User.objects.filter(pk=int(number)).first()
    found = list(User.objects.filter(subject=text)[:2])
    return found[0] if len(found) == 1 else None

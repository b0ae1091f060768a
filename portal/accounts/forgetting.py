"""Forget a person: the row stays, and says nobody (ADR 0029)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allauth.account.models import EmailAddress
from allauth.idp.oidc.models import Token
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db.models import Q

from portal.accounts.models import Authentication, Membership, Role, User

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.db.models import Model

# What is theirs alone and of no use to anybody else.
THEIRS: Final[tuple[type[Model], ...]] = (
    Authentication,
    Membership,
    EmailAddress,
    SocialAccount,
    Token,
    UserSession,
    LogEntry,
)


def names_of(user: User, labels: Collection[str]) -> tuple[list[str], list[str]]:
    """Return what a person is called, `labels` among it: what is theirs alone, and not.

    Somebody of the same name cannot be told from them in a text, so that such a name
    is no trace of either.
    """
    others = User.objects.exclude(pk=user.pk)
    held = {user.name, user.email, user.subject, user.username, *labels} - {""}
    shared = {
        name
        for name in held
        if others.filter(
            Q(name__iexact=name)
            | Q(email__iexact=name)
            | Q(subject__iexact=name)
            | Q(username__iexact=name)
        ).exists()
    }
    return sorted(held - shared), sorted(shared)


def forget_user(user: User) -> None:
    """Blank a person's row; the number stays theirs for ever.

    Whoever comes with their identity again is somebody new.
    """
    sessions = UserSession.objects.filter(user=user).values("session_key")
    Session.objects.filter(session_key__in=sessions).delete()
    for model in THEIRS:
        model._default_manager.filter(user=user).delete()
    user.name = user.email = ""
    user.subject = user.username = f"forgotten-{user.pk}"
    user.role = Role.EMPLOYEE
    user.authenticated_at = user.last_login = None
    user.save(
        update_fields=(
            *("name", "email", "subject", "username", "role"),
            *("authenticated_at", "last_login"),
        )
    )

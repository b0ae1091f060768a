"""Many people named by a list, and what ends when they are revoked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from allauth.usersessions.models import UserSession
from django.db.models import Q

from audit.models import Connection, Verdict
from peers.models import Device, DeviceState
from portal.accounts.models import User
from portal.accounts.selectors import find_user

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The people of a list, once each and by id, and the words that name nobody."""

    users: Sequence[User]
    unknown: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """How much ends."""

    people: int
    devices: int
    sessions: int
    connections: int


def named_people(text: str) -> Named:
    """Return whom a text names, a line each: `us_7`, a subject, an e-mail address.

    What follows # is a remark. A word that fits several people names nobody.
    """
    found: dict[int, User] = {}
    unknown = []
    for line in text.splitlines():
        word = line.partition("#")[0].strip()
        if not word:
            continue
        user = _person(word)
        if user is None:
            unknown.append(word)
        else:
            found[user.pk] = user
    return Named(users=[found[pk] for pk in sorted(found)], unknown=unknown)


def what_ends(users: Sequence[User]) -> Ends:
    """Return how much of people ends when they are revoked; not a gate."""
    devices = Device.objects.filter(owner__in=users, state=DeviceState.ACTIVE)
    connections = Connection.objects.filter(
        person_id__in=[user.ref.id for user in users],
        ended_at__isnull=True,
        verdict=Verdict.ALLOWED,
    )
    return Ends(
        people=len(users),
        devices=devices.count(),
        sessions=UserSession.objects.filter(user__in=users).count(),
        connections=connections.count(),
    )


def _person(word: str) -> User | None:
    if "@" not in word:
        return find_user(word)
    # One person's subject may be written like the address of another one.
    found = User.objects.filter(Q(email__iexact=word) | Q(subject=word))[:2]
    return found[0] if len(found) == 1 else None

"""What an identity provider says about a person, made safe to keep. Pure.

Text with control characters is refused, never cleaned: cleaning could turn
"auditors" plus a line break into the name of another group, or hide a line in the log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from audit.text import first_invisible
from portal.accounts.errors import InvalidIdentityError
from portal.accounts.models import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEXT: Final = 255
MAX_EMAIL: Final = 254
MAX_GROUPS: Final = 1000
MAX_METHOD: Final = 64
MAX_METHODS: Final = 16
SKEW: Final = 60
"""How many seconds the provider's clock may be ahead."""

# Zero-width joiners are how names in Persian and Indic scripts are spelled.
ALLOWED_FORMATS: Final = "\u200c\u200d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """When and how somebody proved who they are; None and empty say nothing.

    `amr` are the methods (RFC 8176), sorted; `acr` is the class the provider gives.
    """

    proven_at: datetime | None
    amr: tuple[str, ...]
    acr: str


def checked_text(value: object, *, what: str, limit: int = MAX_TEXT) -> str:
    """Return a text without control characters and not longer than `limit`.

    Raises:
        InvalidIdentityError: not a text, too long, or with characters that
            cannot be seen.
    """
    if not isinstance(value, str):
        msg = f"The identity provider sent {what} that is not a text."
        raise InvalidIdentityError(msg)
    if len(value) > limit:
        msg = f"The identity provider sent {what} of more than {limit} characters."
        raise InvalidIdentityError(msg)
    if first_invisible(value, allowed=ALLOWED_FORMATS):
        msg = f"The identity provider sent {what} with control characters."
        raise InvalidIdentityError(msg)
    return value.strip()


def checked_groups(value: object) -> frozenset[str]:
    """Return the names in a groups claim; an absent claim is no group at all.

    Raises:
        InvalidIdentityError: neither a list of names nor one name.
    """
    if value is None:
        return frozenset()
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple | set | frozenset):
        msg = "The identity provider sent groups that are not a list."
        raise InvalidIdentityError(msg)
    if len(names) > MAX_GROUPS:
        msg = f"The identity provider sent more than {MAX_GROUPS} groups."
        raise InvalidIdentityError(msg)
    for name in names:
        if not checked_text(name, what="a group name"):
            msg = "The identity provider sent a group without a name."
            raise InvalidIdentityError(msg)
    # As they came: without its blanks "owners " would be another group, "owners".
    return frozenset(names)


def checked_proof(claims: Mapping[str, object], *, now: datetime) -> Proof:
    """Return what an id_token says of the proof; what is malformed is not there.

    Nothing is shortened or guessed: half a method could be the name of another.
    """
    methods = claims.get("amr")
    strength = claims.get("acr")
    return Proof(
        proven_at=_proven_at(claims.get("auth_time"), now),
        amr=tuple(
            sorted({m for m in methods[:MAX_METHODS] if _is_method(m)})
            if isinstance(methods, list)
            else ()
        ),
        acr=strength if isinstance(strength, str) and _is_method(strength) else "",
    )


def role_for(groups: frozenset[str], *, role_groups: Mapping[Role, str]) -> Role | None:
    """Return the highest role that a person's groups give.

    None when no group gives any role in this deployment: then roles are kept by
    hand and a sign-in must not take them away.
    """
    named = {role: name for role, name in role_groups.items() if name}
    if not named:
        return None
    for role in (Role.OWNER, Role.ADMINISTRATOR, Role.AUDITOR):
        if named.get(role) in groups:
            return role
    return Role.EMPLOYEE


def _proven_at(auth_time: object, now: datetime) -> datetime | None:
    """Return a moment of the past; a clock that is ahead a little means now."""
    if type(auth_time) is not int or not 0 < auth_time <= now.timestamp() + SKEW:
        return None
    return min(now, datetime.fromtimestamp(auth_time, tz=UTC))


def _is_method(value: object) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_METHOD
        and value.isascii()
        and value.isprintable()
    )


def username_for(*, issuer: str, subject: str) -> str:
    """Return the machine name of an identity: stable, and never shown."""
    text = f"{issuer}\0{subject}".encode()
    return f"sso-{hashlib.sha256(text).hexdigest()[:40]}"

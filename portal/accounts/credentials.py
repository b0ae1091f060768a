"""Credentials of programs: made, shown once, judged at every use, revoked (ADR-0015).

* A secret is 256 random bits with the credential's id in front. Only its SHA-256 is
  stored; it is compared in constant time.
* A credential opens something while it is neither revoked nor over and its creator is
  an active administrator; each use asks anew.
* An access token is worth no more than the credential it was given for.
* Revoking ends the access tokens in the same transaction.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Q

from audit.actor import Actor, ActorKind
from audit.events import EventCode, Outcome
from audit.services import record
from audit.text import first_invisible
from portal.accounts.errors import InvalidCredentialError
from portal.accounts.models import ApiCredential, ApiToken, CredentialKind, Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from portal.accounts.models import User

LONGEST: Final = timedelta(days=366)
TOKEN_LIFETIME: Final = timedelta(hours=1)
NAME_LENGTH: Final = 64
USE_NOTED_EVERY: Final = timedelta(minutes=1)

SECRET: Final = re.compile(r"peerage_ac_([1-9][0-9]{0,17})_[A-Za-z0-9_-]{43}")
TOKEN: Final = re.compile(r"peerage_at_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A program that proved itself, and what it may do now."""

    credential: ApiCredential
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Return whether a scope was given; who may write may read."""
        return scope in self.scopes or (
            scope is Scope.POLICY_READ and Scope.POLICY_WRITE in self.scopes
        )

    def actor(self, *, address: str, request_id: str) -> Actor:
        """Return who acts, for events."""
        found = self.credential
        return Actor(
            kind=ActorKind.CREDENTIAL,
            id=found.ref.id,
            label=f"{found.name} (made by {found.creator})",
            address=address,
            request_id=request_id,
        )


def create_credential(
    *,
    kind: CredentialKind,
    name: str,
    scopes: Collection[str],
    expires_at: datetime,
    creator: User,
    actor: Actor,
    now: datetime,
) -> tuple[ApiCredential, str]:
    """Make a credential; return it and its secret, which is known only now.

    Raises:
        InvalidCredentialError: no name, no known scope, or an impossible end.
    """
    try:
        _check(name, scopes, expires_at, now)
    except InvalidCredentialError as exc:
        record(
            EventCode.API_TOKEN_CREATE,
            actor=actor,
            now=now,
            outcome=Outcome.REFUSED,
            reason=str(exc),
        )
        raise
    with transaction.atomic():
        made = ApiCredential.objects.create(
            kind=kind,
            name=_clean(name),
            scopes=" ".join(sorted(set(scopes))),
            creator=creator,
            created_at=now,
            expires_at=expires_at,
        )
        secret = f"peerage_{made.ref.id}_{secrets.token_urlsafe(32)}"
        made.secret_hash = _hash(secret)
        made.save(update_fields=["secret_hash"])
        record(
            EventCode.API_TOKEN_CREATE,
            actor=actor,
            now=now,
            target=made.ref,
            details={
                "kind": kind.value,
                "scopes": sorted(made.scope_set),
                "expires_at": expires_at.isoformat(),
            },
        )
    return made, secret


@transaction.atomic
def revoke_credential(
    *, credential: ApiCredential, reason: str, actor: Actor, now: datetime
) -> ApiCredential:
    """Revoke a credential and its tokens; one that was revoked stays as it is."""
    revoked = ApiCredential.objects.filter(
        pk=credential.pk, revoked_at__isnull=True
    ).update(revoked_at=now)
    ApiToken.objects.filter(credential=credential).delete()
    credential.refresh_from_db(fields=["revoked_at"])
    if revoked:
        record(
            EventCode.API_TOKEN_REVOKE,
            actor=actor,
            now=now,
            target=credential.ref,
            reason=reason,
        )
    return credential


@transaction.atomic
def revoke_credentials_of(
    *, users: Collection[User], actor: Actor, now: datetime
) -> Mapping[int, int]:
    """Revoke what people made for programs; return how many each had."""
    live = ApiCredential.objects.filter(creator__in=users, revoked_at__isnull=True)
    found = [*live.order_by("pk")]
    for credential in found:
        revoke_credential(
            credential=credential,
            reason="its creator was revoked",
            actor=actor,
            now=now,
        )
    return Counter(credential.creator_id for credential in found)


def verified(
    secret: str, *, kind: CredentialKind, now: datetime
) -> ApiCredential | None:
    """Return the credential that a secret proves, if it opens anything now."""
    match = SECRET.fullmatch(secret)
    if match is None:
        return None
    found = (
        ApiCredential.objects.select_related("creator")
        .filter(pk=int(match[1]), kind=kind)
        .first()
    )
    if found is None or not hmac.compare_digest(found.secret_hash, _hash(secret)):
        return None
    return found if is_live(found, now=now) else None


def caller_of(text: str, *, now: datetime) -> Caller | None:
    """Return the program behind an API key or an access token."""
    if TOKEN.fullmatch(text) is None:
        found = verified(text, kind=CredentialKind.API_KEY, now=now)
        return (
            None if found is None else Caller(credential=found, scopes=_scopes(found))
        )
    # Found by its hash: whoever cannot make the hash's input learns nothing from time.
    token = (
        ApiToken.objects.select_related("credential__creator")
        .filter(hash=_hash(text), expires_at__gt=now)
        .first()
    )
    if token is None or not is_live(token.credential, now=now):
        return None
    scopes = frozenset(token.scopes.split()) & _scopes(token.credential)
    return Caller(credential=token.credential, scopes=scopes)


@transaction.atomic
def issue_token(
    *,
    credential: ApiCredential,
    scopes: Collection[str],
    actor: Actor,
    now: datetime,
) -> str:
    """Give an OAuth client an access token; those that are over are forgotten."""
    text = f"peerage_at_{secrets.token_urlsafe(32)}"
    ApiToken.objects.filter(expires_at__lte=now).delete()
    ApiToken.objects.create(
        credential=credential,
        hash=_hash(text),
        scopes=" ".join(sorted(scopes)),
        created_at=now,
        expires_at=token_end(credential, now=now),
    )
    note_use(credential=credential, address=actor.address, now=now)
    record(
        EventCode.API_TOKEN_CREATE,
        actor=actor,
        now=now,
        target=credential.ref,
        details={"kind": "access_token", "scopes": sorted(scopes)},
    )
    return text


def token_end(credential: ApiCredential, *, now: datetime) -> datetime:
    """Return when an access token that is given now is over."""
    return min(now + TOKEN_LIFETIME, credential.expires_at)


def note_use(*, credential: ApiCredential, address: str, now: datetime) -> None:
    """Remember when and from where a credential was last used, to the minute."""
    ApiCredential.objects.filter(
        Q(last_used_at__isnull=True) | Q(last_used_at__lte=now - USE_NOTED_EVERY),
        pk=credential.pk,
    ).update(last_used_at=now, last_used_address=address)


def is_live(credential: ApiCredential, *, now: datetime) -> bool:
    """Return whether a credential opens anything at a moment."""
    return (
        credential.revoked_at is None
        and now < credential.expires_at
        and credential.creator.is_administrator
    )


def _scopes(credential: ApiCredential) -> frozenset[str]:
    # A scope that this version does not know opens nothing.
    return credential.scope_set & frozenset(Scope.values)


def _check(
    name: str, scopes: Collection[str], expires_at: datetime, now: datetime
) -> None:
    cleaned = _clean(name)
    if not cleaned or len(cleaned) > NAME_LENGTH or first_invisible(name):
        msg = f"a name has 1 to {NAME_LENGTH} visible characters"
        raise InvalidCredentialError(msg)
    if not scopes or not set(scopes) <= set(Scope.values):
        msg = f"scopes are one or more of {', '.join(Scope.values)}"
        raise InvalidCredentialError(msg)
    if not now < expires_at <= now + LONGEST:
        msg = f"a credential ends in the future, and within {LONGEST.days} days"
        raise InvalidCredentialError(msg)


def _clean(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

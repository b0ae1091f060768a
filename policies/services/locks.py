"""Locks: made and lifted, never deleted. A refusal changes nothing and is logged."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from audit.actor import Ref
from audit.events import EventCode, Outcome
from audit.services import NOBODY, record
from peers.models import Device, Gateway
from policies.errors import InvalidLockError, PolicyError
from policies.models import Application, Lock
from policies.names import clean_description
from policies.services.publishing import publish_on_commit
from portal.accounts.models import Group, User

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from audit.actor import Actor
    from policies.models import Lockable

LONGEST: Final = timedelta(days=3653)
"""Ten years: a longer time is a slip of the keyboard, "no end" is said by name."""


def create_lock(
    *,
    target: Lockable,
    message: str,
    expires_at: datetime | None = None,
    actor: Actor,
    now: datetime,
) -> Lock:
    """Deny everything to, or on, one target, whatever is granted.

    Without `expires_at` it stays until it is lifted.

    Raises:
        InvalidLockError: there is no message, or the time is impossible.
        InvalidNameError: the message is too long or not printable.
    """
    try:
        with transaction.atomic():
            said = clean_description(message.strip())
            _check(said, expires_at, now)
            lock = Lock.objects.create(
                **{_field(target): target},
                message=said,
                created_at=now,
                expires_at=expires_at,
            )
            _record(EventCode.LOCK_CREATE, lock, actor, now)
    except PolicyError as exc:
        record(
            EventCode.LOCK_CREATE,
            actor=actor,
            now=now,
            outcome=Outcome.REFUSED,
            target=Ref(id=target.ref.id, label=f"{_field(target)} {target}"),
            reason=str(exc),
            **_spoken_of(target),
        )
        raise
    return lock


def lift_lock(*, lock: Lock, actor: Actor, now: datetime) -> Lock:
    """Lift a lock now; one that was lifted before stays as it is."""
    with transaction.atomic():
        lifted = Lock.objects.filter(pk=lock.pk, lifted_at__isnull=True).update(
            lifted_at=now
        )
        lock.refresh_from_db()
        if lifted:
            _record(EventCode.LOCK_DELETE, lock, actor, now)
    return lock


def _check(message: str, expires_at: datetime | None, now: datetime) -> None:
    if not message:
        msg = "say why: the message is told to those whom the lock stops"
        raise InvalidLockError(msg)
    if expires_at is None:
        return
    if expires_at <= now:
        msg = f"the end, {expires_at:%Y-%m-%d %H:%M} UTC, is past"
        raise InvalidLockError(msg)
    if expires_at > now + LONGEST:
        msg = "a lock lasts ten years at most; leave the end open if there is none"
        raise InvalidLockError(msg)


def _field(target: Lockable) -> str:
    match target:
        case User():
            return "user"
        case Device():
            return "device"
        case Group():
            return "group"
        case Application():
            return "application"
        case Gateway():
            return "gateway"


def _spoken_of(target: Lockable) -> dict[str, Any]:
    """Return under which names the log finds the target again."""
    match target:
        case User():
            return {"person": target.ref}
        case Device():
            return {"person": target.owner.ref, "device": target.ref}
        case Group():
            return {"person": NOBODY}
        case Application():
            return {"application": target.ref}
        case Gateway():
            return {"gateway": target.ref}


def _affected(target: Lockable) -> Sequence[int] | None:
    """Return the gateways that may serve the target, or None for all."""
    match target:
        case Application():
            return [*target.gateways.values_list("pk", flat=True)]
        case Gateway():
            return [target.pk]
        case _:
            return None


def _record(code: EventCode, lock: Lock, actor: Actor, now: datetime) -> None:
    record(
        code,
        actor=actor,
        now=now,
        target=lock.ref,
        reason=lock.message,
        details={
            "locked": lock.target.ref.id,
            "expires_at": lock.expires_at.isoformat() if lock.expires_at else None,
        },
        **_spoken_of(lock.target),
    )
    publish_on_commit(
        gateway_ids=_affected(lock.target), cause=code.value, actor=actor, now=now
    )

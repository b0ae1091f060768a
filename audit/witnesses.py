"""What the portal has to do with witnesses: show them the logs, keep what they sign.

Everybody who asks within one period is shown the same checkpoint, so that one size has
the signatures of all. A signature is kept beside its checkpoint; older ones go, because
who signed a later tree has vouched for the earlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction

from audit.actor import Ref
from audit.errors import WitnessRefusedError
from audit.events import EventCode, Outcome
from audit.models import (
    AuditEvent,
    Cosignature,
    Log,
    SealedCheckpoint,
    SealerState,
    Witness,
)
from audit.sealing.tables import tree_of
from audit.services import record
from audit.text import visible
from audit.tlog.cosignature import parse_witness_key
from audit.tlog.note import NoteError, verify_note
from audit.tlog.witnessing import request_text

if TYPE_CHECKING:
    from audit.actor import Actor

PERIOD_SECONDS: Final = 30
KEPT: Final = 20
"""Signatures of one witness under one log."""
REASON_LENGTH: Final = 200
QUIET: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A log's key, and the body of `add-checkpoint` (C2SP tlog-witness)."""

    key: str
    size: int
    request: bytes


def shown(log: Log, *, old: int, now: datetime) -> Shown | None:
    """Return how a log continues its first `old` leaves; None: it is no longer.

    A log that is shorter than `old` is shown, too, with the proof it can give: that
    refusal is the witness's to make.

    Raises:
        SealError: the log's tiles are not whole.
    """
    state = SealerState.objects.filter(log=log).first()
    said = _current(log, now)
    if state is None or said is None:
        return None
    # Who is ahead within the period waits; who is ahead of the whole log is told.
    if said.size <= old <= state.size:
        return None
    proven = min(old, said.size)
    proof = tree_of(log, said.size).consistency_proof(proven) if proven else []
    request = request_text(proven, proof, said.note)
    return Shown(key=state.key, size=said.size, request=request)


def take_cosignature(
    *, log: Log, size: int, key: str, line: str, name: str, actor: Actor, now: datetime
) -> None:
    """Keep a witness's signature under the checkpoint of a size.

    Raises:
        WitnessRefusedError: it is none by this key and name, or the key is not the
            one that the witness began with.
    """
    said = SealedCheckpoint.objects.filter(log=log, size=size).first()
    if said is None:
        raise WitnessRefusedError(f"no checkpoint of {size} leaves was shown")
    try:
        witness = parse_witness_key(key)
        note = verify_note((said.note + line).encode(), [witness])
    except NoteError as exc:
        raise WitnessRefusedError(str(exc)) from exc
    if witness.name != name:
        raise WitnessRefusedError(f"{witness.name} is not {name}")
    with transaction.atomic():
        known, is_new = Witness.objects.get_or_create(
            name=name, defaults={"key": key, "since": now}
        )
        if known.key != key:
            raise WitnessRefusedError(f"{name} began with another key")
        if is_new:
            record(
                EventCode.WITNESS_BEGIN,
                actor=actor,
                now=now,
                target=Ref(id=name, label=name),
                details={"key": key},
            )
        Cosignature.objects.update_or_create(
            log=log,
            size=size,
            witness=name,
            defaults={"at": now, "line": note.signatures[0].line()},
        )
        mine = Cosignature.objects.filter(log=log, witness=name).order_by("-size")
        old = list(mine.values_list("pk", flat=True)[KEPT:])
        Cosignature.objects.filter(pk__in=old).delete()


def record_refusal(
    *, log: Log, reason: str, witness: Ref, actor: Actor, now: datetime
) -> None:
    """Record that a witness does not sign what this log has become; once an hour."""
    said = AuditEvent.objects.filter(
        code=EventCode.WITNESS_REFUSED,
        target_id=visible(witness.id)[:64],
        at__gt=now - QUIET,
        details__log=log.value,
    )
    if said.exists():
        return
    record(
        EventCode.WITNESS_REFUSED,
        actor=actor,
        now=now,
        outcome=Outcome.ALERT,
        target=witness,
        details={"log": log.value, "reason": reason[:REASON_LENGTH]},
    )


def cosigned_note(log: Log, *, newest: bool = False) -> str | None:
    """Return the latest checkpoint that has the most signatures, with them.

    With `newest` the last one of all, which may have none yet. None before the first.
    """
    last = SealedCheckpoint.objects.filter(log=log).order_by("-size").first()
    if last is None:
        return None
    lines: dict[int, list[str]] = {}
    found = Cosignature.objects.filter(log=log).order_by("size", "witness")
    for cosignature in found:
        lines.setdefault(cosignature.size, []).append(cosignature.line)
    if newest or not lines:
        return last.note + "".join(lines.get(last.size, ()))
    size = max(lines, key=lambda size: (len(lines[size]), size))
    said = SealedCheckpoint.objects.get(log=log, size=size)
    return said.note + "".join(lines[size])


def _current(log: Log, now: datetime) -> SealedCheckpoint | None:
    """Return the newest checkpoint from before this period, or the first of all."""
    begin = now.timestamp() // PERIOD_SECONDS * PERIOD_SECONDS
    made = SealedCheckpoint.objects.filter(log=log)
    before = made.filter(at__lt=datetime.fromtimestamp(begin, UTC)).order_by("-size")
    return before.first() or made.order_by("size").first()

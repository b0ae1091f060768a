"""Delivering the log: at least once, in order, by any number of workers.

1. A stream that is due is taken by a conditional UPDATE; while it is held no other
   worker delivers it. A hold ends by itself, so a worker that dies holds up nothing.
2. A batch is read from the cursor on, filtered, and handed to the receiver.
3. Only when the receiver has it does the cursor go on, and only if the hold is still
   ours and the cursor still where we read it. Otherwise the batch counts as not sent:
   the worst that two workers can do is to send it twice.
4. A receiver that fails is tried again after 5 s, 10 s, 20 s, … 5 min. What it missed
   is made up for from where the cursor stands. One that cannot acknowledge (syslog)
   also gets the batch before once more.

Nothing here runs in a request. A receiver costs a worker at most its time limit, and
a stream with much to make up for lets the others in between (`TURN`).
"""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import F, Q

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.formats.records import Record, Severity
from audit.models import Log
from audit.services import record
from audit.streams import source
from audit.streams.errors import DeliveryError
from audit.streams.models import Stream, StreamCursor
from audit.streams.receivers import receiver
from audit.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from audit.streams.receivers import Receiver

logger = logging.getLogger(__name__)

BATCH: Final = 500
HOLD: Final = timedelta(seconds=60)
"""Longer than any receiver's time limit; renewed before every batch."""
TURN: Final = timedelta(seconds=5)
FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(minutes=5)
ERROR_LENGTH: Final = 255
OUR_FAULT: Final = "an error of the portal itself; its process log says more"


def deliver_due(*, clock: Callable[[], datetime]) -> int:
    """Give every stream that is due its turn; return how many entries were taken.

    One that has gone past everything is not even taken: an idle portal writes nothing.
    """
    due = list(Stream.objects.filter(_due(clock())).prefetch_related("cursors"))
    if not due:
        return 0
    heads = {log.value: source.head(log) for log in Log}
    return sum(
        deliver(stream.pk, clock=clock)
        for stream in due
        if any(one.position < heads[one.log] for one in stream.cursors.all())
    )


def deliver(stream_id: int, *, clock: Callable[[], datetime]) -> int:
    """Give a stream its turn, unless another worker has it.

    Returns how many entries the receiver took.
    """
    began = clock()
    holder = str(uuid.uuid4())
    taken = Stream.objects.filter(_due(began), pk=stream_id).update(
        held_by=holder, held_until=began + HOLD
    )
    if not taken:
        return 0
    stream = Stream.objects.get(pk=stream_id)
    delivered = 0
    try:
        to = receiver(stream)
        while (count := _round(stream, to, holder=holder, clock=clock)) is not None:
            delivered += count
            if clock() - began >= TURN:
                break
    except DeliveryError as exc:
        _failed(stream, str(exc), holder=holder, now=clock())
    except Exception:
        # Waiting keeps one entry that we cannot say from filling our own log.
        _failed(stream, OUR_FAULT, holder=holder, now=clock())
        raise
    finally:
        Stream.objects.filter(pk=stream_id, held_by=holder).update(
            held_by="", held_until=None
        )
    return delivered


def waits_for(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row; at least one."""
    # Six doublings are past the longest already; many more would overflow.
    doubled: int = 1 << min(failures - 1, 6)
    return min(FIRST_WAIT * doubled, LONGEST_WAIT)


def wanted(stream: Stream, entry: Record) -> bool:
    """Return whether a stream's filter lets an entry through."""
    codes = stream.code_set
    return entry.severity.rank >= Severity(stream.least_severity).rank and (
        not codes or entry.code in codes
    )


def _due(now: datetime) -> Q:
    free = Q(held_until__isnull=True) | Q(held_until__lte=now)
    return free & Q(enabled=True, next_attempt_at__lte=now)


def _round(
    stream: Stream, to: Receiver, *, holder: str, clock: Callable[[], datetime]
) -> int | None:
    """Send one batch of each log; None when nothing was left or the hold was lost."""
    count, moved = 0, False
    for cursor in stream.cursors.all():
        held = Stream.objects.filter(pk=stream.pk, held_by=holder, enabled=True).update(
            held_until=clock() + HOLD
        )
        if not held:
            return None
        part = source.read(Log(cursor.log), position=cursor.position, size=BATCH)
        if part.end == part.begin:
            continue
        batch = [entry for entry in part.records if wanted(stream, entry)]
        if batch:
            to.send(batch, now=clock())
        if not _acknowledged(
            cursor, part, count=len(batch), holder=holder, now=clock()
        ):
            return None
        count, moved = count + len(batch), True
    return count if moved else None


@transaction.atomic
def _acknowledged(
    cursor: StreamCursor,
    part: source.Part,
    *,
    count: int,
    holder: str,
    now: datetime,
) -> bool:
    """Move a cursor past what was taken; False if it was no longer ours to move."""
    # The lock keeps a change of the stream from falling between the two.
    held = Stream.objects.select_for_update().filter(
        pk=cursor.stream_id, held_by=holder
    )
    found = held.first()
    if found is None:
        return False
    moved = StreamCursor.objects.filter(pk=cursor.pk, position=part.begin).update(
        position=part.end,
        # A batch that was filtered away as a whole went to nobody.
        resend_from=part.begin if count else F("resend_from"),
        delivered=F("delivered") + count,
    )
    if not moved:
        return False
    if count:
        if found.failures:
            _record(found, Outcome.DONE, now, details={"failures": found.failures})
        held.update(last_success_at=now, failures=0)
    return True


@transaction.atomic
def _failed(stream: Stream, reason: str, *, holder: str, now: datetime) -> None:
    """Note a failure, wait, and step back before a receiver that never confirms."""
    told = visible(reason)[:ERROR_LENGTH]
    held = Stream.objects.select_for_update().filter(pk=stream.pk, held_by=holder)
    found = held.first()
    if found is None:
        return
    if not found.failures:
        _record(found, Outcome.FAILED, now, reason=told)
    held.update(
        failures=found.failures + 1,
        next_attempt_at=now + waits_for(found.failures + 1),
        last_error_at=now,
        last_error=told,
    )
    if found.resends:
        found.cursors.update(position=F("resend_from"))
    logger.warning("stream %s failed: %s", found.ref.id, told)


def _record(
    stream: Stream,
    outcome: Outcome,
    now: datetime,
    *,
    reason: str = "",
    details: dict[str, int] | None = None,
) -> None:
    """Record that a stream stopped or goes on; what happens in between is counted."""
    record(
        EventCode.STREAM_DELIVERY,
        actor=SYSTEM,
        now=now,
        outcome=outcome,
        target=stream.ref,
        reason=reason,
        details=details,
    )

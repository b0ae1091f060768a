"""How each log is sealed: what pages, figures and checks say of the sealer.

The sealer may be another process on another machine, so everything here is read from
the database: when a log was signed last, what waits, and the refusal that the sealer
leaves there (`audit.sealing.tables.tell_refusal`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db.models import Count

from audit.alarms.parameters import CHECKPOINT_SECONDS
from audit.models import Log, Outbox, SealerRefusal, SealerState

if TYPE_CHECKING:
    from datetime import datetime

EMPTY: Final = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """One log: its leaves, when it was signed last, what waits, what is refused.

    `signed_at` is None before the first checkpoint; `refusal` is empty while the sealer
    signs.
    """

    log: Log
    size: int
    signed_at: datetime | None
    waiting: int
    refusal: str
    refused_at: datetime | None
    is_overdue: bool

    @property
    def is_well(self) -> bool:
        """Return whether nobody has to look."""
        return not self.refusal and not self.is_overdue

    def age(self, now: datetime) -> timedelta | None:
        """Return how old the last checkpoint is; None before the first."""
        return None if self.signed_at is None else max(EMPTY, now - self.signed_at)


def log_states(now: datetime) -> list[LogState]:
    """Return the state of both logs."""
    signed = SealerState.objects.in_bulk()
    refused = SealerRefusal.objects.in_bulk()
    waiting = dict(
        Outbox.objects.order_by().values_list("log").annotate(rows=Count("pk"))
    )
    return [
        _state(log, signed.get(log), refused.get(log), waiting.get(log, 0), now)
        for log in Log
    ]


def _state(
    log: Log,
    signed: SealerState | None,
    refused: SealerRefusal | None,
    waiting: int,
    now: datetime,
) -> LogState:
    at = signed.signed_at if signed else None
    return LogState(
        log=log,
        size=signed.size if signed else 0,
        signed_at=at,
        waiting=waiting,
        refusal=refused.reason if refused else "",
        refused_at=refused.at if refused else None,
        is_overdue=waiting > 0 if at is None else now - at > _allowed(),
    )


def _allowed() -> timedelta:
    name = CHECKPOINT_SECONDS.name
    return timedelta(seconds=settings.PEERAGE_ALARM_PARAMETERS[name])

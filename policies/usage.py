"""Who *could* beside who *did*: access, and the use that was made of it.

*Could* is read at both ends of a period, from the snapshots that were in force or, for
now, from the tables (`policies.reachability`); what began and ended in between shows
only where it was used. *Did* are the allowed connections of the period. Those who
could at both ends and never did are candidates for removal; an access review asks
about them first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Max, Sum

from audit.models import Connection, Verdict
from policies.reachability import what_reaches, who_reaches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from django.db.models import QuerySet

    from policies.models import Application
    from policies.reachability import Reach, ReachRow
    from portal.accounts.models import User


class Finding(StrEnum):
    """What access and its use say together; the first is what a review asks about."""

    NEVER_USED = "never used"
    NEW = "new, not used yet"
    ENDED = "ended, not used"
    USED = "used"
    USED_AND_ENDED = "used, and ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One person and one application over a period. Bytes are of ended connections.

    `person` and `application` are names, their ids are the machine ids of the log.
    """

    person_id: str
    person: str
    application_id: str
    application: str
    could_before: bool
    could_after: bool
    grants: tuple[str, ...]
    connections: int
    bytes: int
    last_at: datetime | None

    @property
    def finding(self) -> Finding:
        """What this says."""
        if self.connections:
            return Finding.USED if self.could_after else Finding.USED_AND_ENDED
        if self.could_after:
            return Finding.NEVER_USED if self.could_before else Finding.NEW
        return Finding.ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Rows, those never used first; `notes` and `sources` as in `Reach`."""

    rows: tuple[Use, ...]
    notes: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def candidates(self) -> tuple[Use, ...]:
        """Those who could at both ends and never did."""
        return tuple(row for row in self.rows if row.finding is Finding.NEVER_USED)


def usage_of_application(
    application: Application, since: datetime, until: datetime, *, now: datetime
) -> Usage:
    """Return who could reach an application in a period, and who did."""
    ends = [who_reaches(application, at, now=now) for at in (since, until)]
    done = Connection.objects.filter(application_id=application.ref.id)
    return _usage(ends, did(done, since, until))


def usage_of_person(
    person: User, since: datetime, until: datetime, *, now: datetime
) -> Usage:
    """Return what a person could reach in a period, and what they did."""
    ends = [what_reaches(person, at, now=now) for at in (since, until)]
    done = Connection.objects.filter(person_id=person.ref.id)
    return _usage(ends, did(done, since, until))


def did(
    rows: QuerySet[Connection], since: datetime, until: datetime
) -> Mapping[tuple[str, str], dict[str, Any]]:
    """Return what was done in a period, by the ids of person and application."""
    counted = (
        rows.filter(
            verdict=Verdict.ALLOWED, started_at__gte=since, started_at__lt=until
        )
        .exclude(person_id="")
        .exclude(application_id="")
        .order_by()
        .values("person_id", "application_id")
        .annotate(
            person=Max("person_label"),
            application=Max("application_label"),
            connections=Count("id"),
            up=Sum("bytes_up", default=0),
            down=Sum("bytes_down", default=0),
            last_at=Max("started_at"),
        )
    )
    return {(row["person_id"], row["application_id"]): {**row} for row in counted}


def _usage(ends: list[Reach], done: Mapping[tuple[str, str], dict[str, Any]]) -> Usage:
    before, after = (_by_pair(end.rows) for end in ends)
    rows = [
        _use(pair, before.get(pair), after.get(pair), done.get(pair))
        for pair in {*before, *after, *done}
    ]
    order = list(Finding)
    rows.sort(
        key=lambda row: (
            order.index(row.finding),
            row.person.casefold(),
            row.application.casefold(),
            row.person_id,
            row.application_id,
        )
    )
    return Usage(
        rows=tuple(rows),
        notes=tuple(dict.fromkeys(note for end in ends for note in end.notes)),
        sources=tuple(dict.fromkeys(name for end in ends for name in end.sources)),
    )


def _use(
    pair: tuple[str, str],
    before: ReachRow | None,
    after: ReachRow | None,
    did: dict[str, Any] | None,
) -> Use:
    known, done = after or before, did or {}
    person, application = pair
    return Use(
        person_id=person,
        person=known.person if known else done["person"],
        application_id=application,
        application=known.application if known else done["application"],
        could_before=before is not None,
        could_after=after is not None,
        grants=known.grants if known else (),
        connections=done.get("connections", 0),
        bytes=done.get("up", 0) + done.get("down", 0),
        last_at=done.get("last_at"),
    )


def _by_pair(rows: Iterable[ReachRow]) -> Mapping[tuple[str, str], ReachRow]:
    return {(f"us_{row.person_id}", f"ap_{row.application_id}"): row for row in rows}

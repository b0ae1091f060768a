"""Forget a person in the log: the salt for good, and every copy of their name.

One transaction, which the caller begins: somebody who is forgotten in part could not
be told from tampering. The database changes many rows at a time, so that a million
connections are one statement; killed in between, nothing has happened, and it is run
again. It may also be run again later, for what was written meanwhile by a transaction
that had begun before.

Who may be forgotten is decided by the caller, apart from legal holds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Final

from django.db import connection as database
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from audit.actor import Ref
from audit.claims import digest_of
from audit.errors import ForgettingError
from audit.events import EventCode
from audit.leaves import event_row
from audit.models import (
    AuditEvent,
    Connection,
    ErasedMention,
    FlowEvent,
    IdentitySalt,
    Log,
    SavedSearch,
)
from audit.parts import parts
from audit.retention.blanking import COLUMNS, blanked, blanked_mentions
from audit.retention.holds import holds_on
from audit.retention.named_rows import begin_of, concerning, rows_said
from audit.services import record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from audit.actor import Actor
    from audit.retention.blanking import Names

PART: Final = 500
FLOW_LABELS: Final = ("person_label", "device_label", "grant_label")
MENTIONABLE: Final = (
    *("actor_label", "device_label", "target_id", "target_label", "reason"),
    "details_as_text",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How many rows of each kind lost a name."""

    events: int
    flows: int
    connections: int
    mentions: int


def check_may_be_forgotten(person: str) -> None:
    """Accept that no hold keeps somebody.

    Raises:
        ForgettingError: one does.
    """
    if held := ", ".join(f"{hold.ref.id} ({hold})" for hold in holds_on(person)):
        raise ForgettingError(f"{person} is under legal hold: {held}")


def forget_salt(person: str, *, now: datetime) -> None:
    """Take the salt of a person; they get none again."""
    IdentitySalt.objects.get_or_create(person_id=person)
    known = IdentitySalt.objects.filter(person_id=person, forgotten_at=None)
    known.update(salt=None, forgotten_at=now)


def is_forgotten(person: str) -> bool:
    """Return whether somebody's salt is gone."""
    return IdentitySalt.objects.filter(person_id=person, salt=None).exists()


def people_forgotten() -> QuerySet[IdentitySalt]:
    """Return those whose salts are gone, the last one first."""
    return IdentitySalt.objects.filter(salt=None).order_by("-forgotten_at")


def blank_log(names: Names) -> Forgotten:
    """Take somebody's names out of both logs; their salt must be gone.

    Raises:
        LeafError: a row was tampered with, so that nobody can say what it held.
    """
    person = names.person
    events = AuditEvent.objects.filter(concerning(person))
    return Forgotten(
        # Why somebody was forgotten names nobody, and stays.
        events=_blank(events.exclude(code=EventCode.USER_ERASE), names),
        mentions=_blank_mentions(names),
        flows=_blank_flows(person),
        connections=_blank_connections(person),
    )


def labels_of(person: str) -> set[str]:
    """Return what the log called somebody, now and before, and their devices."""
    found: set[str] = set()
    mine = AuditEvent.objects.filter(person_id=person).order_by()
    found.update(mine.values_list("person_label", flat=True).distinct())
    renamed = mine.filter(code=EventCode.USER_UPDATE).values_list("details", flat=True)
    for details in renamed:
        for change in details.values():
            found |= {change["before"], change["after"]}
    return found - {""}


def forget_searches(names: Names) -> None:
    """Remove somebody's own searches; those they shared stay, as nobody's."""
    mine = SavedSearch.objects.filter(owner_id=names.person)
    mine.filter(is_shared=False).delete()
    mine.update(owner_label=names.person)


def record_forgotten(
    done: Forgotten,
    *,
    person: str,
    other_rows: int,
    reason: str,
    actor: Actor,
    now: datetime,
) -> AuditEvent:
    """Record that somebody was forgotten; it names nobody but their id."""
    return record(
        EventCode.USER_ERASE,
        actor=actor,
        now=now,
        person=Ref(id=person),
        reason=reason,
        details={
            "whose": person,
            "events": done.events,
            "flows": done.flows,
            "connections": done.connections,
            "mentions": ErasedMention.objects.filter(person_id=person).count(),
            "mentions_sha256": mentions_sha256(person),
            **rows_said(person, below={log: begin_of(log) for log in Log}),
            "other_rows": other_rows,
        },
    )


def mentions_sha256(person: str) -> str:
    """Return a digest of which events about others lost somebody's name."""
    marks = ErasedMention.objects.filter(person_id=person)
    return digest_of(map(str, marks.values_list("event_uid", flat=True)))


def _blank(events: QuerySet[AuditEvent], names: Names) -> int:
    return sum(
        _write(
            (event.pk, changed)
            for event in part
            if (changed := blanked(event_row(event), _leaf(event), names))
        )
        for part in parts(events.order_by("pk").iterator(PART), PART)
    )


def _blank_mentions(names: Names) -> int:
    held = AuditEvent.objects.annotate(details_as_text=Cast("details", TextField()))
    numbers: set[int] = set()
    for form in sorted(names.sought()):
        sought = reduce(
            or_, (Q(**{f"{name}__icontains": form}) for name in MENTIONABLE)
        )
        numbers.update(held.filter(sought).values_list("pk", flat=True))
    count = 0
    for part in parts(sorted(numbers), PART):
        changes = [
            (event.pk, event.uid, changed)
            for event in AuditEvent.objects.filter(pk__in=part)
            if (changed := blanked_mentions(event_row(event), _leaf(event), names))
        ]
        # The mark first: the trigger asks for it.
        ErasedMention.objects.bulk_create(
            (
                ErasedMention(event_uid=uid, person_id=names.person)
                for _, uid, _ in changes
            ),
            ignore_conflicts=True,
        )
        count += _write((number, changed) for number, _, changed in changes)
    return count


def _write(changes: Iterable[tuple[int, dict[str, Any]]]) -> int:
    """Update events past the model, which refuses; the triggers allow just this."""
    rows = [
        [*(_told(changed.get(name)) for name in COLUMNS), number]
        for number, changed in changes
    ]
    # The columns' names are ours.
    columns = ", ".join(
        f"{name} = coalesce(CAST(%s AS {_kind(name)}), {name})" for name in COLUMNS
    )
    with database.cursor() as cursor:
        cursor.executemany(
            f"UPDATE audit_auditevent SET {columns} WHERE id = %s",  # noqa: S608 -- see above
            rows,
        )
    return len(rows)


def _kind(column: str) -> str:
    is_json = column == "details" and database.vendor == "postgresql"
    return "jsonb" if is_json else "text"


def _told(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _blank_flows(person: str) -> int:
    """Take the labels out of every flow of a person, in one statement."""
    if database.vendor == "postgresql":
        names = ", ".join(f"'{name}'" for name in FLOW_LABELS)
        without = f"attribution - ARRAY[{names}]"
        whose, named = "attribution ->> 'person_id'", f"attribution ?| ARRAY[{names}]"
    else:
        paths = ", ".join(f"'$.{name}'" for name in FLOW_LABELS)
        without = f"json_remove(attribution, {paths})"
        whose = "json_extract(attribution, '$.person_id')"
        named = f"{without} <> json(attribution)"
    with database.cursor() as cursor:
        cursor.execute(
            f"UPDATE audit_flowevent SET attribution = {without}"  # noqa: S608 -- our names
            f" WHERE {whose} = %s AND {named}",
            [person],
        )
        return int(cursor.rowcount)


def _blank_connections(person: str) -> int:
    labels = dict.fromkeys(FLOW_LABELS, "")
    return (
        Connection.objects.filter(person_id=person).exclude(**labels).update(**labels)
    )


def _leaf(event: AuditEvent | FlowEvent) -> bytes:
    return bytes(event.leaf or b"")

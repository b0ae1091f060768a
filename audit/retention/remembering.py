"""Whoever has no salt was forgotten by an event that says so, and nothing more went.

A salt that somebody deletes to make an event deniable, and a mark that excuses a text
which somebody took out, have no leaf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit.events import EventCode
from audit.models import AuditEvent, ErasedMention, IdentitySalt, Log
from audit.retention.forgetting import mentions_sha256
from audit.tlog.report import TAMPERED

if TYPE_CHECKING:
    from audit.tlog.report import Report


def check_forgotten(report: Report) -> None:
    """Add everybody to the report who was forgotten, or in part, without an event."""
    told = told_forgotten()
    gone = set(
        IdentitySalt.objects.filter(salt=None).values_list("person_id", flat=True)
    )
    named = ErasedMention.objects.order_by().values_list("person_id", flat=True)
    for person in sorted(gone | set(named.distinct()) | told.keys()):
        if person not in gone:
            message = f"{person} was forgotten, and has a salt"
        elif person not in told:
            message = f"{person} has no salt, and no event forgot them"
        elif told[person] != mentions_sha256(person):
            message = f"names of {person} went from other events than was said"
        else:
            continue
        report.add(TAMPERED, Log.CONTROL.value, None, message)
    if gone:
        report.facts["forgotten"] = sorted(gone)


def told_forgotten() -> dict[str, str]:
    """Return who was forgotten by an event, sealed or not, and what else it touched."""
    events = AuditEvent.objects.filter(code=EventCode.USER_ERASE).order_by("id")
    return {
        str(event.details.get("whose")): str(event.details.get("mentions_sha256"))
        for event in events
    }

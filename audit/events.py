"""The closed catalogue of audit events.

What there is stands in `audit/catalogue`: the codes in `codes`, and for each of them,
by area, its name, severities, outcomes, typed fields with their privacy, sentence,
meaning and remedy. A new code is one line in `codes` and one `kind(...)` in its area.
Codes of the reference that mean nothing yet are in `reserved`, and stay free.

Pure: no Django, no clock. The verifier imports it to know what a leaf commits to.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from audit.catalogue.alarms import ALARMS
from audit.catalogue.checking import personal_part
from audit.catalogue.codes import EventCode, Outcome
from audit.catalogue.devices import DEVICES
from audit.catalogue.gateways import GATEWAYS
from audit.catalogue.kinds import EventType, Privacy, Severity
from audit.catalogue.logs import LOGS
from audit.catalogue.people import PEOPLE
from audit.catalogue.policy import POLICY, REQUESTS
from audit.catalogue.reserved import RESERVED
from audit.catalogue.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "AREAS",
    "CATALOGUE",
    "ENDINGS",
    "OPENINGS",
    "RESERVED",
    "SUBJECTS",
    "EventCode",
    "EventType",
    "Outcome",
    "Severity",
    "open_details",
    "personal_details",
    "personal_fields",
    "sentence",
    "severity",
)

AREAS: Final[Mapping[str, tuple[EventType, ...]]] = {
    "People, sessions, programs": PEOPLE,
    "Devices and keys": DEVICES,
    "Policy": POLICY,
    "Requests and locks": REQUESTS,
    "Gateways": GATEWAYS,
    "The log": LOGS,
    "Streams": STREAMS,
    "Alarms": ALARMS,
}
CATALOGUE: Final[Mapping[EventCode, EventType]] = {
    kind.code: kind for kind in chain.from_iterable(AREAS.values())
}

# What a sentence may speak of, and what it says when the event names nobody.
SUBJECTS: Final = {
    "actor_label": "somebody",
    "person_label": "somebody",
    "device_label": "a device",
    "gateway_label": "a gateway",
    "application_label": "an application",
    "target_label": "something",
}
OPENINGS: Final = {
    Outcome.DONE: "",
    Outcome.REFUSED: "Refused: ",
    Outcome.FAILED: "Failed: ",
    Outcome.ALERT: "Alert: ",
}
ENDINGS: Final = {
    Outcome.DONE: "it happened",
    Outcome.REFUSED: "it was refused",
    Outcome.FAILED: "the system failed",
    Outcome.ALERT: "somebody should look",
}
"""How an event ended, in words."""


def sentence(code: EventCode, outcome: Outcome, labels: Mapping[str, Any]) -> str:
    """Return an event as a sentence; a label that is missing becomes a pronoun.

    Labels are only ever values here: braces in them are shown, never interpreted.
    """
    named = {name: labels.get(name) or nobody for name, nobody in SUBJECTS.items()}
    text = OPENINGS[outcome] + CATALOGUE[code].sentence.format(**named)
    if text.startswith(tuple(SUBJECTS.values())):
        return text[0].upper() + text[1:]
    return text


def severity(code: EventCode, outcome: Outcome) -> Severity:
    """Return how grave an event is; one that cannot be is an alert by itself."""
    return CATALOGUE[code].severities.get(outcome, Severity.ALERT)


def personal_fields(code: EventCode) -> frozenset[str]:
    """Return the declared fields of a code that say something of a person."""
    fields = CATALOGUE[code].fields.items()
    return frozenset(
        name for name, field in fields if field.privacy is Privacy.PERSONAL
    )


def open_details(code: str) -> frozenset[str]:
    """Return the fields of a code's details that are readable in the leaf."""
    fields = CATALOGUE[EventCode(code)].fields.items()
    return frozenset(name for name, field in fields if field.privacy is Privacy.OPEN)


def personal_details(code: EventCode, details: Mapping[str, Any]) -> frozenset[str]:
    """Return the fields of these details that a leaf may only commit to.

    What is not declared is among them: in doubt it is somebody's.
    """
    return personal_part(CATALOGUE[code], details)

"""Asking who may reach what is itself recorded, before the answer leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from audit.actor import Ref
from audit.events import EventCode
from audit.services import NOBODY, record

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor


def record_inquiry(
    *,
    question: str,
    details: Mapping[str, str],
    actor: Actor,
    now: datetime,
    person: Ref = NOBODY,
    device: Ref = NOBODY,
    application: Ref = NOBODY,
    export_format: str = "",
) -> None:
    """Record what was asked about whom, and whether a copy was taken."""
    asked = {key: value for key, value in details.items() if value}
    if export_format:
        asked["format"] = export_format
    record(
        EventCode.POLICY_QUERY,
        actor=actor,
        now=now,
        person=person,
        device=device,
        application=application,
        details={"question": question, **asked},
    )

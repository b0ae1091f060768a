"""The only writer of the control log.

`record` writes in the caller's transaction: no change without its event, and when
the change rolls back so does the event. Nothing here updates or deletes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from audit.actor import Ref
from audit.events import EventCode, Outcome
from audit.models import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from audit.actor import Actor

Json: TypeAlias = "str | int | bool | None | Sequence[Json] | Mapping[str, Json]"

NOBODY = Ref(id="")


def record(
    code: EventCode,
    *,
    actor: Actor,
    now: datetime,
    outcome: Outcome = Outcome.DONE,
    person: Ref = NOBODY,
    device: Ref = NOBODY,
    gateway: Ref = NOBODY,
    application: Ref = NOBODY,
    target: Ref = NOBODY,
    reason: str = "",
    details: Mapping[str, Json] | None = None,
) -> AuditEvent:
    """Write one event of the control log and return it.

    `person` is whose access this concerns; it may differ from the actor. Labels
    are copied. `details` holds JSON values without secrets and without floats.
    """
    return AuditEvent.objects.create(
        at=now,
        code=code.value,
        outcome=outcome.value,
        actor_kind=actor.kind.value,
        actor_id=actor.id,
        actor_label=actor.label[:255],
        actor_role=actor.role,
        actor_address=actor.address,
        request_id=actor.request_id,
        person_id=person.id,
        person_label=person.label[:255],
        device_id=device.id,
        device_label=device.label[:255],
        gateway_id=gateway.id,
        gateway_label=gateway.label[:255],
        application_id=application.id,
        application_label=application.label[:255],
        target_id=target.id,
        target_label=target.label[:255],
        reason=reason,
        details=dict(details or {}),
    )

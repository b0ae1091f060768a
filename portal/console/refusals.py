"""What a form refuses is on record like what a service refuses: one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audit.events import EventCode, Outcome
from audit.services import NOBODY, record

if TYPE_CHECKING:
    from audit.actor import Ref
    from audit.http import PortalRequest
    from portal.console.forms import ConsoleForm

REASON_LENGTH: Final = 1000


def is_accepted(
    request: PortalRequest,
    form: ConsoleForm,
    code: EventCode,
    *,
    device: Ref = NOBODY,
    gateway: Ref = NOBODY,
    application: Ref = NOBODY,
) -> bool:
    """Return whether a sent form is well formed; record that it is not.

    The refusal is the event of the change that was asked for.
    """
    if form.is_valid():
        return True
    told = (
        f"{name}: {' '.join(str(error['message']) for error in errors)}"
        for name, errors in form.errors.get_json_data().items()
    )
    record(
        code,
        actor=request.actor,
        now=request.received_at,
        outcome=Outcome.REFUSED,
        device=device,
        gateway=gateway,
        application=application,
        reason="; ".join(told)[:REASON_LENGTH],
    )
    return False

"""Events after which somebody may do or reach more than before.

They are refused when the log's disk has little room, and nothing else of the control
log is (ADR-0037): what takes something away must always find its place. Roles and
groups are not here: the identity provider changes them, and takes away by the same
events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from audit.catalogue.codes import EventCode

GIVING: Final = frozenset(
    {
        EventCode.USER_REACTIVATE,
        EventCode.DEVICE_APPROVE,
        EventCode.DEVICE_ENROLL_COMPLETE,
        EventCode.KEY_REGISTERED,
        EventCode.APPLICATION_CREATE,
        EventCode.APPLICATION_UPDATE,
        EventCode.GRANT_CREATE,
        EventCode.POLICY_APPLY,
        EventCode.LABEL_APPLY,
        EventCode.LABEL_GRANT_CREATE,
        EventCode.ACCESS_REQUEST_CREATE,
        EventCode.ACCESS_REQUEST_REVIEW,
        EventCode.LOCK_DELETE,
        EventCode.GATEWAY_CREATE,
        EventCode.GATEWAY_TOKEN_ISSUED,
        EventCode.GATEWAY_RELEASE,
        EventCode.AGENT_ENROLL,
        EventCode.API_TOKEN_CREATE,
        EventCode.CLIENT_AUTHORIZE,
        EventCode.STREAM_CREATE,
    }
)

PARTS: Final[Mapping[EventCode, tuple[str, ...]]] = {
    EventCode.LABEL_APPLY: ("added",),
    EventCode.POLICY_APPLY: (
        *("applications_created", "applications_changed", "grants_created"),
    ),
}
"""The details by which these give something: empty, they only take away."""


def gives(code: str, details: Mapping[str, object]) -> bool:
    """Return whether an event that came to pass says that somebody has more."""
    if code not in GIVING:
        return False
    found = PARTS.get(EventCode(code))
    return found is None or any(details.get(name, True) for name in found)

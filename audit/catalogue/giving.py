"""Codes of events after which somebody may do or reach more than before.

They are refused when the log's disk has little room, and nothing else of the control
log is (ADR-0037): what takes something away must always find its place. Roles and
groups are not here: the identity provider changes them, and takes away by the same
events.
"""

from __future__ import annotations

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

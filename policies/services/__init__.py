"""What may change policies, and what gateways report. Called as `services.verb_noun`.

Each function is one transaction with its events; edges translate its errors.
"""

from __future__ import annotations

from policies.destinations import DestinationInput
from policies.services.acknowledgements import record_acknowledgement
from policies.services.alarms import watch_revocations, watch_sightings
from policies.services.applications import (
    create_application,
    delete_application,
    update_application,
)
from policies.services.evidence import ingest_evidence
from policies.services.grants import create_grant, end_grant
from policies.services.labels import (
    create_label,
    create_label_grant,
    delete_label,
    end_label_grant,
    label_application,
)
from policies.services.locks import create_lock, lift_lock
from policies.services.notices import (
    issue_notice,
    note_notified,
    publish_answered,
    record_notice_report,
)
from policies.services.publishing import publish_on_commit, publish_snapshots
from policies.services.recoveries import (
    begin_recovery,
    give_steps,
    note_standing,
    take_shown,
)
from policies.services.refusals import refuse_gateway_request
from policies.services.reminders import (
    remind_approvers,
    remind_of_ends,
    tell_requesters,
)
from policies.services.request_rules import update_request_rules
from policies.services.requests import (
    cancel_request,
    cancel_requests_of,
    end_requested_access,
    expire_requests,
    request_access,
)
from policies.services.resolutions import record_resolution
from policies.services.reviews import (
    approvals_needed,
    approve_request,
    refuse_request,
)
from policies.services.sweeps import (
    clean_up,
    report_agents_back,
    report_lost_agents,
    republish_due_snapshots,
)
from policies.services.witnessing import hear_witness

__all__ = [
    "DestinationInput",
    "approvals_needed",
    "approve_request",
    "begin_recovery",
    "cancel_request",
    "cancel_requests_of",
    "clean_up",
    "create_application",
    "create_grant",
    "create_label",
    "create_label_grant",
    "create_lock",
    "delete_application",
    "delete_label",
    "end_grant",
    "end_label_grant",
    "end_requested_access",
    "expire_requests",
    "give_steps",
    "hear_witness",
    "ingest_evidence",
    "issue_notice",
    "label_application",
    "lift_lock",
    "note_notified",
    "note_standing",
    "publish_answered",
    "publish_on_commit",
    "publish_snapshots",
    "record_acknowledgement",
    "record_notice_report",
    "record_resolution",
    "refuse_gateway_request",
    "refuse_request",
    "remind_approvers",
    "remind_of_ends",
    "report_agents_back",
    "report_lost_agents",
    "republish_due_snapshots",
    "request_access",
    "take_shown",
    "tell_requesters",
    "update_application",
    "update_request_rules",
    "watch_revocations",
    "watch_sightings",
]

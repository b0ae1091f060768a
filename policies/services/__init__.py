"""What may change policies, and what gateways report. Called as `services.verb_noun`.

Each function is one transaction with its events; edges translate its errors.
"""

from __future__ import annotations

from policies.destinations import DestinationInput
from policies.services.acknowledgements import record_acknowledgement
from policies.services.applications import (
    create_application,
    delete_application,
    update_application,
)
from policies.services.evidence import ingest_evidence
from policies.services.grants import create_grant, end_grant
from policies.services.publishing import publish_on_commit, publish_snapshots
from policies.services.refusals import refuse_gateway_request
from policies.services.sweeps import (
    clean_up,
    report_lost_agents,
    republish_due_snapshots,
)

__all__ = [
    "DestinationInput",
    "clean_up",
    "create_application",
    "create_grant",
    "delete_application",
    "end_grant",
    "ingest_evidence",
    "publish_on_commit",
    "publish_snapshots",
    "record_acknowledgement",
    "refuse_gateway_request",
    "report_lost_agents",
    "republish_due_snapshots",
    "update_application",
]

"""Every change to who may hold a key. Called as `services.enroll_device(...)`.

Each function is one transaction with its events. A refusal is an event too: it is
recorded after the refused change was rolled back, so it stays.
"""

from __future__ import annotations

from peers.services.approvals import approve_device, withdraw_approval
from peers.services.challenges import (
    create_challenge,
    prove_possession,
)
from peers.services.channels import (
    advance_channel,
    quarantine_gateway,
    release_gateway,
)
from peers.services.clocks import report_clock
from peers.services.devices import (
    enroll_device,
    record_config_issued,
    rename_device,
)
from peers.services.forgotten import remember_keys
from peers.services.gateways import (
    create_gateway,
    enroll_gateway,
    issue_enrolment_token,
    retire_gateway,
    update_gateway,
)
from peers.services.revoking import (
    revoke_device,
    revoke_devices,
    revoke_devices_of,
)
from peers.services.signing_keys import offer_signing_key, promote_signing_key

__all__ = (
    "advance_channel",
    "approve_device",
    "create_challenge",
    "create_gateway",
    "enroll_device",
    "enroll_gateway",
    "issue_enrolment_token",
    "offer_signing_key",
    "promote_signing_key",
    "prove_possession",
    "quarantine_gateway",
    "record_config_issued",
    "release_gateway",
    "remember_keys",
    "rename_device",
    "report_clock",
    "retire_gateway",
    "revoke_device",
    "revoke_devices",
    "revoke_devices_of",
    "update_gateway",
    "withdraw_approval",
)

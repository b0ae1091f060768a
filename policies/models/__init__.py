"""What a key may reach: applications, grants, and the snapshots compiled from them."""

from __future__ import annotations

from policies.models.access_reviews import (
    CampaignScope,
    CampaignState,
    Decision,
    ItemOutcome,
    ReviewAssignment,
    ReviewCampaign,
    ReviewItem,
    Way,
)
from policies.models.applications import (
    Application,
    ApplicationDestination,
    ProtocolChoice,
)
from policies.models.grants import Grant
from policies.models.labels import Label, LabelGrant
from policies.models.locks import Lock, Lockable
from policies.models.notices import RevocationNotice
from policies.models.policy_versions import PolicyVersion
from policies.models.recoveries import GatewayRecovery
from policies.models.requests import AccessRequest, RequestReview, RequestState
from policies.models.resolutions import Resolution
from policies.models.revocations import Revocation, RevocationTarget
from policies.models.sightings import TunnelSighting
from policies.models.snapshots import (
    Acknowledgement,
    AgentState,
    EvidenceSpool,
    EvidenceTotals,
    Publication,
    Snapshot,
)

__all__ = [
    "AccessRequest",
    "Acknowledgement",
    "AgentState",
    "Application",
    "ApplicationDestination",
    "CampaignScope",
    "CampaignState",
    "Decision",
    "EvidenceSpool",
    "EvidenceTotals",
    "GatewayRecovery",
    "Grant",
    "ItemOutcome",
    "Label",
    "LabelGrant",
    "Lock",
    "Lockable",
    "PolicyVersion",
    "ProtocolChoice",
    "Publication",
    "RequestReview",
    "RequestState",
    "Resolution",
    "ReviewAssignment",
    "ReviewCampaign",
    "ReviewItem",
    "Revocation",
    "RevocationNotice",
    "RevocationTarget",
    "Snapshot",
    "TunnelSighting",
    "Way",
]

"""Looking at policy, at what was published of it, and at what gateways said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from audit.admin_base import ReadOnlyAdmin
from policies.models import (
    AccessRequest,
    Acknowledgement,
    AgentState,
    Application,
    ApplicationDestination,
    EvidenceSpool,
    EvidenceTotals,
    GatewayRecovery,
    Grant,
    Label,
    LabelGrant,
    Lock,
    PolicyVersion,
    Publication,
    RequestReview,
    Resolution,
    ReviewAssignment,
    ReviewCampaign,
    ReviewItem,
    Revocation,
    RevocationNotice,
    RevocationTarget,
    Snapshot,
    TunnelSighting,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


@admin.register(Application)
class ApplicationAdmin(ReadOnlyAdmin[Application]):
    """Applications."""

    list_display = ("id", "name", "description", "created_at")
    search_fields = ("name",)


@admin.register(ApplicationDestination)
class ApplicationDestinationAdmin(ReadOnlyAdmin[ApplicationDestination]):
    """Where applications listen."""

    list_display = (
        "id",
        "application",
        "host_name",
        "prefix",
        "protocol",
        "port_first",
        "port_last",
    )
    list_select_related = ("application",)
    search_fields = ("host_name", "prefix", "application__name")


@admin.register(Grant)
class GrantAdmin(ReadOnlyAdmin[Grant]):
    """Grants."""

    list_display = ("id", "__str__", "not_before", "expires_at", "ended_at")
    list_select_related = ("user", "group", "application", "source__label")
    actions = ("end",)

    @admin.action(description="End…")
    def end(self, request: HttpRequest, rows: QuerySet[Grant]) -> HttpResponse | None:
        """Ask on the console's page."""
        return self.confirm_elsewhere(request, rows, "console:end_grant")


@admin.register(Label)
class LabelAdmin(ReadOnlyAdmin[Label]):
    """Labels."""

    list_display = ("id", "name", "created_at")


@admin.register(LabelGrant)
class LabelGrantAdmin(ReadOnlyAdmin[LabelGrant]):
    """Grants of labels."""

    list_display = ("id", "__str__", "not_before", "expires_at", "ended_at")
    list_select_related = ("user", "group", "label")
    actions = ("end",)

    @admin.action(description="End…")
    def end(
        self, request: HttpRequest, rows: QuerySet[LabelGrant]
    ) -> HttpResponse | None:
        """Ask on the console's page."""
        return self.confirm_elsewhere(request, rows, "console:end_label_grant")


@admin.register(Lock)
class LockAdmin(ReadOnlyAdmin[Lock]):
    """Locks."""

    list_display = ("id", "__str__", "message", "created_at", "expires_at", "lifted_at")
    list_select_related = ("user", "device", "group", "application", "gateway")
    actions = ("lift",)

    @admin.action(description="Lift…")
    def lift(self, request: HttpRequest, rows: QuerySet[Lock]) -> HttpResponse | None:
        """Ask on the console's page."""
        return self.confirm_elsewhere(request, rows, "console:lift_lock")


@admin.register(AccessRequest)
class AccessRequestAdmin(ReadOnlyAdmin[AccessRequest]):
    """What people asked for."""

    list_display = ("id", "__str__", "state", "requested_at", "decided_at")
    list_filter = ("state",)
    list_select_related = ("requester", "application")


@admin.register(RequestReview)
class RequestReviewAdmin(ReadOnlyAdmin[RequestReview]):
    """What was answered."""

    list_display = ("id", "request", "reviewer", "is_approval", "at")
    list_select_related = ("request__requester", "request__application", "reviewer")


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin[Snapshot]):
    """What was signed for gateways."""

    list_display = ("id", "gateway", "epoch", "generation", "peers", "published_at")
    list_filter = ("gateway",)
    list_select_related = ("gateway",)


@admin.register(Publication)
class PublicationAdmin(ReadOnlyAdmin[Publication]):
    """Which snapshot is a gateway's current one."""

    list_display = ("gateway", "epoch", "generation", "stale_since", "failure")
    list_select_related = ("gateway",)


@admin.register(AgentState)
class AgentStateAdmin(ReadOnlyAdmin[AgentState]):
    """How far an agent's evidence came."""

    list_display = ("gateway", "accepted_through", "spool", "lost_since")
    list_select_related = ("gateway",)


@admin.register(EvidenceTotals)
class EvidenceTotalsAdmin(ReadOnlyAdmin[EvidenceTotals]):
    """What gateways counted."""

    list_display = ("gateway", "told_at", "accepted", "logged", "lost", "opened")
    list_select_related = ("gateway",)


@admin.register(TunnelSighting)
class TunnelSightingAdmin(ReadOnlyAdmin[TunnelSighting]):
    """Where devices came from."""

    list_display = ("device", "gateway", "seen_at", "handshake_at", "address", "port")
    list_select_related = ("device", "gateway")


@admin.register(EvidenceSpool)
class EvidenceSpoolAdmin(ReadOnlyAdmin[EvidenceSpool]):
    """The spools that evidence came from."""

    list_display = ("gateway", "name", "accepted_through", "begun_at")
    list_select_related = ("gateway",)


@admin.register(Acknowledgement)
class AcknowledgementAdmin(ReadOnlyAdmin[Acknowledgement]):
    """What gateways enforced."""

    list_display = (
        "id",
        "gateway",
        "generation",
        "in_force",
        "applied_at",
        "flows_cut",
        "error",
    )
    list_filter = ("gateway", "in_force")
    list_select_related = ("gateway",)


@admin.register(Revocation)
class RevocationAdmin(ReadOnlyAdmin[Revocation]):
    """Revocations of people."""

    list_display = ("id", "user", "requested_at", "actor_label", "reason")
    list_select_related = ("user",)


@admin.register(RevocationTarget)
class RevocationTargetAdmin(ReadOnlyAdmin[RevocationTarget]):
    """Gateways' parts in them."""

    list_display = ("id", "revocation", "gateway", "generation", "enforced_at")
    list_select_related = ("revocation", "gateway")


@admin.register(GatewayRecovery)
class GatewayRecoveryAdmin(ReadOnlyAdmin[GatewayRecovery]):
    """Gateways that were ahead of a restored portal."""

    list_display = ("id", "gateway", "epoch", "generation", "noticed_at", "ended_at")
    list_select_related = ("gateway",)


@admin.register(RevocationNotice)
class RevocationNoticeAdmin(ReadOnlyAdmin[RevocationNotice]):
    """What gateways were told to cut off at once."""

    list_display = ("number", "issued_at", "devices")


@admin.register(PolicyVersion)
class PolicyVersionAdmin(ReadOnlyAdmin[PolicyVersion]):
    """Policy files that were applied."""

    list_display = ("number", "applied_at", "actor_label", "etag")
    search_fields = ("etag", "actor_label")


@admin.register(Resolution)
class ResolutionAdmin(ReadOnlyAdmin[Resolution]):
    """What gateways said that host names stand for."""

    list_display = ("id", "gateway", "told_at")
    list_select_related = ("gateway",)
    search_fields = ("gateway__name",)


@admin.register(ReviewCampaign)
class ReviewCampaignAdmin(ReadOnlyAdmin[ReviewCampaign]):
    """Access reviews."""

    list_display = ("id", "title", "scope", "state", "started_at", "due_at")
    search_fields = ("title",)


@admin.register(ReviewAssignment)
class ReviewAssignmentAdmin(ReadOnlyAdmin[ReviewAssignment]):
    """Who reviews what."""

    list_display = ("id", "campaign", "reviewer", "application")
    list_select_related = ("campaign", "reviewer", "application")


@admin.register(ReviewItem)
class ReviewItemAdmin(ReadOnlyAdmin[ReviewItem]):
    """What was asked in them, and what came of it."""

    list_display = ("id", "campaign", "person", "decision", "decided_at", "outcome")
    list_filter = ("decision", "outcome")
    list_select_related = ("campaign", "person")

"""Looking at the log's tables. People who investigate use the console."""

from __future__ import annotations

from django.contrib import admin

from audit.admin_base import ReadOnlyAdmin
from audit.models import AuditEvent, Connection, FlowEvent, RefusalCount


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin[AuditEvent]):
    """The control log."""

    list_display = ("id", "at", "__str__", "sentence", "actor_label", "request_id")
    list_filter = ("code", "outcome")
    search_fields = ("request_id__exact", "person_id__exact", "device_id__exact")


@admin.register(FlowEvent)
class FlowEventAdmin(ReadOnlyAdmin[FlowEvent]):
    """What gateways observed."""

    list_display = ("id", "gateway_id", "sequence", "kind", "at", "received_at")
    list_filter = ("kind",)


@admin.register(RefusalCount)
class RefusalCountAdmin(ReadOnlyAdmin[RefusalCount]):
    """Refusals of strangers in the current minutes."""

    list_display = ("id", "minute", "code", "place", "recorded", "suppressed")


@admin.register(Connection)
class ConnectionAdmin(ReadOnlyAdmin[Connection]):
    """The projection that is searched."""

    list_display = (
        "id",
        "started_at",
        "person_label",
        "device_label",
        "application_label",
        "destination",
        "verdict",
    )
    list_filter = ("verdict",)
    search_fields = ("person_id__exact", "device_id__exact", "destination__exact")

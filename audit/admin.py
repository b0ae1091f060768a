"""Looking at the log's tables. People who investigate use the console."""

from __future__ import annotations

from django.contrib import admin

from audit.admin_base import ReadOnlyAdmin
from audit.models import (
    SEAL_COLUMNS,
    AuditEvent,
    Connection,
    Cosignature,
    ErasedMention,
    FlowEvent,
    IdentitySalt,
    LegalHold,
    Outbox,
    Prune,
    RefusalCount,
    SavedSearch,
    SealedCheckpoint,
    SealedLeaf,
    SealedTile,
    SealerRefusal,
    SealerState,
    Witness,
)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin[AuditEvent]):
    """The control log."""

    hidden = tuple(sorted(SEAL_COLUMNS))
    list_display = ("id", "at", "__str__", "sentence", "actor_label", "request_id")
    list_filter = ("code", "outcome")
    search_fields = ("request_id__exact", "person_id__exact", "device_id__exact")


@admin.register(FlowEvent)
class FlowEventAdmin(ReadOnlyAdmin[FlowEvent]):
    """What gateways observed."""

    hidden = tuple(sorted(SEAL_COLUMNS))
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


@admin.register(Outbox)
class OutboxAdmin(ReadOnlyAdmin[Outbox]):
    """What waits for the sealer."""

    list_display = ("id", "log", "event_id")
    list_filter = ("log",)


@admin.register(SealedLeaf)
class SealedLeafAdmin(ReadOnlyAdmin[SealedLeaf]):
    """Which event has which place."""

    list_display = ("log", "index", "event_id")
    list_filter = ("log",)


@admin.register(SealedTile)
class SealedTileAdmin(ReadOnlyAdmin[SealedTile]):
    """Tiles that are full."""

    hidden = ("data",)
    list_display = ("log", "level", "index")
    list_filter = ("log", "level")


@admin.register(SealedCheckpoint)
class SealedCheckpointAdmin(ReadOnlyAdmin[SealedCheckpoint]):
    """What was signed."""

    hidden = ("root", "hashes")
    list_display = ("log", "size", "at")
    list_filter = ("log",)


@admin.register(SealerState)
class SealerStateAdmin(ReadOnlyAdmin[SealerState]):
    """What was signed last."""

    list_display = ("log", "size", "signed_at")


@admin.register(SealerRefusal)
class SealerRefusalAdmin(ReadOnlyAdmin[SealerRefusal]):
    """Why a log is not signed, while it is not."""

    list_display = ("log", "at", "reason")


@admin.register(Cosignature)
class CosignatureAdmin(ReadOnlyAdmin[Cosignature]):
    """What witnesses signed."""

    list_display = ("log", "size", "witness", "at")
    list_filter = ("log", "witness")


@admin.register(Witness)
class WitnessAdmin(ReadOnlyAdmin[Witness]):
    """Who signs under the logs."""

    list_display = ("name", "since")


@admin.register(IdentitySalt)
class IdentitySaltAdmin(ReadOnlyAdmin[IdentitySalt]):
    """Who has a salt, and who was forgotten; never the salt."""

    hidden = ("salt",)
    list_display = ("person_id", "forgotten_at")


@admin.register(LegalHold)
class LegalHoldAdmin(ReadOnlyAdmin[LegalHold]):
    """What must stay."""

    list_display = ("id", "__str__", "placed_at", "lifted_at")


@admin.register(ErasedMention)
class ErasedMentionAdmin(ReadOnlyAdmin[ErasedMention]):
    """Which events about others named somebody who was forgotten."""

    list_display = ("event_uid", "person_id")


@admin.register(Prune)
class PruneAdmin(ReadOnlyAdmin[Prune]):
    """What was deleted by two people's word, or is to be."""

    hidden = ("root", "hashes")
    list_display = ("id", "__str__", "proposed_at", "approved_at", "done_at")


@admin.register(SavedSearch)
class SavedSearchAdmin(ReadOnlyAdmin[SavedSearch]):
    """Searches that people keep."""

    list_display = ("id", "name", "log")

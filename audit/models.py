"""The log's tables: append-only, text copies, no foreign keys to other apps.

Two logs (DESIGN §9): `AuditEvent` is *control*; `FlowEvent` is *connections*.
`Connection` is a projection of flow events for searching; it can be rebuilt.
"""

from __future__ import annotations

import uuid
from typing import Final

from django.db import models
from django.db.models import Q

from audit.actor import Ref
from audit.append_only import AppendOnlyModel
from audit.events import (
    CATALOGUE,
    ENDINGS,
    EventCode,
    EventType,
    Outcome,
    Severity,
    sentence,
    severity,
)
from audit.retention.forgetting_models import ErasedMention, LegalHold
from audit.retention.pruning_models import Prune
from audit.sealed_models import (
    Cosignature,
    IdentitySalt,
    Log,
    Outbox,
    SealedCheckpoint,
    SealedLeaf,
    SealedTile,
    SealerRefusal,
    SealerState,
    Witness,
)

__all__ = (
    "SEAL_COLUMNS",
    "AuditEvent",
    "Connection",
    "Cosignature",
    "ErasedMention",
    "FlowEvent",
    "FlowKind",
    "IdentitySalt",
    "LegalHold",
    "Log",
    "Outbox",
    "Prune",
    "RefusalCount",
    "SavedSearch",
    "SealedCheckpoint",
    "SealedLeaf",
    "SealedTile",
    "SealerRefusal",
    "SealerState",
    "Verdict",
    "Witness",
)

SEAL_COLUMNS: Final = frozenset({"nonce", "leaf"})
"""What of an event is for the tree, and no reader's business."""


class AuditEvent(AppendOnlyModel):
    """One event of the control log; written by `audit.services.record` only."""

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    at = models.DateTimeField(db_index=True)
    code = models.CharField(max_length=8)
    outcome = models.CharField(max_length=1)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=255, blank=True)
    actor_role = models.CharField(max_length=16, blank=True)
    actor_address = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=64, blank=True, db_index=True)
    person_id = models.CharField(max_length=32, blank=True)
    person_label = models.CharField(max_length=255, blank=True)
    device_id = models.CharField(max_length=32, blank=True)
    device_label = models.CharField(max_length=255, blank=True)
    gateway_id = models.CharField(max_length=32, blank=True)
    gateway_label = models.CharField(max_length=255, blank=True)
    application_id = models.CharField(max_length=32, blank=True)
    application_label = models.CharField(max_length=255, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    target_label = models.CharField(max_length=255, blank=True)
    reason = models.TextField(blank=True)
    details = models.JSONField(default=dict)
    nonce = models.BinaryField(null=True, max_length=16)
    leaf = models.BinaryField(null=True)

    class Meta:
        """Newest first is what every reader wants."""

        ordering = ("-id",)
        indexes = (
            models.Index(fields=("person_id", "-id"), name="audit_event_person"),
            models.Index(fields=("device_id", "-id"), name="audit_event_device"),
            models.Index(fields=("code", "-id"), name="audit_event_code"),
            models.Index(fields=("actor_id", "-id"), name="audit_event_actor"),
            models.Index(fields=("application_id", "-id"), name="audit_event_app"),
            models.Index(fields=("gateway_id", "-id"), name="audit_event_gateway"),
            models.Index(fields=("actor_address", "-id"), name="audit_event_from"),
            # What went wrong is little, and sought most.
            models.Index(
                fields=("outcome", "-id"),
                condition=Q(outcome__in=("W", "E", "A")),
                name="audit_event_outcome",
            ),
        )

    def __str__(self) -> str:
        """Return the code with its outcome, as people quote it."""
        return f"{self.code}{self.outcome}"

    @property
    def sentence(self) -> str:
        """Return what happened, in words."""
        return sentence(EventCode(self.code), Outcome(self.outcome), vars(self))

    @property
    def kind(self) -> EventType:
        """Return what the catalogue says of its code."""
        return CATALOGUE[EventCode(self.code)]

    @property
    def severity(self) -> Severity:
        """Return how much it should interrupt whoever reads."""
        return severity(EventCode(self.code), Outcome(self.outcome))

    @property
    def ending(self) -> str:
        """Return how it ended, in words."""
        return ENDINGS[Outcome(self.outcome)]


class RefusalCount(models.Model):
    """How many refusals of one code came from one place in one minute.

    Not part of the log: it lasts until `audit.refusals.report` has written down what
    was suppressed.
    """

    id = models.BigAutoField(primary_key=True)
    code = models.CharField(max_length=8)
    place = models.CharField(max_length=64, blank=True)
    minute = models.DateTimeField()
    recorded = models.PositiveIntegerField(default=0)
    suppressed = models.PositiveIntegerField(default=0)

    class Meta:
        """One counter for each."""

        constraints = (
            models.UniqueConstraint(
                fields=("minute", "code", "place"), name="audit_refusalcount_once"
            ),
        )

    def __str__(self) -> str:
        """Return what was refused where, and how often."""
        return f"{self.code} {self.place}: {self.recorded}+{self.suppressed}"


class FlowKind(models.TextChoices):
    """What a gateway observed of a flow."""

    OPEN = "open", "opened"
    CLOSE = "close", "closed"
    DENY = "deny", "denied"


class FlowEvent(AppendOnlyModel):
    """One record from a gateway's spool, attributed. Append-only.

    `body` is what the gateway sent; `attribution` is whom the portal found behind
    it at that time (`audit.flows.facts`). Together they rebuild the projection.
    """

    id = models.BigAutoField(primary_key=True)
    gateway_id = models.CharField(max_length=32)
    sequence = models.BigIntegerField()
    kind = models.CharField(max_length=8, choices=FlowKind.choices)
    at = models.DateTimeField()
    received_at = models.DateTimeField()
    flow = models.CharField(max_length=64, db_index=True)
    body = models.JSONField()
    attribution = models.JSONField(default=dict)
    nonce = models.BinaryField(null=True, max_length=16)
    leaf = models.BinaryField(null=True)

    class Meta:
        """A record arrives once, however often the gateway sends it."""

        constraints = (
            models.UniqueConstraint(
                fields=("gateway_id", "sequence"),
                name="audit_flowevent_once_per_gateway_sequence",
            ),
        )

    def __str__(self) -> str:
        """Return gateway, sequence and kind."""
        return f"{self.gateway_id}#{self.sequence} {self.kind}"


class Verdict(models.TextChoices):
    """What the gateway did with a flow."""

    ALLOWED = "allowed", "allowed"
    DENIED = "denied", "denied"


class Connection(models.Model):
    """One flow of one person, for searching; a projection of its flow events.

    Byte and packet counts are IP level as conntrack accounts them; *up* is from
    the device. They are null until the flow has ended.
    """

    id = models.BigAutoField(primary_key=True)
    gateway_id = models.CharField(max_length=32)
    gateway_label = models.CharField(max_length=255)
    flow = models.CharField(max_length=64)
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    person_id = models.CharField(max_length=32, blank=True)
    person_label = models.CharField(max_length=255, blank=True)
    device_id = models.CharField(max_length=32, blank=True)
    device_label = models.CharField(max_length=255, blank=True)
    key_fingerprint = models.CharField(max_length=64, blank=True)
    application_id = models.CharField(max_length=32, blank=True)
    application_label = models.CharField(max_length=255, blank=True)
    grant_id = models.CharField(max_length=32, blank=True)
    grant_label = models.CharField(max_length=255, blank=True)
    generation = models.BigIntegerField(null=True)
    protocol = models.PositiveSmallIntegerField()
    source = models.GenericIPAddressField()
    source_port = models.PositiveIntegerField(null=True)
    destination = models.GenericIPAddressField()
    destination_port = models.PositiveIntegerField(null=True)
    bytes_up = models.BigIntegerField(null=True)
    bytes_down = models.BigIntegerField(null=True)
    packets_up = models.BigIntegerField(null=True)
    packets_down = models.BigIntegerField(null=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=32, blank=True)

    class Meta:
        """The indexes of the investigator's questions: who, what, when."""

        ordering = ("-started_at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("gateway_id", "flow", "verdict"),
                name="audit_connection_one_per_gateway_flow_verdict",
            ),
        )
        indexes = (
            models.Index(fields=("-started_at", "-id"), name="audit_conn_started"),
            models.Index(fields=("person_id", "-started_at"), name="audit_conn_person"),
            models.Index(
                fields=("application_id", "-started_at"), name="audit_conn_app"
            ),
            models.Index(fields=("device_id", "-started_at"), name="audit_conn_device"),
            models.Index(
                fields=("key_fingerprint", "-started_at"), name="audit_conn_key"
            ),
            models.Index(fields=("source", "-started_at"), name="audit_conn_source"),
            models.Index(fields=("destination", "-started_at"), name="audit_conn_dest"),
            models.Index(
                fields=("destination", "destination_port", "-started_at"),
                name="audit_conn_service",
            ),
            models.Index(
                fields=("gateway_id", "-started_at"), name="audit_conn_gateway"
            ),
            models.Index(
                fields=("destination_port", "-started_at"), name="audit_conn_port"
            ),
            models.Index(
                fields=("source_port", "-started_at"), name="audit_conn_from_port"
            ),
            # What was denied is little, and may lie far apart.
            *(
                models.Index(
                    fields=fields,
                    condition=Q(verdict="denied"),
                    name=f"audit_conn_denied{name}",
                )
                for name, fields in (
                    ("", ("-started_at", "-id")),
                    ("_person", ("person_id", "-started_at")),
                    ("_app", ("application_id", "-started_at")),
                )
            ),
            # What is open is asked before every change of policy, and is little.
            models.Index(
                fields=("gateway_id", "started_at"),
                condition=Q(ended_at__isnull=True),
                name="audit_conn_open",
            ),
        )

    def __str__(self) -> str:
        """Return source → destination with the verdict."""
        return f"{self.source} → {self.destination} {self.verdict}"


class SavedSearch(models.Model):
    """A question to a log that somebody keeps, for themself or for the whole team.

    `query` is the query string of the page; opening it asks again, and is recorded as
    any reading is. Like all of this app it knows people by id and copied label.
    """

    id = models.BigAutoField(primary_key=True)
    log = models.CharField(max_length=16, choices=Log.choices)
    name = models.CharField(max_length=64)
    query = models.TextField()
    owner_id = models.CharField(max_length=32)
    owner_label = models.CharField(max_length=255)
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        """By name; a person calls two searches of a log by two names."""

        ordering = ("name", "id")
        constraints = (
            models.UniqueConstraint(
                fields=("owner_id", "log", "name"),
                name="audit_savedsearch_one_per_owner_log_name",
            ),
        )

    def __str__(self) -> str:
        """Return its name."""
        return self.name

    @property
    def ref(self) -> Ref:
        """Return how the log names it."""
        return Ref(id=f"ss_{self.pk}", label=self.name)

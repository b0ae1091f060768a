"""Alarms, what became of them, and where they are sent.

Like the log's tables these hold ids and text copies, no foreign keys to other apps.
"""

from __future__ import annotations

import uuid

from django.db import models

from audit.actor import Ref
from audit.alarms.rules import RULES, Rule, RuleId, Severity


class AlarmState(models.TextChoices):
    """How far somebody has come with an alarm."""

    OPEN = "open", "open"
    ACKNOWLEDGED = "acknowledged", "acknowledged"
    CLOSED = "closed", "closed"


class AlarmVerdict(models.TextChoices):
    """What an alarm turned out to be."""

    TRUE = "true", "true: it was what the rule looks for"
    BENIGN = "benign", "benign: it happened, and it was meant to"
    FALSE = "false", "false: it did not happen"


class Alarm(models.Model):
    """A rule held of something, once or many times.

    Of one rule and key there is one alarm that is not closed; what is found meanwhile
    counts there. `notified_at` and `notified_severity` are those of the last
    notification, for every channel.
    """

    id = models.BigAutoField(primary_key=True)
    rule = models.CharField(max_length=32)
    key = models.CharField(max_length=128)
    severity = models.PositiveSmallIntegerField()
    state = models.CharField(
        max_length=16, choices=AlarmState.choices, default=AlarmState.OPEN
    )
    sentence = models.CharField(max_length=500)
    person_id = models.CharField(max_length=32, blank=True)
    person_label = models.CharField(max_length=255, blank=True)
    device_id = models.CharField(max_length=32, blank=True)
    device_label = models.CharField(max_length=255, blank=True)
    gateway_id = models.CharField(max_length=32, blank=True)
    gateway_label = models.CharField(max_length=255, blank=True)
    application_id = models.CharField(max_length=32, blank=True)
    application_label = models.CharField(max_length=255, blank=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    count = models.PositiveBigIntegerField(default=1)
    raised_at = models.DateTimeField()
    assignee_id = models.CharField(max_length=32, blank=True)
    assignee_label = models.CharField(max_length=255, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    verdict = models.CharField(max_length=8, choices=AlarmVerdict.choices, blank=True)
    note = models.CharField(max_length=1000, blank=True)
    notified_at = models.DateTimeField(null=True, blank=True)
    notified_severity = models.PositiveSmallIntegerField(default=0)

    class Meta:
        """The latest first; one that is not closed for each rule and key."""

        ordering = ("-last_seen_at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("rule", "key"),
                condition=~models.Q(state="closed"),
                name="alarms_alarm_one_open_per_rule_key",
            ),
            models.CheckConstraint(
                condition=models.Q(state="closed", closed_at__isnull=False)
                & ~models.Q(verdict="")
                | ~models.Q(state="closed"),
                name="alarms_alarm_closed_with_verdict",
            ),
        )
        indexes = (
            models.Index(fields=("state", "-last_seen_at"), name="alarms_alarm_state"),
            models.Index(fields=("rule", "key", "-id"), name="alarms_alarm_rule"),
        )

    def __str__(self) -> str:
        """Return what it says."""
        return self.sentence

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events."""
        return Ref(id=f"al_{self.pk}", label=self.sentence[:255])

    @property
    def rule_type(self) -> Rule:
        """The rule that raised it."""
        return RULES[RuleId(self.rule)]

    @property
    def severity_word(self) -> str:
        """How bad it is, in a word."""
        return Severity(self.severity).word


class AlarmEvidence(models.Model):
    """Something an alarm rests on; the first hundred are kept, the count says more.

    `kind` and `reference` are as in `audit.alarms.findings.Evidence`.
    """

    id = models.BigAutoField(primary_key=True)
    alarm = models.ForeignKey(Alarm, on_delete=models.CASCADE, related_name="evidence")
    kind = models.CharField(max_length=16)
    reference = models.CharField(max_length=128)
    at = models.DateTimeField()
    text = models.CharField(max_length=500, blank=True)

    class Meta:
        """In the order of time; each once."""

        ordering = ("at", "id")
        constraints = (
            models.UniqueConstraint(
                fields=("alarm", "kind", "reference"), name="alarms_evidence_once"
            ),
        )

    def __str__(self) -> str:
        """Return what it names."""
        return f"{self.kind} {self.reference}"


class Watch(models.Model):
    """How far something is watched (`audit.alarms.cursor`), and when it last ran."""

    name = models.CharField(max_length=32, primary_key=True)
    position = models.BigIntegerField(default=0)
    gaps = models.JSONField(default=list)
    since = models.DateTimeField()
    ran_at = models.DateTimeField()

    def __str__(self) -> str:
        """Return what is watched and how far."""
        return f"{self.name} {self.position}"


class Acquaintance(models.Model):
    """When a person first reached an application, as the rules have learnt it."""

    id = models.BigAutoField(primary_key=True)
    person_id = models.CharField(max_length=32)
    application_id = models.CharField(max_length=32)
    first_at = models.DateTimeField()

    class Meta:
        """Once."""

        constraints = (
            models.UniqueConstraint(
                fields=("person_id", "application_id"), name="alarms_acquaintance_once"
            ),
        )

    def __str__(self) -> str:
        """Return who knows what."""
        return f"{self.person_id} {self.application_id}"


class DeviceActivity(models.Model):
    """When a device was last seen, as the rules have learnt it."""

    device_id = models.CharField(max_length=32, primary_key=True)
    last_at = models.DateTimeField()

    def __str__(self) -> str:
        """Return which device."""
        return self.device_id


class ChannelKind(models.TextChoices):
    """How a channel is spoken to."""

    MAIL = "mail", "Mail"
    WEBHOOK = "webhook", "Webhook: JSON, signed"
    SLACK = "slack", "Slack, or what takes its webhooks"


class AlarmChannel(models.Model):
    """Where alarms are sent, and which.

    `address` is shown: mail addresses, or the host of a URL. The URL itself opens the
    other side in many products, so it is kept as a secret (`audit.kept_secrets`), as
    is what signs a webhook. `rules` are those it carries, separated by blanks; empty
    is all.
    """

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=8, choices=ChannelKind.choices)
    address = models.CharField(max_length=500)
    kept_url = models.TextField(blank=True)
    kept_secret = models.TextField(blank=True)
    least_severity = models.PositiveSmallIntegerField()
    rules = models.TextField(blank=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        """By name."""

        ordering = ("name",)

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events."""
        return Ref(id=f"ch_{self.pk}", label=self.name)

    @property
    def rule_set(self) -> frozenset[str]:
        """The rules it carries; empty is all."""
        return frozenset(self.rules.split())

    @property
    def severity_word(self) -> str:
        """What it begins with, in a word."""
        return Severity(self.least_severity).word


class DeliveryCause(models.TextChoices):
    """Why a notification is sent."""

    RAISED = "raised", "raised"
    AGAIN = "again", "goes on"
    RISEN = "risen", "became worse"
    TEST = "test", "test"


class DeliveryState(models.TextChoices):
    """What became of a notification."""

    WAITING = "waiting", "waiting"
    DELIVERED = "delivered", "delivered"
    GIVEN_UP = "given_up", "given up"


class Delivery(models.Model):
    """One notification of one alarm on one channel; a test has no alarm."""

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    channel = models.ForeignKey(
        AlarmChannel, on_delete=models.CASCADE, related_name="deliveries"
    )
    alarm = models.ForeignKey(
        Alarm, on_delete=models.CASCADE, related_name="deliveries", null=True
    )
    cause = models.CharField(max_length=8, choices=DeliveryCause.choices)
    state = models.CharField(
        max_length=10, choices=DeliveryState.choices, default=DeliveryState.WAITING
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=255, blank=True)

    class Meta:
        """The newest first; those that are due are found at once."""

        ordering = ("-id",)
        indexes = (
            models.Index(
                fields=("next_attempt_at",),
                condition=models.Q(state="waiting"),
                name="alarms_delivery_due",
            ),
        )

    def __str__(self) -> str:
        """Return which alarm goes where."""
        return f"{self.alarm_id} on {self.channel_id}"

"""Where copies of the log go, and how far each has come.

A stream remembers, for each log, the place of the first entry its receiver has not
acknowledged. Nothing else says what was delivered, so an outage of any length is made
up for by going on.
"""

from __future__ import annotations

import uuid

from django.db import models

from audit.actor import Ref
from audit.formats.records import Severity
from audit.formats.syslog import MessageForm
from audit.models import Log


class StreamKind(models.TextChoices):
    """How a receiver is spoken to."""

    WEBHOOK = "webhook", "Webhook: one JSON object a batch, signed"
    LINES = "lines", "JSON Lines over HTTPS, signed"
    HEC = "hec", "Splunk HTTP Event Collector"
    SYSLOG = "syslog", "Syslog (RFC 5424) over TLS"


class StreamForm(models.TextChoices):
    """How an entry looks."""

    NATIVE = MessageForm.NATIVE.value, "JSON, our own names"
    OCSF = MessageForm.OCSF.value, "JSON, OCSF"
    SENTENCE = MessageForm.SENTENCE.value, "Sentence with structured data (syslog)"


class LeastSeverity(models.TextChoices):
    """Where a stream's filter begins."""

    INFO = Severity.INFO.value, "everything"
    NOTICE = Severity.NOTICE.value, "notices and above"
    WARNING = Severity.WARNING.value, "warnings and above"
    ALERT = Severity.ALERT.value, "alerts only"


class Stream(models.Model):
    """A receiver of the log, what it gets, and how it fares.

    `address` is a URL, or `host:port` for syslog. `codes` are the only codes it gets,
    separated by blanks; empty is all. `kept_secret` is what `audit.kept_secrets` made
    of the receiver's secret. While `held_until` lies ahead, the worker that wrote
    `held_by` delivers and no other.
    """

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=16, choices=StreamKind.choices)
    address = models.CharField(max_length=500)
    form = models.CharField(max_length=16, choices=StreamForm.choices)
    least_severity = models.CharField(max_length=16, choices=LeastSeverity.choices)
    codes = models.TextField(blank=True)
    trusted_certificate = models.TextField(blank=True)
    kept_secret = models.TextField(blank=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    held_by = models.CharField(max_length=36, blank=True)
    held_until = models.DateTimeField(null=True)
    next_attempt_at = models.DateTimeField()
    failures = models.PositiveIntegerField(default=0)
    last_success_at = models.DateTimeField(null=True)
    last_error_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=255, blank=True)

    class Meta:
        """By name, as people look for one."""

        ordering = ("name",)

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events."""
        return Ref(id=f"st_{self.pk}", label=self.name)

    @property
    def owner(self) -> str:
        """Whom its secret is kept for."""
        return f"stream {self.uid}"

    @property
    def resends(self) -> bool:
        """Whether its receiver cannot acknowledge, so that more must be sent again."""
        return self.kind == StreamKind.SYSLOG

    @property
    def code_set(self) -> frozenset[str]:
        """The codes it gets; empty is all."""
        return frozenset(self.codes.split())


class StreamCursor(models.Model):
    """How far a stream has come in one log.

    `position` is the place of the first entry that was not acknowledged.
    `resend_from` is where the batch before it began: a receiver that cannot
    acknowledge gets that batch again after an outage. `delivered` counts entries that
    were sent and acknowledged.
    """

    id = models.BigAutoField(primary_key=True)
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="cursors")
    log = models.CharField(max_length=16, choices=Log.choices)
    position = models.BigIntegerField(default=0)
    resend_from = models.BigIntegerField(default=0)
    delivered = models.BigIntegerField(default=0)

    class Meta:
        """One for each log that a stream carries."""

        ordering = ("-log",)
        constraints = (
            models.UniqueConstraint(
                fields=("stream", "log"), name="streams_cursor_one_per_log"
            ),
            models.CheckConstraint(
                condition=models.Q(resend_from__lte=models.F("position")),
                name="streams_cursor_goes_forward",
            ),
        )

    def __str__(self) -> str:
        """Return the log and the place."""
        return f"{self.log} {self.position}"

"""The sealed log's tables (ADR 0028): what waits, what was sealed and signed.

Part of `audit.models`, from where everybody takes them.
"""

from __future__ import annotations

from django.db import models

from audit.append_only import AppendOnlyModel


class Log(models.TextChoices):
    """The two logs (DESIGN §9)."""

    CONTROL = "control", "events"
    CONNECTIONS = "connections", "connections"


class Outbox(models.Model):
    """An event that is not sealed yet.

    Written by a trigger of the database when the event is, so that nothing can be in
    a log and not be sealed; taken out by the sealer alone.
    """

    id = models.BigAutoField(primary_key=True)
    log = models.CharField(max_length=16, choices=Log)
    event_id = models.BigIntegerField()

    class Meta:
        """The sealer takes the oldest of a log."""

        constraints = (
            models.UniqueConstraint(
                fields=("log", "event_id"), name="audit_outbox_once"
            ),
        )
        indexes = (models.Index(fields=("log", "id"), name="audit_outbox_order"),)

    def __str__(self) -> str:
        """Return the log and the event."""
        return f"{self.log} {self.event_id}"


class SealedLeaf(AppendOnlyModel):
    """Which event has which place in its log's tree."""

    id = models.BigAutoField(primary_key=True)
    log = models.CharField(max_length=16, choices=Log)
    index = models.BigIntegerField()
    event_id = models.BigIntegerField()

    class Meta:
        """One place for each event, one event for each place."""

        constraints = (
            models.UniqueConstraint(
                fields=("log", "index"), name="audit_sealedleaf_one_per_index"
            ),
            models.UniqueConstraint(
                fields=("log", "event_id"), name="audit_sealedleaf_one_per_event"
            ),
        )

    def __str__(self) -> str:
        """Return the log and the index."""
        return f"{self.log}[{self.index}]"


class SealedTile(AppendOnlyModel):
    """A tile of 256 hashes that will not change any more (C2SP tlog-tiles)."""

    id = models.BigAutoField(primary_key=True)
    log = models.CharField(max_length=16, choices=Log)
    level = models.PositiveSmallIntegerField()
    index = models.BigIntegerField()
    data = models.BinaryField()

    class Meta:
        """A tile is written once."""

        constraints = (
            models.UniqueConstraint(
                fields=("log", "level", "index"), name="audit_sealedtile_once"
            ),
        )

    def __str__(self) -> str:
        """Return where the tile is."""
        return f"{self.log} tile {self.level}/{self.index}"


class SealedCheckpoint(AppendOnlyModel):
    """A signed tree head (C2SP tlog-checkpoint), the first of its size.

    Heads that say the same tree again are not kept here; when the last one was
    signed stands in `SealerState`.
    """

    id = models.BigAutoField(primary_key=True)
    log = models.CharField(max_length=16, choices=Log)
    size = models.BigIntegerField()
    root = models.BinaryField()
    hashes = models.BinaryField()
    """The roots of the complete subtrees, 32 bytes each (`CompactRange`)."""
    at = models.DateTimeField()
    note = models.TextField()

    class Meta:
        """No two heads for one size: that would be two histories."""

        constraints = (
            models.UniqueConstraint(
                fields=("log", "size"), name="audit_sealedcheckpoint_one_per_size"
            ),
        )

    def __str__(self) -> str:
        """Return the log and its size then."""
        return f"{self.log} of {self.size}"


class SealerState(models.Model):
    """When each log was last signed, and the newest signed note of it."""

    log = models.CharField(primary_key=True, max_length=16, choices=Log)
    size = models.BigIntegerField()
    signed_at = models.DateTimeField()
    note = models.TextField()
    key = models.CharField(max_length=512, default="")
    """The log's verifier key, `name+id+base64`: the private half is the sealer's."""

    def __str__(self) -> str:
        """Return the log and its size."""
        return f"{self.log} of {self.size}"


class SealerRefusal(models.Model):
    """That a log is not signed, and why; the row goes when it is signed again."""

    log = models.CharField(primary_key=True, max_length=16, choices=Log)
    at = models.DateTimeField()
    reason = models.TextField()

    def __str__(self) -> str:
        """Return the log and the reason."""
        return f"{self.log}: {self.reason}"


class Witness(models.Model):
    """Who signs under the logs' checkpoints, and the key they began with."""

    name = models.CharField(primary_key=True, max_length=255)
    key = models.CharField(max_length=512)
    since = models.DateTimeField()

    def __str__(self) -> str:
        """Return the name."""
        return self.name


class Cosignature(models.Model):
    """A witness's signature below a checkpoint (C2SP tlog-cosignature).

    Older ones go: who signed a later tree has vouched for the earlier.
    """

    id = models.BigAutoField(primary_key=True)
    log = models.CharField(max_length=16, choices=Log)
    size = models.BigIntegerField()
    witness = models.CharField(max_length=255)
    at = models.DateTimeField()
    line = models.TextField()

    class Meta:
        """A witness signs each size once; a later signature says nothing more."""

        constraints = (
            models.UniqueConstraint(
                fields=("log", "size", "witness"), name="audit_cosignature_once"
            ),
        )

    def __str__(self) -> str:
        """Return who signed what."""
        return f"{self.witness} of {self.log} at {self.size}"


class IdentitySalt(models.Model):
    """The salt of one person's commitments; NULL when the person was forgotten."""

    person_id = models.CharField(primary_key=True, max_length=64)
    salt = models.BinaryField(null=True)
    forgotten_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        """Return whose it is; never the salt."""
        return self.person_id

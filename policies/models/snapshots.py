"""What was published for gateways, and what they say of it."""

from __future__ import annotations

from typing import Final

from django.db import models

from peers.models import Gateway

UPGRADE: Final = "refused: upgrade the agent"
"""How an agent begins its refusal of a policy that it is too old to read."""


class Snapshot(models.Model):
    """The compiled, numbered, signed desired state of one gateway. Append-only.

    `holdings_digest` follows from `envelope`; it is kept when it is first asked for.
    """

    id = models.BigAutoField(primary_key=True)
    gateway = models.ForeignKey(
        Gateway, on_delete=models.PROTECT, related_name="snapshots"
    )
    epoch = models.PositiveIntegerField()
    generation = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64)
    envelope = models.TextField()
    holdings_digest = models.CharField(max_length=64)
    peers = models.PositiveIntegerField()
    grants = models.PositiveIntegerField()
    published_at = models.DateTimeField()

    class Meta:
        """A generation is issued once."""

        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("gateway", "epoch", "generation"),
                name="policies_snapshot_one_per_generation",
            ),
        )

    def __str__(self) -> str:
        """Return gateway and generation."""
        return f"{self.gateway_id}@{self.epoch}.{self.generation}"


class Publication(models.Model):
    """Where a gateway's policy stands: its current snapshot, and whether it is stale.

    The row is the lock of the publishers of one gateway. `stale_since` is set in the
    transaction of a change and cleared by the publisher, so a change whose
    publisher died is found by the sweep. `changes` counts such transactions; a
    publisher clears the mark only if it read the last of them. `notices` is the number
    of the last notice of revocation that the snapshot covers. `failure` says why the
    policy does not compile; the last snapshot then stays. `generation` 0 means never
    published.
    """

    gateway = models.OneToOneField(
        Gateway,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="publication",
    )
    snapshot = models.OneToOneField(
        Snapshot, on_delete=models.PROTECT, null=True, blank=True
    )
    epoch = models.PositiveIntegerField(default=1)
    generation = models.PositiveBigIntegerField(default=0)
    changes = models.PositiveBigIntegerField(default=0)
    stale_since = models.DateTimeField(null=True, blank=True, db_index=True)
    next_change_at = models.DateTimeField(null=True, blank=True, db_index=True)
    failure = models.CharField(max_length=255, blank=True)
    notices = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        """Return gateway and generation."""
        return f"{self.gateway_id}@{self.epoch}.{self.generation}"


class AgentState(models.Model):
    """What the portal remembers of an agent: how far its evidence came, its silence.

    `accepted_through` numbers the gateway's evidence over all its spools, `spool` is
    the one it comes from at present (`EvidenceSpool`).
    `notice` is the last notice of revocation that it reported as enforced.
    `lost_since` is set when the agent was reported lost, until it speaks again.
    """

    gateway = models.OneToOneField(
        Gateway,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="agent_state",
    )
    accepted_through = models.PositiveBigIntegerField(default=0)
    spool = models.CharField(max_length=32, blank=True)
    notice = models.PositiveBigIntegerField(default=0)
    lost_since = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        """Return gateway and sequence."""
        return f"{self.gateway_id}#{self.accepted_through}"


class EvidenceTotals(models.Model):
    """A gateway's control totals as it told them last (ADR-0023).

    All count from `since`, a name that the gateway gave. `stored` beginnings of flows
    came in since that report, and so many records are known to be missing: `excused`.
    """

    gateway = models.OneToOneField(
        Gateway,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="evidence_totals",
    )
    since = models.CharField(max_length=64)
    told_at = models.DateTimeField()
    accepted = models.PositiveBigIntegerField()
    logged = models.PositiveBigIntegerField()
    lost = models.PositiveBigIntegerField()
    opened = models.PositiveBigIntegerField()
    stored = models.PositiveBigIntegerField(default=0)
    excused = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        """Return gateway and beginnings."""
        return f"{self.gateway_id}#{self.opened}"


class EvidenceSpool(models.Model):
    """How far the evidence of one spool of a gateway was accepted, by its own numbers.

    A spool that is lost or taken from a backup begins or goes on with numbers that the
    portal has seen. Its name tells them apart.
    """

    id = models.BigAutoField(primary_key=True)
    gateway = models.ForeignKey(
        Gateway, on_delete=models.CASCADE, related_name="evidence_spools"
    )
    name = models.CharField(max_length=32, blank=True)
    accepted_through = models.PositiveBigIntegerField(default=0)
    begun_at = models.DateTimeField()

    class Meta:
        """One row a spool."""

        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("gateway", "name"), name="policies_evidencespool_once"
            ),
        )

    def __str__(self) -> str:
        """Return gateway, spool and number."""
        return f"{self.gateway_id}/{self.name}#{self.accepted_through}"


class Acknowledgement(models.Model):
    """What a gateway did with a generation, and what its kernel then held.

    `in_force` is true when the gateway reports that it applied the generation and
    `observed_digest` equals the snapshot's `holdings_digest`.
    """

    id = models.BigAutoField(primary_key=True)
    gateway = models.ForeignKey(
        Gateway, on_delete=models.CASCADE, related_name="acknowledgements"
    )
    epoch = models.PositiveIntegerField()
    generation = models.PositiveBigIntegerField()
    received_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True, blank=True)
    recorded_at = models.DateTimeField()
    in_force = models.BooleanField()
    observed_digest = models.CharField(max_length=64, blank=True)
    flows_cut = models.PositiveIntegerField(default=0)
    timings = models.JSONField(default=dict)
    error = models.CharField(max_length=255, blank=True)

    class Meta:
        """Newest first."""

        ordering = ("-id",)
        indexes = (
            models.Index(
                fields=("gateway", "epoch", "generation"), name="policies_ack_gen"
            ),
        )

    def __str__(self) -> str:
        """Return gateway, generation and result."""
        return f"{self.gateway_id}@{self.epoch}.{self.generation} {self.in_force}"

    @property
    def needs_upgrade(self) -> bool:
        """Whether the agent is too old to read what it was given."""
        return self.error.startswith(UPGRADE)

"""What a key may reach: applications, grants, and the snapshots compiled from them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from audit.actor import Ref
from peers.fields import CidrField
from peers.models import Device, Gateway
from policies.compiler.types import Protocol
from portal.accounts.models import Group


class Application(models.Model):
    """Named destinations, served by gateways."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=64, unique=True)
    description = models.CharField(max_length=255, blank=True)
    gateways: models.ManyToManyField[Gateway, models.Model] = models.ManyToManyField(
        Gateway, related_name="applications", blank=True
    )
    created_at = models.DateTimeField()

    class Meta:
        """By name."""

        ordering = ("name",)

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events and snapshots."""
        return Ref(id=f"ap_{self.pk}", label=self.name)


class ProtocolChoice(models.TextChoices):
    """The compiler's protocols, as a form shows them."""

    TCP = Protocol.TCP.value, "TCP"
    UDP = Protocol.UDP.value, "UDP"
    ICMP = Protocol.ICMP.value, "ICMP"
    ICMPV6 = Protocol.ICMPV6.value, "ICMPv6"
    ANY = Protocol.ANY.value, "any protocol"


class ApplicationDestination(models.Model):
    """One prefix, protocol and port range of an application."""

    id = models.BigAutoField(primary_key=True)
    application = models.ForeignKey(
        Application, on_delete=models.CASCADE, related_name="destinations"
    )
    prefix = CidrField()
    protocol = models.CharField(max_length=8, choices=ProtocolChoice.choices)
    port_first = models.PositiveIntegerField(null=True, blank=True)
    port_last = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        """Ports are both there or both absent, in order, never 0."""

        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(port_first__isnull=True, port_last__isnull=True)
                | Q(
                    port_first__gte=1,
                    port_last__lte=65535,
                    port_first__lte=F("port_last"),
                ),
                name="policies_destination_ports_in_order",
            ),
        )

    def __str__(self) -> str:
        """Return prefix, protocol and ports as people write them."""
        if self.port_first is None:
            return f"{self.prefix} {self.protocol}"
        if self.port_first == self.port_last:
            return f"{self.prefix} {self.protocol}/{self.port_first}"
        return f"{self.prefix} {self.protocol}/{self.port_first}-{self.port_last}"


class Grant(models.Model):
    """Subject (one user or one group) → application, for a time.

    `expires_at` null means no end; `ended_at` is set when an administrator ends
    the grant. A grant is never deleted: the log speaks of it.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="grants",
    )
    group = models.ForeignKey(
        Group, on_delete=models.PROTECT, null=True, blank=True, related_name="grants"
    )
    application = models.ForeignKey(
        Application, on_delete=models.PROTECT, related_name="grants"
    )
    not_before = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Exactly one subject; an end after the beginning."""

        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(user__isnull=False, group__isnull=True)
                | Q(user__isnull=True, group__isnull=False),
                name="policies_grant_exactly_one_subject",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=True)
                | Q(expires_at__gt=F("not_before")),
                name="policies_grant_ends_after_it_begins",
            ),
        )

    def __str__(self) -> str:
        """Return subject → application."""
        return f"{self.user or self.group} → {self.application}"

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events and rulesets."""
        return Ref(id=f"gt_{self.pk}", label=str(self))


class Snapshot(models.Model):
    """The compiled, numbered, signed desired state of one gateway. Append-only."""

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
    publisher died is found by the sweep. `failure` says why the policy does not
    compile; the last snapshot then stays. `generation` 0 means never published.
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
    stale_since = models.DateTimeField(null=True, blank=True, db_index=True)
    next_change_at = models.DateTimeField(null=True, blank=True, db_index=True)
    failure = models.CharField(max_length=255, blank=True)

    def __str__(self) -> str:
        """Return gateway and generation."""
        return f"{self.gateway_id}@{self.epoch}.{self.generation}"


class AgentState(models.Model):
    """What the portal remembers of an agent: how far its evidence came, its silence.

    `accepted_through` is the highest sequence of evidence that was accepted.
    `lost_since` is set when the agent was reported lost, until it speaks again.
    """

    gateway = models.OneToOneField(
        Gateway,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="agent_state",
    )
    accepted_through = models.PositiveBigIntegerField(default=0)
    lost_since = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        """Return gateway and sequence."""
        return f"{self.gateway_id}#{self.accepted_through}"


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


class Revocation(models.Model):
    """One act of revoking a person: when it was asked, and what it waits for."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="revocations"
    )
    requested_at = models.DateTimeField()
    committed_at = models.DateTimeField(null=True, blank=True)
    actor_label = models.CharField(max_length=255)
    reason = models.CharField(max_length=255)
    devices: models.ManyToManyField[Device, models.Model] = models.ManyToManyField(
        Device, blank=True
    )
    sessions_ended = models.PositiveIntegerField(default=0)
    tokens_revoked = models.PositiveIntegerField(default=0)

    class Meta:
        """Newest first."""

        ordering = ("-id",)

    def __str__(self) -> str:
        """Return whose revocation it is."""
        return f"revocation {self.pk} of {self.user_id}"


class RevocationTarget(models.Model):
    """A gateway that must enforce a revocation: done when it applied `generation`."""

    id = models.BigAutoField(primary_key=True)
    revocation = models.ForeignKey(
        Revocation, on_delete=models.CASCADE, related_name="targets"
    )
    gateway = models.ForeignKey(Gateway, on_delete=models.PROTECT)
    generation = models.PositiveBigIntegerField(null=True)
    enforced_at = models.DateTimeField(null=True, blank=True)
    flows_cut = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        """One row a gateway."""

        constraints = (
            models.UniqueConstraint(
                fields=("revocation", "gateway"),
                name="policies_revocationtarget_once",
            ),
        )

    def __str__(self) -> str:
        """Return which gateway."""
        return f"{self.revocation_id} at {self.gateway_id}"

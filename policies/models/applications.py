"""Applications, where they listen, and who may let people ask for them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from audit.actor import Ref
from peers.fields import CidrField
from peers.models import Gateway
from policies.compiler.hostnames import LONGEST as LONGEST_HOST_NAME
from policies.compiler.strictness import (
    MAX_STALENESS,
    MIN_STALENESS,
    Evidence,
    Strictness,
)
from policies.compiler.types import Protocol
from policies.models.labels import Label
from portal.accounts.models import Group


class EvidenceChoice(models.TextChoices):
    """What becomes of access without evidence, as a form shows it."""

    STRICT = Evidence.STRICT.value, "strict: no access"
    BEST_EFFORT = (
        Evidence.BEST_EFFORT.value,
        "best effort: access goes on, the loss is counted",
    )


class Application(models.Model):
    """Named destinations, served by gateways.

    People may ask for it when `is_requestable`. Its owner, the members of its approver
    group and administrators answer; two of them where `needs_two_approvals`.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=64, unique=True)
    description = models.CharField(max_length=255, blank=True)
    gateways: models.ManyToManyField[Gateway, models.Model] = models.ManyToManyField(
        Gateway, related_name="applications", blank=True
    )
    labels: models.ManyToManyField[Label, models.Model] = models.ManyToManyField(
        Label, related_name="applications", blank=True
    )
    created_at = models.DateTimeField()
    max_staleness = models.PositiveIntegerField(null=True, blank=True)
    evidence = models.CharField(
        max_length=11,
        choices=EvidenceChoice.choices,
        default=Evidence.STRICT.value,
    )
    is_requestable = models.BooleanField(default=False)
    needs_two_approvals = models.BooleanField(default=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="owned_applications",
    )
    approver_group = models.ForeignKey(
        Group,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="approved_applications",
    )

    class Meta:
        """By name; terms are those that a gateway can keep."""

        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                condition=Q(max_staleness__isnull=True)
                | Q(max_staleness__gte=MIN_STALENESS, max_staleness__lte=MAX_STALENESS),
                name="policies_application_staleness_in_bounds",
            ),
            models.CheckConstraint(
                condition=Q(evidence__in=[found.value for found in Evidence]),
                name="policies_application_evidence_is_known",
            ),
        )

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events and snapshots."""
        return Ref(id=f"ap_{self.pk}", label=self.name)

    @property
    def strictness(self) -> Strictness:
        """Its own terms (ADR-0024)."""
        return Strictness(
            max_staleness=self.max_staleness, evidence=Evidence(self.evidence)
        )


class ProtocolChoice(models.TextChoices):
    """The compiler's protocols, as a form shows them."""

    TCP = Protocol.TCP.value, "TCP"
    UDP = Protocol.UDP.value, "UDP"
    ICMP = Protocol.ICMP.value, "ICMP"
    ICMPV6 = Protocol.ICMPV6.value, "ICMPv6"
    ANY = Protocol.ANY.value, "any protocol"


class ApplicationDestination(models.Model):
    """One prefix, protocol and port range of an application.

    With a `host_name`, those addresses of the prefix that the gateway resolves it to.
    """

    id = models.BigAutoField(primary_key=True)
    application = models.ForeignKey(
        Application, on_delete=models.CASCADE, related_name="destinations"
    )
    host_name = models.CharField(max_length=LONGEST_HOST_NAME, blank=True, default="")
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
        """Return name, prefix, protocol and ports as people write them."""
        where = f"{self.host_name} in {self.prefix}" if self.host_name else self.prefix
        if self.port_first is None:
            return f"{where} {self.protocol}"
        if self.port_first == self.port_last:
            return f"{where} {self.protocol}/{self.port_first}"
        return f"{where} {self.protocol}/{self.port_first}-{self.port_last}"

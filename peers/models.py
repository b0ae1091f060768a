"""Who may hold a key: gateways, devices, the key ledger, address leases."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from audit.actor import Ref
from peers.fields import CidrField, PublicKeyField
from peers.sequences import Position


class GatewayState(models.TextChoices):
    """A gateway is pending until its agent has enrolled."""

    PENDING = "pending", "waiting for enrolment"
    ENROLLED = "enrolled", "enrolled"
    RETIRED = "retired", "retired"


class Gateway(models.Model):
    """A Linux host with one WireGuard interface in front of applications.

    `endpoint_host`:`endpoint_port` is what clients dial. `signing_key` is the
    agent's Ed25519 public key (32 bytes); its private half never leaves the host. An
    enrolled gateway keeps its keys for ever: a host that lost them is another
    gateway, so that no key of a gateway is ever forgotten and handed to a device.
    `quarantined_at` is set while two hold its key (ADR-0020): it is told nothing.
    `signing_key` is replaced from time to time: `signing_key_at` says since when it is
    in use, if not since the enrolment, `signing_key_until` when it ends at the latest.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=64)
    endpoint_host = models.CharField(max_length=253)
    endpoint_port = models.PositiveIntegerField(default=51820)
    state = models.CharField(
        max_length=8, choices=GatewayState.choices, default=GatewayState.PENDING
    )
    public_key = PublicKeyField(null=True, blank=True, unique=True)
    signing_key = models.BinaryField(max_length=32, null=True, blank=True, unique=True)
    epoch = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()
    enrolled_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    agent_version = models.CharField(max_length=64, blank=True)
    quarantined_at = models.DateTimeField(null=True, blank=True)
    signing_key_at = models.DateTimeField(null=True, blank=True)
    signing_key_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        """By name, as people look for them; a retired gateway frees its name."""

        ordering = ("name", "id")
        constraints = (
            models.UniqueConstraint(
                fields=("name",),
                condition=~Q(state="retired"),
                name="peers_gateway_one_live_per_name",
            ),
        )

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events and snapshots."""
        return Ref(id=f"gw_{self.pk}", label=self.name)


class GatewayEnrolmentToken(models.Model):
    """A single-use token, kept as SHA-256 only."""

    id = models.BigAutoField(primary_key=True)
    gateway = models.ForeignKey(
        Gateway, on_delete=models.CASCADE, related_name="enrolment_tokens"
    )
    token_sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        """Return which gateway it is for."""
        return f"token of {self.gateway_id}"


class GatewaySigningKey(models.Model):
    """A key that a gateway offered to sign with, or signed with before; for ever.

    One that is neither used nor ended is on offer. `ended_at` is by the gateway's own
    clock where its successor took over: the date under which that one first signed.
    """

    id = models.BigAutoField(primary_key=True)
    gateway = models.ForeignKey(
        Gateway, on_delete=models.CASCADE, related_name="signing_keys"
    )
    public_key = models.BinaryField(max_length=32, unique=True)
    offered_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Newest first."""

        ordering = ("-id",)

    def __str__(self) -> str:
        """Return which gateway's it is."""
        return f"signing key of {self.gateway_id}"


class GatewayChannel(models.Model):
    """The highest request sequence seen from a gateway on one channel.

    An agent keeps several requests in flight (long poll, evidence,
    acknowledgement), each strictly ordered by itself. `signed_at` is the latest date
    under which it signed one that was accepted, by its own clock (`peers.sequences`).
    """

    id = models.BigAutoField(primary_key=True)
    gateway = models.ForeignKey(
        Gateway, on_delete=models.CASCADE, related_name="channels"
    )
    name = models.CharField(max_length=16)
    sequence = models.BigIntegerField(default=0)
    signed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """One counter a channel."""

        constraints = (
            models.UniqueConstraint(
                fields=("gateway", "name"), name="peers_gatewaychannel_once"
            ),
        )

    def __str__(self) -> str:
        """Return gateway, channel and counter."""
        return f"{self.gateway_id}/{self.name}={self.sequence}"

    @property
    def position(self) -> Position:
        """Where the channel stands, to judge by."""
        created = int(self.signed_at.timestamp()) if self.signed_at else 0
        return Position(sequence=self.sequence, created=created)


class AddressPool(models.Model):
    """The tunnel prefixes from which devices lease addresses."""

    id = models.BigAutoField(primary_key=True)
    prefix = CidrField(unique=True)

    class Meta:
        """IPv4 before IPv6 by creation."""

        ordering = ("id",)

    def __str__(self) -> str:
        """Return the prefix."""
        return str(self.prefix)


class DeviceState(models.TextChoices):
    """A device is active or revoked; revoked is final."""

    ACTIVE = "active", "active"
    REVOKED = "revoked", "revoked"


class Device(models.Model):
    """One WireGuard interface on one machine, owned by one person for ever.

    `approved_by` is a copied label, as in the log: a command may approve as well.
    """

    id = models.BigAutoField(primary_key=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="devices"
    )
    name = models.CharField(max_length=64)
    platform = models.CharField(max_length=32, blank=True)
    state = models.CharField(
        max_length=8, choices=DeviceState.choices, default=DeviceState.ACTIVE
    )
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_reason = models.CharField(max_length=255, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    approved_by = models.CharField(max_length=255, blank=True)

    class Meta:
        """Newest first; an active name is unique for its owner.

        An approval has its moment and somebody who gave it, or there is none.
        """

        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(approved_at__isnull=True, approved_by="")
                | Q(approved_at__isnull=False) & ~Q(approved_by=""),
                name="peers_device_approved_by_somebody",
            ),
            models.UniqueConstraint(
                fields=("owner", "name"),
                condition=Q(state="active"),
                name="peers_device_one_active_name_per_owner",
            ),
        )

    def __str__(self) -> str:
        """Return the name its owner gave."""
        return self.name

    @property
    def ref(self) -> Ref:
        """The machine id and label; the number is also the conntrack mark."""
        return Ref(id=f"dv_{self.pk}", label=self.name)

    @property
    def is_active(self) -> bool:
        """Whether the device may appear in a snapshot."""
        return self.state == DeviceState.ACTIVE

    @property
    def is_approved(self) -> bool:
        """Whether an administrator vouches for the machine; grants may demand it."""
        return self.approved_at is not None


class KeyState(models.TextChoices):
    """The life of a key in the ledger (DESIGN §2)."""

    PENDING = "pending", "pending"
    STAGED = "staged", "staged"
    ACTIVE = "active", "active"
    RETIRING = "retiring", "retiring"
    RETIRED = "retired", "retired"
    REVOKED = "revoked", "revoked"


class DeviceKey(models.Model):
    """A public key in the ledger: unique over all time, never deleted."""

    id = models.BigAutoField(primary_key=True)
    device = models.ForeignKey(Device, on_delete=models.PROTECT, related_name="keys")
    public_key = PublicKeyField(unique=True)
    state = models.CharField(max_length=8, choices=KeyState.choices)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """One active key a device."""

        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("device",),
                condition=Q(state="active"),
                name="peers_devicekey_one_active_per_device",
            ),
        )

    def __str__(self) -> str:
        """Return the key and its state."""
        return f"{self.public_key} ({self.state})"


class ForgottenKey(models.Model):
    """A key that a portal restored from a backup had forgotten (ADR-0021).

    A gateway proved by this portal's own signature that the key was once known. Whose
    it was is lost with the rows; it counts as revoked and is never enrolled again.
    """

    id = models.BigAutoField(primary_key=True)
    public_key = PublicKeyField(unique=True)
    gateway = models.ForeignKey(Gateway, on_delete=models.PROTECT)
    learnt_at = models.DateTimeField()

    def __str__(self) -> str:
        """Return the key."""
        return str(self.public_key)


class AddressLease(models.Model):
    """A tunnel address belongs to a device over a time range.

    A released address stays quarantined until `quarantined_until`; for IPv6 that
    is null, which means for ever (DESIGN §2).
    """

    id = models.BigAutoField(primary_key=True)
    pool = models.ForeignKey(AddressPool, on_delete=models.PROTECT)
    device = models.ForeignKey(Device, on_delete=models.PROTECT, related_name="leases")
    address = models.GenericIPAddressField()
    leased_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True, blank=True)
    quarantined_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        """An address has one holder at a time; who held it is asked often."""

        ordering = ("id",)
        indexes = (
            models.Index(
                fields=("address", "leased_at"), name="peers_lease_address_time"
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("address",),
                condition=Q(released_at__isnull=True),
                name="peers_addresslease_one_live_per_address",
            ),
        )

    def __str__(self) -> str:
        """Return the address and its device."""
        return f"{self.address} → {self.device_id}"


class EnrolmentChallenge(models.Model):
    """The portal's half of a possession proof: an ephemeral X25519 key, once.

    `ephemeral_key` is the portal's own single-use private key, gone as soon as
    the proof was checked. No client key is ever stored.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    ephemeral_key = models.BinaryField(max_length=32)
    nonce = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        """Return whose challenge it is."""
        return f"challenge for {self.user_id}"

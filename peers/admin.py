"""Looking at gateways, devices, keys and addresses; revoking leads to the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from audit.admin_base import ReadOnlyAdmin
from peers.models import (
    AddressLease,
    AddressPool,
    Device,
    DeviceKey,
    EnrolmentChallenge,
    ForgottenKey,
    Gateway,
    GatewayChannel,
    GatewayEnrolmentToken,
    GatewaySigningKey,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


@admin.register(Gateway)
class GatewayAdmin(ReadOnlyAdmin[Gateway]):
    """Gateways."""

    hidden = ("signing_key",)
    list_display = (
        "id",
        "name",
        "endpoint_host",
        "state",
        "quarantined_at",
        "seen_at",
        "agent_version",
    )
    list_filter = ("state",)
    search_fields = ("name",)
    actions = ("retire",)

    @admin.action(description="Retire…")
    def retire(
        self, request: HttpRequest, rows: QuerySet[Gateway]
    ) -> HttpResponse | None:
        """Ask on the console's page."""
        return self.confirm_elsewhere(request, rows, "console:retire_gateway")


@admin.register(GatewayEnrolmentToken)
class GatewayEnrolmentTokenAdmin(ReadOnlyAdmin[GatewayEnrolmentToken]):
    """Tokens, without even their digests."""

    hidden = ("token_sha256",)
    list_display = ("id", "gateway", "created_at", "expires_at", "used_at")
    list_select_related = ("gateway",)


@admin.register(GatewaySigningKey)
class GatewaySigningKeyAdmin(ReadOnlyAdmin[GatewaySigningKey]):
    """Keys that were offered and keys that ended."""

    hidden = ("public_key",)
    list_display = ("id", "gateway", "offered_at", "used_at", "ended_at")
    list_select_related = ("gateway",)


@admin.register(GatewayChannel)
class GatewayChannelAdmin(ReadOnlyAdmin[GatewayChannel]):
    """How far each channel of a gateway has counted."""

    list_display = ("id", "gateway", "name", "sequence", "signed_at")
    list_select_related = ("gateway",)


@admin.register(AddressPool)
class AddressPoolAdmin(ReadOnlyAdmin[AddressPool]):
    """The tunnel prefixes."""

    list_display = ("id", "prefix")


@admin.register(Device)
class DeviceAdmin(ReadOnlyAdmin[Device]):
    """Devices."""

    list_display = ("id", "name", "owner", "platform", "state", "created_at")
    list_filter = ("state", "platform")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__name", "owner__email")
    actions = ("revoke",)

    @admin.action(description="Revoke…")
    def revoke(
        self, request: HttpRequest, rows: QuerySet[Device]
    ) -> HttpResponse | None:
        """Ask on the console's page."""
        return self.confirm_elsewhere(request, rows, "console:revoke_device")


@admin.register(DeviceKey)
class DeviceKeyAdmin(ReadOnlyAdmin[DeviceKey]):
    """The key ledger: public keys only."""

    list_display = ("id", "public_key", "device", "state", "created_at", "ended_at")
    list_filter = ("state",)
    list_select_related = ("device",)
    search_fields = ("public_key__exact",)


@admin.register(ForgottenKey)
class ForgottenKeyAdmin(ReadOnlyAdmin[ForgottenKey]):
    """Keys that a restored portal learnt again."""

    list_display = ("id", "public_key", "gateway", "learnt_at")
    list_select_related = ("gateway",)
    search_fields = ("public_key__exact",)


@admin.register(AddressLease)
class AddressLeaseAdmin(ReadOnlyAdmin[AddressLease]):
    """Who held which address when."""

    list_display = ("id", "address", "device", "leased_at", "released_at")
    list_select_related = ("device",)
    search_fields = ("address__exact",)


@admin.register(EnrolmentChallenge)
class EnrolmentChallengeAdmin(ReadOnlyAdmin[EnrolmentChallenge]):
    """Challenges that wait for an answer, without what would answer them."""

    hidden = ("ephemeral_key", "nonce")
    list_display = ("id", "user", "created_at", "expires_at")
    list_select_related = ("user",)

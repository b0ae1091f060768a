"""What the people's API takes and gives. Rules about values are the services'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rest_framework import serializers

from peers.keys import fingerprint
from peers.models import KeyState

if TYPE_CHECKING:
    from datetime import datetime

    from peers.models import AddressLease, Device
    from portal.accounts.models import User

TEXT_LENGTH: Final = 1024


class TextField(serializers.Field[str, str, str, Any]):
    """A text as it came: nothing trimmed, so that services judge what was sent."""

    length = TEXT_LENGTH

    def to_internal_value(self, data: object) -> str:
        """Refuse what is no text, or is far too long for any field."""
        if not isinstance(data, str) or len(data) > self.length:
            msg = f"must be a text of at most {self.length} characters"
            raise serializers.ValidationError(msg)
        return data

    def to_representation(self, value: str) -> str:
        """Return it unchanged."""
        return value


class MomentField(serializers.DateTimeField):
    """A time written as text in plain characters.

    Python's own reader stops at a NUL and says nothing, and takes the digits of other
    scripts, which people do not see are others.
    """

    def to_internal_value(self, value: object) -> datetime:
        """Refuse what is not plain text before it is read."""
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            msg = "must be a time like 2026-12-31T23:59:59Z"
            raise serializers.ValidationError(msg)
        return super().to_internal_value(value)


class ClosedInput(serializers.Serializer[Any]):
    """An input whose every field is known: one too many is refused, not ignored (C02).

    Whoever sends `owner` or `is_admin` means something that will not happen.
    """

    def to_internal_value(self, data: object) -> dict[str, Any]:
        """Refuse fields that are not declared."""
        if isinstance(data, dict) and (unknown := data.keys() - self.fields.keys()):
            name = min(map(str, unknown))[:TEXT_LENGTH]
            raise serializers.ValidationError({"unknown field": [ascii(name)]})
        found: dict[str, Any] = super().to_internal_value(data)
        return found


class EnrolmentInput(ClosedInput):
    """A device that asks to be enrolled."""

    name = TextField()
    platform = TextField(required=False, default="")
    public_key = TextField()
    challenge = serializers.UUIDField()
    proof = TextField()


class RevocationInput(ClosedInput):
    """Why a device is revoked; it may be left out."""

    reason = TextField(required=False, default="")


def device_output(device: Device) -> dict[str, Any]:
    """Return a device, read through a selector, as its owner sees it."""
    active = [key for key in device.keys.all() if key.state == KeyState.ACTIVE]
    return {
        "id": device.pk,
        "name": device.name,
        "platform": device.platform,
        "state": device.state,
        "is_approved": device.is_approved,
        "addresses": [lease.address for lease in _live_leases(device)],
        "fingerprint": fingerprint(active[0].public_key) if active else None,
        "created_at": device.created_at.isoformat(),
    }


def person_output(user: User) -> dict[str, Any]:
    """Return a person as they see themselves."""
    return {
        "id": user.pk,
        "name": str(user),
        "email": user.email,
        "role": user.role,
        "groups": sorted(user.groups.values_list("name", flat=True)),
    }


def _live_leases(device: Device) -> list[AddressLease]:
    # The selectors read them along under this name.
    return device.live_leases  # type: ignore[attr-defined, no-any-return]

"""Errors of peers. Messages are facts that may be shown to the person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peers.models import Gateway


class PeerError(Exception):
    """Root of every refusal in this app."""


class InvalidKeyError(PeerError):
    """A public key is malformed, not canonical, or of low order."""


class KeySeenError(PeerError):
    """The key is in the ledger already, whoever holds or held it."""


class PossessionError(PeerError):
    """The proof of possession is wrong, or its challenge is gone."""


class DeviceLimitError(PeerError):
    """The person has as many devices as are allowed."""


class DeviceRevokedError(PeerError):
    """The device was revoked, which is final."""


class OwnerInactiveError(PeerError):
    """The person is disabled and holds nothing."""


class InvalidNameError(PeerError):
    """A name is empty, too long, taken, or has control characters."""


class InvalidEndpointError(PeerError):
    """A gateway's endpoint is neither a host name nor an IP address with a port."""


class PoolExhaustedError(PeerError):
    """No address is free."""


class EnrolmentTokenError(PeerError):
    """A gateway's enrolment token is unknown, used, or expired."""


class GatewayStateError(PeerError):
    """A gateway is not in the state that the action needs."""


class GatewayRequestError(PeerError):
    """A gateway's request is unsigned, forged, replayed, or out of time."""


class ClockError(GatewayRequestError):
    """The gateway signed it, but long ago or far ahead of our clock."""

    def __init__(self, gateway: Gateway, skew: float) -> None:
        """Keep whose signature it is; it is `skew` seconds ahead."""
        super().__init__(
            f"signed {abs(skew):.0f} seconds"
            f" {'ahead of' if skew > 0 else 'behind'} our clock: more than 60; one of"
            " the clocks is wrong, or this was sent before"
        )
        self.gateway = gateway


class ReplayError(GatewayRequestError):
    """The request's sequence is not above the last one seen."""


class QuarantineError(GatewayRequestError):
    """The gateway is in quarantine: two hold its key."""

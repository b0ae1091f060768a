"""Errors of peers. Messages are facts that may be shown to the person."""

from __future__ import annotations


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


class InvalidNameError(PeerError):
    """A name is empty, too long, taken, or has control characters."""


class PoolExhaustedError(PeerError):
    """No address is free."""


class EnrolmentTokenError(PeerError):
    """A gateway's enrolment token is unknown, used, or expired."""


class GatewayRequestError(PeerError):
    """A gateway's request is unsigned, forged, replayed, or out of time."""


class ReplayError(GatewayRequestError):
    """The request's sequence is not above the last one seen."""

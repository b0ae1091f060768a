"""Errors of the agent. One root; a subclass where a caller acts otherwise."""

from __future__ import annotations


class GatewayError(Exception):
    """Root of every error the agent raises."""


class ConfigError(GatewayError):
    """The command line or the state directory asks for something impossible."""


class StoreError(GatewayError):
    """Something in the state directory cannot be read or written."""


class SpoolError(GatewayError):
    """The evidence spool cannot take, give back or forget a record."""


class PortalError(GatewayError):
    """A conversation with the portal failed."""


class PortalUnreachableError(PortalError):
    """No answer: refused, timed out, wrong certificate, or cut off."""


class PortalRefusedError(PortalError):
    """The portal answered, and the answer was no."""

    def __init__(self, status: int, detail: str, *, date: str = "") -> None:
        """Keep the HTTP status and the answer's `Date` beside the message."""
        super().__init__(f"the portal answered {status}: {detail}")
        self.status = status
        self.date = date


class PortalAnswerError(PortalError):
    """The portal's answer is not of the form the protocol fixes."""


class UntrustedError(GatewayError):
    """A snapshot, lease or acknowledgement breaks a rule of `gateway.trust`."""


class StaleError(UntrustedError):
    """What was offered is older than what is held, or has run out."""


class DeltaError(UntrustedError):
    """A delta did not lead to a snapshot that is acceptable: ask for the whole."""


class UpgradeError(UntrustedError):
    """A pinned key signed it in a form that this agent is too old to read."""


class EquivocationError(UntrustedError):
    """Two signed things give one generation two contents: both are evidence."""


class RevokedKeyError(UntrustedError):
    """A key that was revoked is a peer again, or is forgotten as revoked."""


class KernelError(GatewayError):
    """The kernel, or a program that stands in for it, refused."""


class NetlinkError(KernelError):
    """The kernel answered a netlink request with an error number."""

    def __init__(self, number: int, what: str) -> None:
        """Keep the errno beside the message."""
        super().__init__(f"{what}: errno {number}")
        self.number = number


class NftablesError(KernelError):
    """libnftables refused a transaction; nothing of it was applied."""


class ResolverError(GatewayError):
    """Nobody could say what a host name stands for."""


class WireGuardError(KernelError):
    """The WireGuard interface cannot be made, reached or changed."""

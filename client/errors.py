"""Errors of the command line; their messages are what the person reads."""

from __future__ import annotations


class ClientError(Exception):
    """Root: something went wrong and the message says what."""


class PortalError(ClientError):
    """The portal refused, or could not be reached."""

    def __init__(self, message: str, *, status: int = 0, code: str = "") -> None:
        """Keep the HTTP status and the OAuth error code, when there are any."""
        super().__init__(message)
        self.status = status
        self.code = code


class ConfigError(ClientError):
    """A configuration is missing, or is not one we would hand to wg-quick."""

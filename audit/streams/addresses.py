"""Where a receiver is: a URL, or a host and a port."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from audit.outbound import OutboundError, checked_url
from audit.streams.errors import InvalidStreamError
from audit.streams.models import StreamKind

ADDRESS_LENGTH: Final = 500
MAX_PORT: Final = 65_535
HOST_AND_PORT: Final = re.compile(
    r"(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[1-9][0-9]{0,4})"
)


def checked_address(kind: StreamKind, text: str) -> str:
    """Return an address that a kind of receiver can have.

    Raises:
        InvalidStreamError: it can never be sent to.
    """
    if len(text) > ADDRESS_LENGTH:
        raise InvalidStreamError(f"an address has at most {ADDRESS_LENGTH} characters")
    if kind == StreamKind.SYSLOG:
        host_and_port(text)
        return text
    try:
        return checked_url(text)
    except OutboundError as exc:
        raise InvalidStreamError(str(exc)) from exc


def host_and_port(text: str) -> tuple[str, int]:
    """Return host and port of a syslog receiver; IPv6 in brackets.

    Raises:
        InvalidStreamError: it has another form.
    """
    match = HOST_AND_PORT.fullmatch(text)
    if match is None or int(match["port"]) > MAX_PORT:
        raise InvalidStreamError(
            "a syslog address is host:port, for example siem.example.com:6514"
        )
    return match["host"].strip("[]"), int(match["port"])


def host_of_base_url(url: str) -> str:
    """Return the host the portal is known by."""
    return urlsplit(url).hostname or ""

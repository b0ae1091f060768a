"""A gateway's endpoint: what clients dial. Pure.

It is written into every client's configuration, so it is an IP address in
canonical text or an ASCII host name (RFC 1123 §2.1), and nothing else: no zone, no
port inside the host, no character that could begin another line or key.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

from peers.errors import InvalidEndpointError

HOST_LENGTH: Final = 253

_LABEL: Final = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)


def valid_endpoint_host(text: str) -> str:
    """Return the host in its one form: lower case, addresses canonical.

    Raises:
        InvalidEndpointError: neither an address clients can dial nor a host name.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return _host_name(text)
    if "%" in text or address.is_unspecified or address.is_multicast:
        msg = f"clients cannot dial {text}"
        raise InvalidEndpointError(msg)
    return str(address)


def valid_endpoint_port(port: int) -> int:
    """Return the port.

    Raises:
        InvalidEndpointError: not from 1 to 65535.
    """
    if not 1 <= port <= 65535:  # noqa: PLR2004 -- the range of UDP ports
        msg = f"a port runs from 1 to 65535, not {port}"
        raise InvalidEndpointError(msg)
    return port


def _host_name(text: str) -> str:
    if len(text) > HOST_LENGTH or not _HOST_NAME.fullmatch(text):
        msg = f"{text!r} is neither an IP address nor a host name"
        raise InvalidEndpointError(msg)
    # RFC 1123 §2.1: the last label of a name is alphabetic; all digits is a
    # mistyped address (leading zeros, a missing octet).
    if text.rsplit(".", maxsplit=1)[-1].isdigit():
        msg = f"{text!r} looks like an IP address but is none"
        raise InvalidEndpointError(msg)
    return text.lower()

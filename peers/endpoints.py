"""A gateway's endpoint: what clients dial. Pure.

It is written into every client's configuration, so it is an IP address in
canonical text or an ASCII host name (RFC 1123 §2.1), and nothing else: no zone, no
port inside the host, no character that could begin another line or key. wg(8) would
take more (attack D07): itself, a cloud's metadata service, every link's neighbour.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from peers.errors import InvalidEndpointError

HOST_LENGTH: Final = 253

_RESERVED: Final = ip_network("240.0.0.0/4")  # RFC 1112 §4, and broadcast
_LABEL: Final = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
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
    if "%" in text or _is_nobodys(address):
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
    # RFC 1123 §2.1: the last label of a name is alphabetic; a number is a mistyped
    # address (leading zeros, a missing octet), or one that inet_aton(3) alone reads.
    if _NUMBER.fullmatch(text.rsplit(".", maxsplit=1)[-1]):
        msg = f"{text!r} looks like an IP address but is none"
        raise InvalidEndpointError(msg)
    name = text.lower()
    # RFC 6761 §6.3: these names are the client itself.
    if name == "localhost" or name.endswith(".localhost"):
        msg = f"clients cannot dial {text}: it is themselves"
        raise InvalidEndpointError(msg)
    return name


def _is_nobodys(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is no one machine that every client can dial."""
    inner = getattr(address, "ipv4_mapped", None)
    return (
        address.is_unspecified
        or address.is_multicast
        or address.is_loopback
        or address.is_link_local
        or inner is not None
        or address in _RESERVED
    )

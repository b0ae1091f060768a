"""Names, ports and protocols as they are written in `src`, `dst`, `proto` and `ip`."""

from __future__ import annotations

import re
from typing import Final

from policies.compiler.errors import InvalidValueError
from policies.compiler.hostnames import host_name
from policies.compiler.ranges import Range
from policies.compiler.regions import ICMP, ICMPV6, TCP, UDP
from policies.compiler.types import MAX_PORT, IPNetwork, network
from policies.dialect.document import (
    ANY_PORT,
    START,
    Selector,
    SelectorKind,
    Service,
)
from policies.dialect.errors import DialectError, Position

SCTP: Final = 132
DEFAULT_PROTOCOLS: Final = (ICMP, TCP, UDP, ICMPV6)
PORTED: Final = frozenset({TCP, UDP, SCTP})

PROTOCOLS: Final = {
    "icmp": (ICMP, ICMPV6),
    "igmp": (2,),
    "ipv4": (4,),
    "ip-in-ip": (4,),
    "tcp": (TCP,),
    "egp": (8,),
    "igp": (9,),
    "udp": (UDP,),
    "gre": (47,),
    "esp": (50,),
    "ah": (51,),
    "ipv6-icmp": (ICMPV6,),
    "sctp": (SCTP,),
    "any": tuple(range(1, 256)),
}
"""Names of IP protocols; `icmp` is that of both families.

`any` is ours: every protocol, said by name. The dialect's `*` is the default four.
"""

SELF: Final = "autogroup:self"
INTERNET: Final = "autogroup:internet"
DANGER: Final = "autogroup:danger-all"
MEMBER: Final = "autogroup:member"
TAGGED: Final = "autogroup:tagged"
ROLES: Final = frozenset(
    f"autogroup:{role}"
    for role in (
        "member",
        "owner",
        "admin",
        "it-admin",
        "network-admin",
        "billing-admin",
        "auditor",
    )
)
AUTOGROUPS: Final = ROLES | {SELF, INTERNET, DANGER, TAGGED}

_ALIAS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_HIGHEST_PROTOCOL: Final = 255
_PREFIXED: Final = (
    SelectorKind.GROUP,
    SelectorKind.TAG,
    SelectorKind.ROLE,
    SelectorKind.IPSET,
)


def selector(text: str, position: Position = START) -> Selector:
    """Return what a name in `src` or `dst` is.

    Raises:
        DialectError: it cannot be any of the kinds.
    """
    for kind in _PREFIXED:
        if text.startswith(kind.value) and len(text) > len(kind.value):
            return Selector(kind=kind, text=text, position=position)
    if text == "*":
        return Selector(kind=SelectorKind.EVERYTHING, text=text, position=position)
    if text.startswith(SelectorKind.DOMAIN.value):
        return Selector(kind=SelectorKind.DOMAIN, text=text, position=position)
    if "@" in text:
        return Selector(kind=SelectorKind.USER, text=text, position=position)
    if _looks_numeric(text):
        return Selector(
            kind=SelectorKind.PREFIX,
            text=text,
            prefix=prefix(text),
            position=position,
        )
    check_alias(text)
    return Selector(kind=SelectorKind.HOST, text=text, position=position)


def prefix(text: str) -> IPNetwork:
    """Return an address or prefix; host bits are an error that names the fix."""
    try:
        return network(text)
    except InvalidValueError as exc:
        raise DialectError(str(exc)) from exc


def host(text: str) -> str:
    """Return an exact host name; an error names the fix."""
    try:
        return host_name(text)
    except InvalidValueError as exc:
        raise DialectError(str(exc)) from exc


def check_alias(text: str) -> None:
    """Refuse what cannot be the name of a host."""
    if _ALIAS.fullmatch(text) is None:
        msg = f"{text!r} is not a user, group, tag, host or address"
        raise DialectError(msg)


def split_ports(text: str) -> tuple[str, str]:
    """Return the host and the ports of `host:ports`; `[…]` may stand around IPv6.

    Raises:
        DialectError: there are no ports.
    """
    host, colon, ports = text.rpartition(":")
    if not colon or not host or not ports or ports.endswith("]"):
        msg = f"dst {text!r}: ports are missing, write host:port or host:*"
        raise DialectError(msg)
    if host.startswith("["):
        inner, bracket, tail = host[1:].partition("]")
        if not bracket or ":" not in inner or (tail and not tail.startswith("/")):
            msg = f"dst {text!r}: brackets stand around IPv6 addresses only"
            raise DialectError(msg)
        host = inner + tail
    return host, ports


def port_ranges(text: str) -> tuple[Range, ...]:
    """Return the ports written in `text`: `*`, `n`, `a-b`, or several with commas.

    Raises:
        DialectError: with the words of the reference service.
    """
    if text == "*":
        return (ANY_PORT,)
    return tuple(_port_range(part) for part in text.split(","))


def protocol_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a protocol that is named or numbered in `text`.

    Raises:
        DialectError: no protocol is called so.
    """
    lower = text.lower()
    if lower in PROTOCOLS:
        return PROTOCOLS[lower]
    if re.fullmatch(r"[1-9][0-9]{0,2}", text) and int(text) <= _HIGHEST_PROTOCOL:
        return (int(text),)
    msg = f"unknown protocol {text!r}: use a name or a number from 1 to 255"
    raise DialectError(msg)


def services(protocol: str, ports: str) -> tuple[Service, ...]:
    """Return the services of a protocol (`""` is the default ones) on some ports.

    Raises:
        DialectError: the protocol or the ports are malformed, or do not go together.
    """
    ranges = port_ranges(ports)
    if not protocol:
        return tuple(Service(DEFAULT_PROTOCOLS, span, named=False) for span in ranges)
    numbers = protocol_numbers(protocol)
    if PORTED.isdisjoint(numbers) and ranges != (ANY_PORT,):
        msg = f"protocol {protocol!r} has no ports, write '*'"
        raise DialectError(msg)
    return tuple(Service(numbers, span) for span in ranges)


def grant_services(text: str) -> tuple[Service, ...]:
    """Return the services of one entry of a grant's `ip`.

    Raises:
        DialectError: it is malformed; a protocol alone is.
    """
    protocol, colon, ports = text.rpartition(":")
    if colon and not protocol:
        msg = f"ip {text!r}: the protocol is missing"
        raise DialectError(msg)
    return services(protocol, ports)


def _port_range(text: str) -> Range:
    """Return one port or range."""
    first, dash, last = text.partition("-")
    begin, end = _port(first), _port(last) if dash else _port(first)
    trouble = ""
    if begin is None:
        trouble = "invalid first integer"
    elif begin == 0:
        trouble = "first port must be >0, or use '*' for wildcard"
    elif end is None:
        trouble = "invalid last integer"
    elif end < begin:
        trouble = "last port must be >= first port"
    if begin is None or end is None or trouble:
        msg = f'port range "{text}": {trouble}'
        raise DialectError(msg)
    return (begin, end)


def _port(text: str) -> int | None:
    """Return a port number, if it is one."""
    is_port = re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= MAX_PORT
    return int(text) if is_port else None


def _looks_numeric(text: str) -> bool:
    """Return whether a name can only be meant as an address or prefix."""
    return ":" in text or "/" in text or re.fullmatch(r"[0-9.]+", text) is not None

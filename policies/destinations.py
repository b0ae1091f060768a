"""From what a person wrote to an application's destinations. Pure.

Every rule of a destination is the compiler's; here they are joined by the one that
needs a view of the whole application: no address, protocol and port twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

from audit.text import visible
from policies.compiler.errors import InvalidValueError
from policies.compiler.types import Destination, PortRange, Protocol, network
from policies.errors import InvalidDestinationError

if TYPE_CHECKING:
    from collections.abc import Sequence

PORTED: Final = frozenset({Protocol.TCP, Protocol.UDP})


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationInput:
    """A destination as somebody wrote it. One port alone means only that port."""

    prefix: str
    protocol: str
    port_first: int | None = None
    port_last: int | None = None
    host: str = ""


def parse_destinations(inputs: Sequence[DestinationInput]) -> tuple[Destination, ...]:
    """Return the destinations, sorted.

    Raises:
        InvalidDestinationError: none at all, one that is malformed, or two that
            overlap; the message names them and the fix.
    """
    if not inputs:
        msg = "an application needs at least one destination"
        raise InvalidDestinationError(msg)
    parsed = [_destination(given) for given in inputs]
    for one, other in combinations(parsed, 2):
        if _overlap(one, other):
            msg = f"{label(one)} and {label(other)} overlap; {_fix(one, other)}"
            raise InvalidDestinationError(msg)
    return tuple(sorted(parsed, key=lambda destination: destination.sort_key))


def label(destination: Destination) -> str:
    """Return a destination as people write it: `10.0.0.0/24 tcp/443`.

    By name it is `db.example.com in 10.0.0.0/24 tcp/443`.
    """
    host = f"{destination.host} in " if destination.host else ""
    text = f"{host}{destination.prefix} {destination.protocol.value}"
    if (ports := destination.ports) is None:
        return text
    if ports.first == ports.last:
        return f"{text}/{ports.first}"
    return f"{text}/{ports.first}-{ports.last}"


def _destination(given: DestinationInput) -> Destination:
    try:
        protocol = Protocol(given.protocol)
    except ValueError as exc:
        known = ", ".join(Protocol)
        msg = f"'{visible(given.protocol)}' is not a protocol; use one of {known}"
        raise InvalidDestinationError(msg) from exc
    try:
        return Destination(
            prefix=network(given.prefix),
            protocol=protocol,
            ports=_ports(given),
            host=given.host,
        )
    except InvalidValueError as exc:
        host = f"{given.host} in " if given.host else ""
        written = visible(f"{host}{given.prefix} {given.protocol}")
        hint = ""
        if protocol in PORTED and given.port_first is None:
            hint = "; write 1-65535 for all of them"
        msg = f"{written}: {exc}{hint}"
        raise InvalidDestinationError(msg) from exc


def _ports(given: DestinationInput) -> PortRange | None:
    if given.port_first is None and given.port_last is None:
        return None
    if given.port_first is None:
        msg = f"the port range up to {given.port_last} has no beginning"
        raise InvalidValueError(msg)
    last = given.port_first if given.port_last is None else given.port_last
    return PortRange(first=given.port_first, last=last)


def _overlap(one: Destination, other: Destination) -> bool:
    if one.prefix.version != other.prefix.version:
        return False
    # A name stands for some of its prefix only, and two names may well share that.
    if one.host != other.host or not one.prefix.overlaps(other.prefix):
        return False
    if Protocol.ANY in {one.protocol, other.protocol}:
        return True
    if one.protocol is not other.protocol:
        return False
    if one.ports is None or other.ports is None:
        return True
    return one.ports.first <= other.ports.last and other.ports.first <= one.ports.last


def _fix(one: Destination, other: Destination) -> str:
    if _covers(one, other):
        return f"remove {label(other)}, the first covers it"
    if _covers(other, one):
        return f"remove {label(one)}, the second covers it"
    return "split them so that no address, protocol and port is named twice"


def _covers(wide: Destination, narrow: Destination) -> bool:
    if wide.prefix.prefixlen > narrow.prefix.prefixlen:
        return False
    if wide.protocol is Protocol.ANY:
        return True
    if wide.protocol is not narrow.protocol:
        return False
    if wide.ports is None or narrow.ports is None:
        return True
    return (
        wide.ports.first <= narrow.ports.first and narrow.ports.last <= wide.ports.last
    )

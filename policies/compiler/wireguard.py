"""AllowedIPs of both ends, and the text of a wg-quick(8) configuration.

AllowedIPs on a device are routing, not authorisation: ports and people are enforced
on the gateway by nftables, whatever the device's file says. On the gateway they are
exactly the device's own addresses (cryptokey routing: a key speaks for its address).

Nothing here knows a private key, except `with_private_key`, which runs where the key
was made. No free text enters a configuration: addresses, numbers, keys, one host name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Final

from policies.compiler.compile import subjects_of_user
from policies.compiler.errors import InvalidValueError
from policies.compiler.ranges import collapsed, host_prefix
from policies.compiler.types import (
    MAX_PORT,
    Facts,
    IPAddress,
    IPNetwork,
    Snapshot,
    is_live,
    sorted_addresses,
)
from policies.compiler.validate import check_key

KEEPALIVE_SECONDS: Final = 25
"""wg(8): keeps a NAT mapping open; 25 s suits a wide variety of firewalls."""

_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_HEAD: Final = "[Interface]\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPeer:
    """A gateway as a device's configuration names it.

    Raises:
        InvalidValueError: the key, the host or the port is malformed.
    """

    public_key: str
    endpoint_host: str
    endpoint_port: int
    allowed_ips: tuple[IPNetwork, ...]

    def __post_init__(self) -> None:
        """Refuse whatever could break out of its line."""
        check_key(self.public_key)
        if not 1 <= self.endpoint_port <= MAX_PORT:
            msg = f"{self.endpoint_port} is not a port"
            raise InvalidValueError(msg)
        _endpoint_host(self.endpoint_host)

    @property
    def endpoint(self) -> str:
        """Host and port as wg(8) writes them, IPv6 in brackets."""
        return f"{_endpoint_host(self.endpoint_host)}:{self.endpoint_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPeer:
    """A device as the gateway's WireGuard interface holds it."""

    public_key: str
    allowed_ips: tuple[IPNetwork, ...]


def device_allowed_ips(
    facts: Facts, *, user_id: int, now: datetime
) -> tuple[IPNetwork, ...]:
    """Return the prefixes that a person's devices route to this gateway.

    The destinations of the person's live grants, collapsed and sorted. No live
    grant gives an empty tuple: WireGuard then carries nothing. Hours and other
    conditions do not change routes: a client's file is not made anew every morning.
    """
    subjects = subjects_of_user(facts, user_id)
    granted = {
        grant.application_id
        for grant in facts.grants
        if grant.subject in subjects
        and is_live(grant.not_before, grant.expires_at, now=now)
    }
    return collapsed(
        destination.prefix
        for application in facts.applications
        if application.id in granted
        for destination in application.destinations
    )


def gateway_peers(snapshot: Snapshot, *, now: datetime) -> tuple[GatewayPeer, ...]:
    """Return what the gateway's interface should hold at `now`, by public key."""
    live = (peer for peer in snapshot.peers if now < peer.expires_at)
    return tuple(
        sorted(
            (
                GatewayPeer(
                    public_key=peer.public_key,
                    allowed_ips=host_prefixes(peer.addresses),
                )
                for peer in live
            ),
            key=lambda peer: peer.public_key,
        )
    )


def host_prefixes(addresses: Sequence[IPAddress]) -> tuple[IPNetwork, ...]:
    """Return each address as a prefix of its own, IPv4 first, in order."""
    return tuple(map(host_prefix, sorted_addresses(tuple(addresses))))


def client_config(addresses: Sequence[IPAddress], peers: Sequence[ClientPeer]) -> str:
    """Return a wg-quick(8) configuration that lacks only its private key.

    A gateway that carries nothing for this person is left out. A prefix behind two
    gateways goes to the first one listed: wg(8) would silently give it to the last.

    Raises:
        InvalidValueError: the device has no address.
    """
    if not addresses:
        msg = "a device without an address has no configuration"
        raise InvalidValueError(msg)
    lines = [_HEAD + f"Address = {_joined(host_prefixes(addresses))}\n"]
    taken: set[IPNetwork] = set()
    for peer in peers:
        routed = tuple(ip for ip in peer.allowed_ips if ip not in taken)
        taken.update(routed)
        if routed:
            lines.append(_peer_section(peer, routed))
    return "\n".join(lines)


def with_private_key(text: str, private_key: str) -> str:
    """Return the configuration made whole, on the machine that made the key.

    Raises:
        InvalidValueError: not a configuration of ours, one that already carries a
            key, or a malformed key (which the message does not repeat).
    """
    try:
        check_key(private_key)
    except InvalidValueError:
        msg = "the private key is not 32 bytes in canonical base64"
        raise InvalidValueError(msg) from None
    if not text.startswith(_HEAD) or "PrivateKey" in text:
        msg = "not a configuration that waits for its private key"
        raise InvalidValueError(msg)
    return f"{_HEAD}PrivateKey = {private_key}\n{text.removeprefix(_HEAD)}"


def _peer_section(peer: ClientPeer, allowed_ips: tuple[IPNetwork, ...]) -> str:
    """Return one `[Peer]` section."""
    return (
        "[Peer]\n"
        f"PublicKey = {peer.public_key}\n"
        f"AllowedIPs = {_joined(allowed_ips)}\n"
        f"Endpoint = {peer.endpoint}\n"
        f"PersistentKeepalive = {KEEPALIVE_SECONDS}\n"
    )


def _joined(networks: tuple[IPNetwork, ...]) -> str:
    """Return prefixes as wg(8) lists them."""
    return ", ".join(str(network) for network in networks)


def _endpoint_host(host: str) -> str:
    """Return the host as an Endpoint writes it: a DNS name or an address."""
    try:
        address = ip_address(host)
    except ValueError:
        if _HOST.fullmatch(host) is None:
            msg = f"{host!r} is neither a host name nor an address"
            raise InvalidValueError(msg) from None
        return host
    if "%" in host:
        msg = f"{host!r} carries a zone"
        raise InvalidValueError(msg)
    return f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004

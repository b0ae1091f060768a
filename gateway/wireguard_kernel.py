"""The kernel's WireGuard, by generic netlink through pyroute2.

The second driver of `gateway.wireguard`. pyroute2 is used here and nowhere else;
on a kernel without the module `create` says so and the agent starts wireguard-go.
The messages are those of `linux/uapi/linux/wireguard.h`.
"""

from __future__ import annotations

import base64
import errno
from collections.abc import Iterable
from typing import Any

from pyroute2 import IPRoute, WireGuard
from pyroute2.netlink.exceptions import (
    NetlinkError as Pyroute2Error,
)

from gateway.errors import WireGuardError
from gateway.types import InterfaceState, PeerMap, Sighting
from gateway.wireguard import clamped
from policies.compiler.types import IPNetwork, network

KIND = "wireguard"
ABSENT = {errno.EOPNOTSUPP, errno.ENODEV, errno.ENOENT}


class KernelWireGuard:
    """One kernel interface; a generic netlink socket per operation."""

    def __init__(self, interface: str) -> None:
        """Talk about `interface`."""
        self._interface = interface
        self._private_key = ""

    def read(self) -> InterfaceState:
        """Return what the interface holds."""
        port, private_key, peers = 0, "", dict[str, frozenset[IPNetwork]]()
        seen = dict[str, Sighting]()
        try:
            with WireGuard() as wireguard:
                for part in wireguard.info(self._interface):
                    port = part.get_attr("WGDEVICE_A_LISTEN_PORT") or port
                    private = part.get_attr("WGDEVICE_A_PRIVATE_KEY")
                    private_key = private.decode("ascii") if private else private_key
                    for peer in part.get_attr("WGDEVICE_A_PEERS") or ():
                        key = peer.get_attr("WGPEER_A_PUBLIC_KEY").decode("ascii")
                        # A long list of prefixes continues in the next message,
                        # which has the key and more prefixes, and nothing else.
                        peers[key] = peers.get(key, frozenset()) | _prefixes(peer)
                        seen.setdefault(key, _sighting(peer))
        except (OSError, Pyroute2Error) as exc:
            raise WireGuardError(f"{self._interface}: {exc}") from exc
        return InterfaceState(
            listen_port=port,
            peers=peers,
            is_keyed=self._private_key in {"", private_key},
            seen=seen,
        )

    def set_private_key(self, private_key: str) -> None:
        """Set the private key (base64)."""
        self._set(private_key=private_key)
        self._private_key = base64.b64encode(clamped(private_key)).decode("ascii")

    def set_listen_port(self, port: int) -> None:
        """Listen on another port."""
        self._set(listen_port=port)

    def remove_peers(self, keys: Iterable[str]) -> None:
        """Remove the peers with these public keys."""
        for key in keys:
            self._set(peer={"public_key": key, "remove": True})

    def set_peers(self, peers: PeerMap) -> None:
        """Add peers, or change the AllowedIPs of those there are."""
        for key, prefixes in peers.items():
            self._set(
                peer={
                    "public_key": key,
                    "replace_allowed_ips": True,
                    "allowed_ips": [str(prefix) for prefix in prefixes],
                }
            )

    def _set(self, **what: Any) -> None:  # noqa: ANN401 -- pyroute2's own signature
        try:
            with WireGuard() as wireguard:
                wireguard.set(self._interface, **what)
        except (OSError, Pyroute2Error) as exc:
            raise WireGuardError(f"{self._interface}: {exc}") from exc


def find(interface: str) -> KernelWireGuard | None:
    """Return the driver of an existing kernel interface, or None."""
    with IPRoute() as route:
        for link in route.get_links():
            if link.get_attr("IFLA_IFNAME") == interface:
                info = link.get_attr("IFLA_LINKINFO")
                kind = info.get_attr("IFLA_INFO_KIND") if info else None
                return KernelWireGuard(interface) if kind == KIND else None
    return None


def create(interface: str) -> KernelWireGuard | None:
    """Create the interface in the kernel; None when the kernel cannot.

    Raises:
        WireGuardError: the kernel can, but refused.
    """
    try:
        with IPRoute() as route:
            route.link("add", ifname=interface, kind=KIND)
    except Pyroute2Error as exc:
        if exc.code in ABSENT:
            return None
        raise WireGuardError(f"cannot create {interface}: {exc}") from exc
    return KernelWireGuard(interface)


def _sighting(peer: Any) -> Sighting:  # noqa: ANN401 -- an untyped message
    moment = peer.get_attr("WGPEER_A_LAST_HANDSHAKE_TIME") or {}
    return Sighting(
        handshake_ns=int(moment.get("tv_sec", 0)) * 10**9
        + int(moment.get("tv_nsec", 0)),
        endpoint=_endpoint(peer.get_attr("WGPEER_A_ENDPOINT")),
        received=int(peer.get_attr("WGPEER_A_RX_BYTES") or 0),
        sent=int(peer.get_attr("WGPEER_A_TX_BYTES") or 0),
    )


def _endpoint(found: Any) -> str:  # noqa: ANN401 -- an untyped message
    """Return a socket address as the other driver says it, or nothing."""
    if not found:
        return ""
    host = f"[{found['addr']}]" if ":" in found["addr"] else found["addr"]
    return f"{host}:{found['port']}"


def _prefixes(peer: Any) -> frozenset[IPNetwork]:  # noqa: ANN401 -- an untyped message
    found = peer.get_attr("WGPEER_A_ALLOWEDIPS") or ()
    return frozenset(network(prefix["addr"]) for prefix in found)

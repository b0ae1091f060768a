"""The kernel as the agent uses it: one interface's table, peers, flows and routes.

`Kernel` is what the engine needs; `LinuxKernel` does it, `FakeKernel` in the tests
keeps it in memory. Nothing here starts a program, except wireguard-go once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from gateway import conntrack, links, wireguard, wireguard_kernel
from gateway.changes import Changes
from gateway.claim import Claim
from gateway.counters import Accepted
from gateway.errors import NftablesError, WireGuardError
from gateway.logs import Log
from gateway.netfilter import ElementWriter, Nftables, has_table, set_switches
from gateway.types import Entry, ForeignChange, InterfaceState, PeerMap
from gateway.wireguard import WireGuard
from policies.compiler.delta import ElementChange
from policies.compiler.holdings import Holdings, holdings_from_nft
from policies.compiler.nftables import Ruleset, base_text, table_name
from policies.compiler.readback import ruleset_from_nft
from policies.compiler.types import IPNetwork
from policies.compiler.wireguard import GatewayPeer

log = Log(__name__)

MADE: Final = "interface.made"
"""The file beside the log of wireguard-go that names the interface an agent made."""


class Kernel(Protocol):
    """What enforcement needs of a kernel."""

    interface: str

    def prepare(self, *, private_key: str) -> None:
        """Load the closed table, set the switches, bring the interface up."""

    def is_present(self) -> bool:
        """Return whether the interface still exists, and is up."""

    def mend_interface(self) -> bool:
        """Bring the interface back, keyed and up; return whether it stands."""

    def is_guarded(self) -> bool:
        """Return whether the table still exists."""

    def foreign_changes(self, seconds: float) -> list[ForeignChange]:
        """Return what others changed of the table, or nothing after `seconds`."""

    def rule_text(self, chain: str, handle: int) -> str:
        """Return a rule as nft(8) writes it, or nothing if it is gone."""

    def ruleset(self, *, now: datetime) -> Ruleset | None:
        """Return the table the kernel holds, or None if it holds none."""

    def peers(self) -> InterfaceState:
        """Return the port and the peers the interface holds."""

    def holdings(self, *, now: datetime) -> Holdings:
        """Return what the kernel holds, to compare by digest."""

    def run(self, text: str) -> None:
        """Apply one nftables transaction."""

    def change_elements(
        self, changes: Sequence[ElementChange], *, now: datetime
    ) -> None:
        """Add and delete elements of plain hash sets in one transaction."""

    def remove_peers(self, keys: Iterable[str]) -> None:
        """Remove the peers with these public keys."""

    def set_peers(self, peers: PeerMap) -> None:
        """Add peers, or change the AllowedIPs of those there are."""

    def set_listen_port(self, port: int) -> None:
        """Listen on another port."""

    def add_routes(self, prefixes: Iterable[IPNetwork]) -> None:
        """Route these prefixes into the tunnel."""

    def entries(self, devices: Collection[int] | None = None) -> list[Entry]:
        """Return the flows of these devices, or every flow of this machine."""

    def cut(self, entries: Sequence[Entry]) -> int:
        """Cut these flows; return how many there still were."""


class LinuxKernel:
    """The kernel of this machine (this network namespace)."""

    def __init__(self, interface: str, *, wireguard_log: Path) -> None:
        """Use `interface`; nothing is touched before `prepare`."""
        self.interface = interface
        self._wireguard_log = wireguard_log
        self._wireguard: WireGuard | None = None
        self._claim = Claim(interface)
        self._writer = Nftables()
        # Listing a large table takes long; changes must not wait for it.
        self._reader = Nftables()
        self._elements = ElementWriter()
        self.accepted = Accepted(table_name(interface))
        """What the accepting rules have counted."""
        self._changes = Changes(table_name(interface), finished=self.accepted.finish)
        self._private_key = ""
        self._index = 0
        self._made = wireguard_log.with_name(MADE)

    def prepare(self, *, private_key: str) -> None:
        """Load the closed table first; only then forward, and bring the tunnel up.

        Raises:
            KernelError: something is missing, or another agent enforces on the
                interface, which is left as it is; the message says what.
        """
        self._claim.take()
        self._writer.run(base_text(self.interface))
        set_switches()
        self._private_key = private_key
        self._take(self._find_wireguard())

    def is_present(self) -> bool:
        """Return whether the interface exists and is up: wireguard-go may have died."""
        return links.is_up(self.interface)

    def mend_interface(self) -> bool:
        """Bring the interface back, keyed and up; return whether it stands.

        What somebody else made, somebody else makes again: until then there is none.

        Raises:
            KernelError: it cannot be made or reached.
        """
        if not links.exists(self.interface) and not self._is_ours():
            return False
        self._take(self._find_wireguard())
        return True

    def is_guarded(self) -> bool:
        """Return whether the table still exists: somebody may have flushed it."""
        return has_table(table_name(self.interface))

    def foreign_changes(self, seconds: float) -> list[ForeignChange]:
        """Return what others changed of the table, or nothing after `seconds`."""
        return self._changes.wait(seconds)

    def rule_text(self, chain: str, handle: int) -> str:
        """Return a rule as nft(8) writes it, or nothing if it is gone."""
        try:
            return self._reader.rule_text(self._table, chain, handle)
        except NftablesError:
            return ""

    def ruleset(self, *, now: datetime) -> Ruleset | None:
        """Return the table the kernel holds, or None if it holds none."""
        objects = self._reader.list_table(self._table)
        if objects is None:
            return None
        listing = {"nftables": objects}
        return ruleset_from_nft(listing, interface=self.interface, now=now)

    def peers(self) -> InterfaceState:
        """Return the port and the peers the interface holds."""
        return self._driver.read()

    def holdings(self, *, now: datetime) -> Holdings:
        """Return what the kernel holds, to compare by digest."""
        objects = self._reader.list_table(self._table) or []
        peers = [
            GatewayPeer(public_key=key, allowed_ips=tuple(prefixes))
            for key, prefixes in self._driver.read().peers.items()
        ]
        return holdings_from_nft(
            {"nftables": objects}, peers, interface=self.interface, now=now
        )

    def run(self, text: str) -> None:
        """Apply one nftables transaction."""
        self._writer.run(text)

    def change_elements(
        self, changes: Sequence[ElementChange], *, now: datetime
    ) -> None:
        """Add and delete elements of plain hash sets in one transaction."""
        self._elements.run(changes, interface=self.interface, now=now)

    def remove_peers(self, keys: Iterable[str]) -> None:
        """Remove the peers with these public keys."""
        self._driver.remove_peers(keys)

    def set_peers(self, peers: PeerMap) -> None:
        """Add peers, or change the AllowedIPs of those there are."""
        self._driver.set_peers(peers)

    def set_listen_port(self, port: int) -> None:
        """Listen on another port."""
        self._driver.set_listen_port(port)

    def add_routes(self, prefixes: Iterable[IPNetwork]) -> None:
        """Route these prefixes into the tunnel."""
        for prefix in prefixes:
            links.add_route(self.interface, prefix)

    def entries(self, devices: Collection[int] | None = None) -> list[Entry]:
        """Return the flows of these devices, or every flow of this machine."""
        return conntrack.list_entries(devices, unmarked=devices is None)

    def cut(self, entries: Sequence[Entry]) -> int:
        """Cut these flows; return how many there still were."""
        return conntrack.delete(entries)

    def close(self) -> None:
        """Let go of libnftables; everything in the kernel stays as it is."""
        self._claim.close()
        self._writer.close()
        self._reader.close()
        self._elements.close()
        self._changes.close()

    @property
    def _table(self) -> str:
        return f"inet {table_name(self.interface)}"

    @property
    def _driver(self) -> WireGuard:
        if self._wireguard is None:
            raise WireGuardError(f"{self.interface} is not prepared")
        return self._wireguard

    def _take(self, driver: WireGuard) -> None:
        self._wireguard = driver
        driver.set_private_key(self._private_key)
        links.set_up(self.interface)
        self._index = links.index(self.interface)

    def _is_ours(self) -> bool:
        """Return whether the interface taken last was made by an agent, here or before.

        The kernel gives no number to two interfaces.
        """
        try:
            return self._made.read_text(encoding="ascii") == str(self._index)
        except OSError:
            return False

    def _note_made(self) -> None:
        # It only decides whether a lost interface is made again at once.
        with contextlib.suppress(OSError):
            self._made.write_text(str(links.index(self.interface)), encoding="ascii")

    def _find_wireguard(self) -> WireGuard:
        """Take what runs already; else the kernel's own; else start wireguard-go."""
        running = wireguard.userspace(self.interface)
        if running is not None:
            return running
        if links.exists(self.interface):
            held = wireguard_kernel.find(self.interface)
            if held is None:
                raise WireGuardError(
                    f"{self.interface} exists and is no WireGuard interface"
                )
            return held
        made = wireguard_kernel.create(self.interface)
        if made is not None:
            self._note_made()
            return made
        driver, pid = wireguard.start_userspace(self.interface, log=self._wireguard_log)
        log.info("wireguard.started", pid=pid, interface=self.interface)
        self._note_made()
        return driver

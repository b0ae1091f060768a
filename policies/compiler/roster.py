"""The peers of a snapshot, kept in order, and what speaks against any of them.

For `incremental`: whether something is odd is known at once; what exactly, only
compiling from scratch says. Also which of them hold what grants demand.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Final

from policies.compiler.conditions import Requirement, sorted_requirements
from policies.compiler.errors import CompilerError
from policies.compiler.requirements import UNHELD
from policies.compiler.types import (
    Holder,
    Holders,
    IPAddress,
    IPNetwork,
    Peer,
    Subject,
)
from policies.compiler.validate import check_key, check_peer


@dataclass(frozen=True, slots=True)
class Placed:
    """What a person has in the snapshot: peers, and the granted subjects it is."""

    peers: Mapping[int, Peer]
    subjects: frozenset[Subject]


NOTHING: Final = Placed({}, frozenset())


class Roster:
    """Peers by id. Two with one key or address, or an invalid one, are odd."""

    def __init__(self, pools: tuple[IPNetwork, ...], revoked: Iterable[str]) -> None:
        """Begin without peers."""
        self._pools = pools
        self._ids: list[int] = []
        self._peers: list[Peer] = []
        self._holders: defaultdict[str | IPAddress, set[int]] = defaultdict(set)
        self._clashes: set[str | IPAddress] = set()
        self._odd: set[int | str] = set()
        for key in revoked:
            self.refuse(key)

    @property
    def is_odd(self) -> bool:
        """Whether anything speaks against these peers."""
        return bool(self._odd or self._clashes)

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The peers, by id."""
        return tuple(self._peers)

    def holders(self, key: str) -> tuple[int, ...]:
        """Return the peers that have a key."""
        return tuple(self._holders.get(key, ()))

    def refuse(self, key: str) -> None:
        """Remember a revoked key that is none."""
        try:
            check_key(key)
        except CompilerError:
            self._odd.add(key)

    def fill(self, peers: Iterable[Peer]) -> None:
        """Put in the first peers: `put_in` for all, but sorted once."""
        self._peers = sorted(peers, key=attrgetter("device_id"))
        self._ids = [peer.device_id for peer in self._peers]
        for peer in self._peers:
            self._note(peer)

    def put_in(self, peer: Peer) -> None:
        """Add a peer, of an id that there is not."""
        place = bisect_left(self._ids, peer.device_id)
        self._ids.insert(place, peer.device_id)
        self._peers.insert(place, peer)
        self._note(peer)

    def take_out(self, peer: Peer) -> None:
        """Remove a peer."""
        place = bisect_left(self._ids, peer.device_id)
        del self._ids[place], self._peers[place]
        for name in {peer.public_key, *peer.addresses}:
            holders = self._holders[name]
            holders.discard(peer.device_id)
            if len(holders) <= 1:
                self._clashes.discard(name)
            if not holders:
                del self._holders[name]
        self._odd.discard(peer.device_id)

    def _note(self, peer: Peer) -> None:
        """Remember who holds a key and addresses, and what speaks against it."""
        for name in {peer.public_key, *peer.addresses}:
            self._holders[name].add(peer.device_id)
            if len(self._holders[name]) > 1:
                self._clashes.add(name)
        try:
            check_peer(peer, self._pools)
        except CompilerError:
            self._odd.add(peer.device_id)


class Attested:
    """The peers that hold each requirement that is made, by id."""

    def __init__(self) -> None:
        """Begin without requirements."""
        self._holders: dict[Requirement, list[Holder]] = {}

    @property
    def requirements(self) -> Iterable[Requirement]:
        """The requirements that are kept."""
        return self._holders.keys()

    @property
    def conditions(self) -> tuple[Holders, ...]:
        """Each requirement with its holders, as a snapshot lists them."""
        return tuple(
            Holders(requirement=wanted, holders=tuple(self._holders[wanted]))
            for wanted in sorted_requirements(self._holders)
        )

    def begin(self, wanted: Requirement) -> bool:
        """Keep a requirement; return whether it is new."""
        if wanted in self._holders:
            return False
        self._holders[wanted] = []
        return True

    def drop(self, wanted: Requirement) -> None:
        """Keep a requirement no longer."""
        del self._holders[wanted]

    def put(self, wanted: Requirement, device_id: int, until: datetime) -> bool:
        """Note until when a device holds it, or `UNHELD`; return whether it is new."""
        holders = self._holders[wanted]
        place = bisect_left(holders, device_id, key=attrgetter("device_id"))
        held = holders[place : place + 1]
        if held and held[0].device_id == device_id:
            if held[0].expires_at == until:
                return False
            del holders[place]
        elif until == UNHELD:
            return False
        if until != UNHELD:
            holders.insert(place, Holder(device_id=device_id, expires_at=until))
        return True

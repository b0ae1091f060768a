"""What the evidence collector must know of the snapshot in force. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway import reconcile
from gateway.clock import Clock
from gateway.types import Entry, FlowTuple
from policies.compiler.evaluate import device_part
from policies.compiler.types import IPAddress, IPNetwork, Resolved, Snapshot

Attribute = Callable[[Entry], tuple[int, int] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A snapshot as evidence is attributed by it.

    Flows from outside `pools` are not ours, whatever mark they carry. `attribute`
    says which grant and application the policy finds for a flow.
    """

    generation: int
    pools: tuple[IPNetwork, ...] = ()
    devices: Mapping[IPAddress, int] = field(default_factory=dict)
    attribute: Attribute = lambda _: None

    def is_ours(self, entry: Entry) -> bool:
        """Return whether a flow came out of the tunnel."""
        return any(entry.tuple.source in pool for pool in self.pools)


class Observer(Protocol):
    """Who wants to know what the engine does: the evidence collector."""

    def set_view(self, view: View) -> None:
        """Hear that another snapshot is in force."""

    def revoking(self, flows: Iterable[FlowTuple]) -> None:
        """Hear that these flows are about to be cut."""


def view_of(
    snapshot: Snapshot, clock: Clock, *, resolved: Callable[[], Resolved]
) -> View:
    """Return what the evidence collector must know of a snapshot in force.

    `resolved` says what host names stand for when it is called.
    """
    return View(
        generation=snapshot.generation,
        pools=snapshot.pools,
        devices={
            address: peer.device_id
            for peer in snapshot.peers
            for address in peer.addresses
        },
        attribute=_attribution(snapshot, clock, resolved),
    )


def _attribution(
    snapshot: Snapshot, clock: Clock, resolved: Callable[[], Resolved]
) -> Callable[[Entry], tuple[int, int] | None]:
    def attribute(entry: Entry) -> tuple[int, int] | None:
        view = device_part(snapshot, entry.mark)
        found = reconcile.judge_flow(view, entry, now=clock.now(), resolved=resolved())
        if not found.grants:
            return None
        return found.grants[0].id, found.grants[0].application_id

    return attribute

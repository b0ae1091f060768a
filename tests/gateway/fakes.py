"""Small working implementations of the agent's interfaces, held in memory.

`FakePortal` serves signed snapshots and takes evidence; `FakeKernel` holds peers and
flows and notes every change in order; `FakeClock` stands until it is moved.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway import names
from gateway.client import Answer
from gateway.errors import (
    KernelError,
    NftablesError,
    PortalUnreachableError,
    ResolverError,
)
from gateway.names import Query
from gateway.types import (
    Entry,
    FlowTuple,
    ForeignChange,
    InterfaceState,
    Logged,
    Overrun,
    PeerMap,
)
from gateway.witness import Shown
from policies.compiler.delta import ElementChange
from policies.compiler.holdings import Holdings
from policies.compiler.nftables import Ruleset
from policies.compiler.types import IPNetwork, Snapshot, address
from tests.audit.witness.log import MemoryLog
from tests.gateway.world import NOW, Signer, signer

LEASE = "add element inet peerage_wg0 live "
"""How the scripts begin that open or close the gate."""


@dataclass(slots=True)
class FakeClock:
    """Both clocks; `advance` moves them together, `wall` alone when set."""

    wall: datetime = NOW
    elapsed: float = 1000.0

    def now(self) -> datetime:
        """Return the time of day."""
        return self.wall

    def ticks(self) -> float:
        """Return the ticks."""
        return self.elapsed

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += timedelta(seconds=seconds)
        self.elapsed += seconds


class FakePortal:
    """`publish` a snapshot; polls get it, acknowledgements and evidence are kept."""

    def __init__(self, *, clock: FakeClock | None = None, wait: float = 0.0) -> None:
        """Serve nothing yet; a poll waits `wait` seconds for news."""
        self.signer: Signer = signer()
        self.clock = clock
        self.lease_seconds = 900.0
        self.acknowledgements: list[Mapping[str, object]] = []
        self.notices: dict[int, bytes] = {}
        self.reports: list[Mapping[str, object]] = []
        self.records: list[dict[str, object]] = []
        self.takes_names = True
        self.told: list[Mapping[str, tuple[str, ...]]] = []
        self.is_reachable = True
        self.receipts_back = 0
        self.spools: dict[str, int] = {}
        self.forced: Snapshot | None = None
        """Answered at once, whatever the gateway holds: a portal that lies."""
        self.step: bytes | None = None
        """A step to another epoch, given with every answer."""
        self.asks_revoked = False
        self.held: list[str] = []
        self.offers: list[bool] = []
        self.delta: bytes | None = None
        """Answered in place of the snapshot, to whoever takes one."""
        self.insists_on_delta = False
        """Whether the delta is answered to whoever asks for the whole, too."""
        self.shown: list[tuple[bytes, tuple[bytes, ...], int]] = []
        self.logs: dict[str, MemoryLog] = {}
        """The logs that witnesses are shown, by their short names."""
        self.witnessed: list[Mapping[str, str]] = []
        self._wait = wait
        self._news = threading.Condition()
        self._snapshot: Snapshot | None = None

    def publish(self, snapshot: Snapshot) -> None:
        """Serve this snapshot from now on."""
        with self._news:
            self._snapshot = snapshot
            self._news.notify_all()

    def show_log(self, name: str, *, old: int) -> Shown | None:
        """Show a log as the portal does."""
        found = self.logs.get(name)
        if found is None or len(found.hashes) == old:
            return None
        proven = min(old, len(found.hashes))
        return Shown(key=str(found.verifier), request=found.request(proven))

    def tell_witness(self, told: Mapping[str, str]) -> None:
        """Note what a witness says."""
        if not self.is_reachable:
            raise PortalUnreachableError("nobody answers")
        self.witnessed.append(told)

    def poll(
        self, *, after: int, epoch: int, holds: str = "", takes_delta: bool = False
    ) -> Answer:
        """Answer as the portal does."""
        del epoch
        self.offers.append(takes_delta)
        self.held.append(holds)
        with self._news:
            self._news.wait_for(lambda: self._generation() > after, self._wait)
            snapshot = self.forced or self._snapshot
        if snapshot is None or not self.is_reachable:
            raise PortalUnreachableError("nobody answers")
        now = self.clock.now() if self.clock else snapshot.issued
        is_newer = snapshot.generation > after or self.forced is not None
        is_taken = takes_delta or self.insists_on_delta
        delta = self.delta if is_taken and is_newer else None
        return Answer(
            snapshot=self.signer.snapshot(snapshot)
            if is_newer and delta is None
            else None,
            delta=delta,
            lease=self.signer.lease(snapshot, issued=now, seconds=self.lease_seconds),
            epoch=self.step,
            asks_revoked=self.asks_revoked,
        )

    def show(self, snapshot: bytes, notices: Sequence[bytes], *, floor: int) -> None:
        """Keep what is shown, and ask no more."""
        self.shown.append((snapshot, tuple(notices), floor))
        self.asks_revoked = False

    def give_notice(self, number: int, envelope: bytes) -> None:
        """Serve this notice from now on."""
        with self._news:
            self.notices[number] = envelope
            self._news.notify_all()

    def await_notices(self, *, after: int, epoch: int) -> tuple[bytes, ...]:
        """Return the notices above a number, when there are some."""
        del epoch
        with self._news:
            self._news.wait_for(
                lambda: max(self.notices, default=0) > after, self._wait
            )
            if not self.is_reachable:
                raise PortalUnreachableError("nobody answers")
            return tuple(e for n, e in sorted(self.notices.items()) if n > after)

    def report_notice(self, report: Mapping[str, object]) -> None:
        """Keep the report of a notice."""
        with self._news:
            self.reports.append(report)
            self._news.notify_all()

    def acknowledge(self, acknowledgement: Mapping[str, object]) -> None:
        """Keep an acknowledgement."""
        with self._news:
            self.acknowledgements.append(acknowledgement)
            self._news.notify_all()

    def send_evidence(self, records: Sequence[bytes], *, spool: str) -> bytes:
        """Keep the records that are new and sign for the last."""
        if not self.is_reachable:
            raise PortalUnreachableError("nobody answers")
        held = self.spools.get(spool, 0)
        parsed = [json.loads(record) for record in records]
        self.records += [record for record in parsed if record["seq"] > held]
        last = max([held, *(record["seq"] for record in parsed)])
        self.spools[spool] = last
        return self.signer.receipt(last - self.receipts_back, spool=spool)

    def tell_names(self, names: Mapping[str, Sequence[str]]) -> None:
        """Keep what names stand for."""
        if not self.takes_names:
            raise PortalUnreachableError("nobody answers")
        self.told.append({host: tuple(found) for host, found in names.items()})

    def _generation(self) -> int:
        return self._snapshot.generation if self._snapshot else 0


@dataclass(slots=True)
class FakeKernel:
    """Peers and flows in memory; `done` is what was asked, in order."""

    interface: str = "wg0"
    port: int = 0
    held: dict[str, frozenset[IPNetwork]] = field(default_factory=dict)
    flows: list[Entry] = field(default_factory=list)
    done: list[tuple[str, object]] = field(default_factory=list)
    refuses_transactions: bool = False
    refuses_peers: bool = False
    refuses_flows: bool = False
    refuses_looks: bool = False
    is_gone: bool = False
    is_flushed: bool = False
    is_ours: bool = True
    is_keyed: bool = True
    foreign: list[ForeignChange] = field(default_factory=list)
    table: Ruleset | None = None
    when_read: Callable[[], None] = lambda: None
    """What happens as the peers are being read."""

    def is_present(self) -> bool:
        """Return whether the interface exists."""
        return not self.is_gone

    def is_guarded(self) -> bool:
        """Return whether the table exists, or refuse to say."""
        if self.refuses_looks:
            raise KernelError("no")
        return not self.is_flushed

    def mend_interface(self) -> bool:
        """Make the interface again, empty, if an agent made it."""
        if self.is_gone and not self.is_ours:
            return False
        self.done.append(("mend", self.is_gone))
        if self.is_gone:
            self.held, self.port = {}, 0
        self.is_gone, self.is_keyed = False, True
        return True

    def foreign_changes(self, seconds: float) -> list[ForeignChange]:
        """Return what a test put in, after a moment."""
        time.sleep(min(seconds, 0.01))
        changes, self.foreign = self.foreign, []
        return changes

    def rule_text(self, chain: str, handle: int) -> str:
        """Know every rule."""
        return f"rule {handle} of {chain}"

    def prepare(self, *, private_key: str) -> None:
        """Note it."""
        self.done.append(("prepare", len(private_key)))

    def ruleset(self, *, now: datetime) -> Ruleset | None:
        """Return what a test put in: no table that could be read, by default."""
        del now
        return self.table

    def peers(self) -> InterfaceState:
        """Return the peers."""
        state = InterfaceState(
            listen_port=self.port, peers=dict(self.held), is_keyed=self.is_keyed
        )
        self.when_read()
        return state

    def holdings(self, *, now: datetime) -> Holdings:
        """Return the peers only: rules are text here."""
        del now
        return Holdings(
            peers=tuple(sorted((key,) for key in self.held)),
            devices=(),
            subjects=(),
            destinations=(),
            rules=(),
        )

    def run(self, text: str) -> None:
        """Note a transaction, or refuse it."""
        if self.refuses_transactions and not text.startswith(LEASE):
            raise NftablesError("no")
        if text.startswith("add table"):
            self.is_flushed = False
        self.done.append(("nft", text))

    def change_elements(
        self, changes: Sequence[ElementChange], *, now: datetime
    ) -> None:
        """Note a transaction of elements, or refuse it."""
        del now
        if self.refuses_transactions:
            raise NftablesError("no")
        self.done.append(("elements", tuple(changes)))

    def remove_peers(self, keys: Iterable[str]) -> None:
        """Remove peers."""
        gone = tuple(keys)
        self.done.append(("remove", gone))
        for key in gone:
            self.held.pop(key)

    def set_peers(self, peers: PeerMap) -> None:
        """Add or change peers."""
        if self.refuses_peers:
            raise KernelError("no")
        self.done.append(("set", tuple(peers)))
        self.held.update(peers)

    def set_listen_port(self, port: int) -> None:
        """Set the port."""
        self.done.append(("port", port))
        self.port = port

    def add_routes(self, prefixes: Iterable[IPNetwork]) -> None:
        """Note the routes."""
        self.done.append(("routes", tuple(prefixes)))

    def entries(self, devices: Collection[int] | None = None) -> list[Entry]:
        """Return flows by device, or refuse to."""
        if self.refuses_flows:
            raise KernelError("no")
        return [f for f in self.flows if devices is None or f.mark in devices]

    def cut(self, entries: Sequence[Entry]) -> int:
        """Cut flows."""
        self.done.append(("cut", tuple(entry.id for entry in entries)))
        gone = {entry.id for entry in entries}
        before = len(self.flows)
        self.flows = [f for f in self.flows if f.id not in gone]
        return before - len(self.flows)

    def names(self) -> list[str]:
        """Return the kinds of what was done, in order."""
        return [name for name, _ in self.done]


@dataclass(slots=True)
class FakeResolver:
    """Names in memory; whatever is not in it fails."""

    addresses: dict[str, list[str]] = field(default_factory=dict)
    ttl: float = 60.0
    asked: list[Query] = field(default_factory=list)

    def ask(self, query: Query) -> names.Answer:
        """Answer from memory."""
        self.asked.append(query)
        if query.host not in self.addresses:
            raise ResolverError(f"{query.host}: nobody knows")
        found = map(address, self.addresses[query.host])
        return names.Answer(
            addresses=tuple(a for a in found if a.version == query.family),
            ttl=self.ttl,
        )


class FakeEvents:
    """Events that a test puts in."""

    is_drained = True

    def __init__(self) -> None:
        """Start with none."""
        self.waiting: list[Logged | Entry | Overrun] = []

    def read(self, timeout: float) -> Iterator[Logged | Entry | Overrun]:
        """Give out what waits."""
        del timeout
        events, self.waiting = self.waiting, []
        yield from events


def tcp(
    device: int, port: int = 40000, *, to: str = "10.50.0.10", dport: int = 8080
) -> FlowTuple:
    """Return the tuple of a TCP flow from a device."""
    return FlowTuple(
        protocol=6,
        source=address(f"100.64.0.{device}"),
        source_port=port,
        destination=address(to),
        destination_port=dport,
    )


def entry(number: int, device: int, flow: FlowTuple | None = None) -> Entry:
    """Return a conntrack entry with counters."""
    return Entry(
        id=number,
        mark=device,
        tuple=flow or tcp(device),
        original=b"",
        zone=0,
        bytes_up=100,
        bytes_down=2000,
        packets_up=3,
        packets_down=4,
        started_ns=int(NOW.timestamp()) * 10**9,
        ended_ns=int(NOW.timestamp()) * 10**9 + 5 * 10**9,
    )


def logged(
    device: int,
    *,
    prefix: str = "gt_9/ap_3",
    flow: FlowTuple | None = None,
    lost: int = 0,
) -> Logged:
    """Return a logged packet; a prefix that names no grant is a denial."""
    return Logged(
        group=41 if prefix.startswith("gt_") else 42,
        prefix=prefix,
        tuple=flow or tcp(device),
        mark=device,
        lost=lost,
    )

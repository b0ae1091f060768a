"""Evidence: from what the kernel says to what the portal has signed for.

`Collector` turns events into spooled records; `Uploader` hands them over. Each is
stepped by its own thread of the agent; neither sleeps or reads a clock by itself.

* A record that cannot be written is counted, and told as a gap when writing works
  again. While it does not work the collector is unhealthy, and the lease is not
  renewed: what cannot be recorded must not go on for long.
* An end that arrives before its beginning (the two come on different sockets) waits
  a second for it.
* After an overrun and at each start, the open flows are compared with the kernel's.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Final, Protocol

from gateway.client import Portal
from gateway.clock import Clock
from gateway.errors import NetlinkError, SpoolError, StoreError
from gateway.events import ACCEPT_GROUP
from gateway.flows import FlowTable, Record, text_time
from gateway.journal import Journal
from gateway.logs import Log
from gateway.spool import Spool
from gateway.telemetry import Telemetry
from gateway.totals import Totals
from gateway.trust import Judge
from gateway.types import Entry, FlowTuple, Logged, Overrun
from gateway.view import View
from policies.compiler.types import IPAddress

log = Log(__name__)

SYNC_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 1.0
COMPARE_AGAIN: Final = 1.0
END_SECONDS: Final = 10.0
EVICT_SECONDS: Final = 3.0
SILENCE_SECONDS: Final = 5.0
TOTALS_SECONDS: Final = 60.0
UPLOAD_RECORDS: Final = 1000
UPLOAD_BYTES: Final = 1 << 20


class EventSource(Protocol):
    """Where events come from."""

    @property
    def is_drained(self) -> bool:
        """Whether the last reading gave out all that had arrived when it began."""

    def read(self, timeout: float) -> Iterator[Logged | Entry | Overrun]:
        """Yield what arrives within `timeout` seconds."""


class Collector:
    """Turns kernel events into durable records."""

    def __init__(
        self,
        *,
        events: EventSource,
        entries: Callable[[], Sequence[Entry]],
        evict: Callable[[], None],
        spool: Spool,
        journal: Journal,
        clock: Clock,
        telemetry: Telemetry | None = None,
        totals: Totals | None = None,
    ) -> None:
        """Collect from `events`.

        `entries` lists the flows the kernel holds, `evict` makes it tell of those
        that have expired. Without `totals` nothing is compared with the kernel's
        counters.
        """
        self._events = events
        self._entries = entries
        self._evict = evict
        self._spool = spool
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry or Telemetry(clock)
        self._totals = totals
        self._totals_told = -TOTALS_SECONDS
        self._comparisons: list[float] = []
        self._flows = FlowTable()
        self._view = View(generation=0)
        self._holders: Mapping[IPAddress, int] = {}
        self._early: list[tuple[float, Entry]] = []
        self._brought: queue.SimpleQueue[Record] = queue.SimpleQueue()
        self._unwritten = 0
        self._stepped = self._synced = self._evicted = clock.ticks()
        self._is_writing = True
        self.durable = threading.Event()
        """Set whenever records became durable; the uploader clears it."""

    def set_view(self, view: View) -> None:
        """Attribute by another snapshot from now on."""
        # A log that is read now may be of a device that left a moment ago.
        self._holders = {**self._holders, **view.devices}
        self._view = view

    def revoking(self, flows: Iterable[FlowTuple]) -> None:
        """Note that these flows are about to be cut by a decision."""
        self._flows.revoking(flows)

    def is_healthy(self) -> bool:
        """Return whether records are being read and made durable."""
        return (
            self._is_writing and self._clock.ticks() - self._stepped < SILENCE_SECONDS
        )

    def begin(self, boot_id: str) -> None:
        """Tell the start, what the spool lost, and what happened meanwhile."""
        self._write({"kind": "start", "at": self._at(), "boot_id": boot_id})
        self._gap("spool", self._spool.lost)
        self._flows.restore(self._journal.read())
        # Not before what has arrived was taken: the engine has cut flows already.
        self._comparisons = [self._clock.ticks()]
        self.step(0)
        self._sync()

    def step(self, timeout: float = SYNC_SECONDS) -> None:
        """Take what arrives within `timeout` seconds; make it durable when due."""
        begun = self._clock.ticks()
        is_due = self._comparisons and begun >= self._comparisons[0]
        held = self._held() if is_due else None
        for event in self._events.read(timeout):
            self._event(event, begun)
        is_drained = self._events.is_drained
        if held is not None and is_drained:
            self._comparisons.pop(0)
            self._compare(*held)
        self._tell_early(may_reconstruct=is_drained)
        self._write_brought()
        if is_drained:
            self._check_totals(begun)
        self._stepped = self._clock.ticks()
        if self._flows and self._stepped - self._evicted >= EVICT_SECONDS:
            self._evicted = self._stepped
            self._evict()
        if self._stepped - self._synced >= SYNC_SECONDS:
            self._sync()

    def _event(self, event: Logged | Entry | Overrun, begun: float) -> None:
        match event:
            case Overrun(source="conntrack"):
                # Twice: a beginning that is still to be read may have ended.
                self._comparisons = [begun, begun + COMPARE_AGAIN]
            case Overrun():
                # The sequence numbers of the log say how many, soon.
                pass
            case Logged():
                self._logged(event)
            case Entry():
                if self._view.is_ours(event):
                    self._ended(event)

    def tell(self, record: Record) -> None:
        """Take a record of another kind (a drift); any thread may bring one."""
        self._brought.put(record)

    def end(self) -> None:
        """Take what is waiting and make everything durable."""
        until = self._clock.ticks() + END_SECONDS
        self.step(0)
        while not self._events.is_drained and self._clock.ticks() < until:
            self.step(0)
        for _, entry in self._early:
            self._write(self._flows.closed(entry, now=self._clock.now()))
        self._early.clear()
        self._sync()
        self._journal.close()

    def _logged(self, event: Logged) -> None:
        now, view = self._clock.now(), self._view
        self._gap("nflog", event.lost)
        if event.group != ACCEPT_GROUP:
            record = self._flows.denied(
                event, devices=self._holders, generation=view.generation, now=now
            )
        else:
            record = self._flows.opened(
                event, devices=self._holders, generation=view.generation, now=now
            )
            opened = self._flows.get(event.tuple) if event.tuple else None
            if record is not None and opened is not None:
                self._journal.opened(opened)
        if record is not None:
            self._write(record)
        if self._totals is not None and event.group == ACCEPT_GROUP:
            # After the record: killed in between, one too many is told as missing.
            self._totals.logged(lost=event.lost)

    def _ended(self, entry: Entry) -> None:
        if entry.tuple in self._flows:
            self._close(entry)
        else:
            self._early.append((self._clock.ticks() + PATIENCE_SECONDS, entry))

    def _tell_early(self, *, may_reconstruct: bool) -> None:
        """Tell the ends whose beginning has come, or will not come any more."""
        if not self._early:
            return
        ticks, waiting = self._clock.ticks(), self._early
        self._early = []
        for due, entry in waiting:
            if entry.tuple in self._flows:
                self._close(entry)
            elif due <= ticks and may_reconstruct:
                self._reconstruct(entry)
                self._close(entry)
            else:
                self._early.append((due, entry))

    def _close(self, entry: Entry) -> None:
        record = self._flows.closed(entry, now=self._clock.now())
        self._write(record)
        self._journal.closed(str(record["flow"]))

    def _held(self) -> tuple[Mapping[FlowTuple, Entry], frozenset[FlowTuple]]:
        """Return the kernel's flows, and those that are open here at this moment."""
        known = frozenset(flow.tuple for flow in self._flows.open_flows())
        return {e.tuple: e for e in self._entries() if self._view.is_ours(e)}, known

    def _compare(
        self, entries: Mapping[FlowTuple, Entry], known: Collection[FlowTuple]
    ) -> None:
        """Bring the open flows in line with the kernel's; count what was missed.

        Everything that had arrived when the kernel was asked has been taken since: what
        ended before has ended here, and what began after is not `known`.
        """
        waiting = {entry.tuple for _, entry in self._early}
        begun = {f.tuple for f in self._flows.open_flows() if f.tuple not in known}
        alive = entries.keys() | waiting | begun
        gone = self._flows.missing(alive, now=self._clock.now())
        for record in gone:
            self._write(record)
        self._gap("conntrack", len(gone))
        unseen = [e for e in entries.values() if e.tuple not in self._flows]
        for entry in unseen:
            self._reconstruct(entry)
        if self._totals is None:
            self._gap("nflog", len(unseen))
        # Else the totals say, exactly, how many messages never came.
        self._rewrite_journal()

    def _rewrite_journal(self) -> None:
        """Write the journal anew; on a disk that others filled, later."""
        try:
            self._journal.rewrite(self._flows.open_flows())
        except OSError as exc:
            log.warning("journal.unwritten", error=exc.strerror)
            self._is_writing = False

    def _reconstruct(self, entry: Entry) -> None:
        found = self._view.attribute(entry)
        if found is None:
            return
        grant, application = found
        record = self._flows.reconstructed(
            entry,
            grant=grant,
            application=application,
            generation=self._view.generation,
        )
        self._write(record)

    def _write_brought(self) -> None:
        while not self._brought.empty():
            self._write(self._brought.get())

    def _check_totals(self, taken_at: float) -> None:
        if self._totals is None:
            return
        try:
            missing = self._totals.step(taken_at)
        except (NetlinkError, OSError, StoreError) as exc:
            log.warning("totals.unread", error=str(exc))
            return
        if missing is None:
            return
        self._gap("totals", missing)
        if missing or taken_at - self._totals_told >= TOTALS_SECONDS:
            self._totals_told = taken_at
            sums = self._totals.sums()
            self._write({"kind": "totals", "at": self._at(), **asdict(sums)})

    def _gap(self, source: str, lost: int) -> None:
        if lost:
            self._write(
                {"kind": "gap", "at": self._at(), "source": source, "lost": lost}
            )

    def _write(self, record: Record) -> None:
        try:
            self._tell_unwritten()
            self._append(record)
        except SpoolError:
            # A gap stands for many.
            self._unwritten += int(str(record.get("lost", 1)))
            self._is_writing = False

    def _tell_unwritten(self) -> None:
        """Write how many records could not be written, once one can be."""
        if self._unwritten:
            gap: Record = {"kind": "gap", "at": self._at(), "source": "spool"}
            self._append({**gap, "lost": self._unwritten})
            self._unwritten = 0

    def _append(self, record: Record) -> None:
        self._spool.append(record)
        self._telemetry.recorded(record)
        if self._totals is not None and record["kind"] == "open":
            self._totals.opened()

    def _sync(self) -> None:
        self._synced = self._clock.ticks()
        try:
            self._tell_unwritten()
            written = self._spool.sync()
            self._spool.owe(self._unwritten)
            self._journal.write(self._flows.open_flows(), count=len(self._flows))
        except (SpoolError, OSError):
            self._is_writing = False
            # If this run ends before it can be told, the next one tells it.
            with contextlib.suppress(SpoolError):
                self._spool.owe(self._unwritten)
            return
        self._is_writing = True
        if written:
            self.durable.set()

    def _at(self) -> str:
        return text_time(self._clock.now())


class Uploader:
    """Hands durable records to the portal and forgets those it signed for."""

    def __init__(self, *, portal: Portal, spool: Spool, judge: Judge) -> None:
        """Upload from `spool`; `judge` says whose receipts count."""
        self._portal = portal
        self._spool = spool
        self._judge = judge

    def step(self) -> int:
        """Hand over one batch; return how many records the portal signed for.

        A portal that has more of this spool than there is has heard it from elsewhere:
        the state directory came from a backup. What is here goes on under another name.

        Raises:
            PortalError: it was not taken; try again later.
            UntrustedError: the receipt is not one; nothing is forgotten.
            SpoolError: the receipt signs for what was never sent.
        """
        batch = _within(self._spool.batch(UPLOAD_RECORDS), UPLOAD_BYTES)
        if not batch:
            return 0
        name = self._spool.name
        envelope = self._portal.send_evidence([body for _, body in batch], spool=name)
        through = self._judge.receipt(envelope, spool=name)
        if through > self._spool.last:
            self._spool.rename()
            log.warning("spool.renamed", before=name, name=self._spool.name)
            return 0
        if through > batch[-1][0]:
            raise SpoolError(
                f"the portal signed for record {through}, beyond {batch[-1][0]}"
            )
        self._spool.acknowledge(through)
        return sum(1 for sequence, _ in batch if sequence <= through)


def _within(batch: list[tuple[int, bytes]], limit: int) -> list[tuple[int, bytes]]:
    """Return the first records that fit into `limit` bytes, one at least."""
    size = 0
    for place, (_, body) in enumerate(batch):
        size += len(body) + 1
        if size > limit and place:
            return batch[:place]
    return batch

"""Keeps the table and the interface as they were made: what others change is undone.

* Changes of the table are heard of at once (`gateway.changes`). The first answer to
  any of them is the closed table: it puts every fixed rule back where it was, in
  milliseconds, and where the table was flushed it closes. What it was that changed is
  read afterwards, and what is held is applied anew, flows begun meanwhile are cut.
* The interface announces nothing. It is compared about each second, or after twenty
  times as long as a reading takes if that is longer (5 % of one processor at most).
* An interface that is gone is made again where an agent made it; otherwise the gate
  stays closed until it is back.
* Each repair is a record. More than `STORM` in a minute are a storm: the gate is shut
  until a minute has passed in peace, and one record says how many there were.

Steps are taken by one thread of the agent, which never waits for the portal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gateway import drift
from gateway.clock import Clock
from gateway.engine import Engine
from gateway.errors import KernelError, WireGuardError
from gateway.flows import Record, text_time
from gateway.logs import Log
from gateway.reconcile import Have
from gateway.sightings import Sightings
from gateway.types import ForeignChange, InterfaceState
from policies.compiler.nftables import base_text
from policies.compiler.types import Snapshot

log = Log(__name__)

Acknowledgement = dict[str, object]

LOOK_SECONDS: Final = 1.0
READINGS: Final = 20
"""A reading is repeated after so many times its own length, if that is longer."""
STORM: Final = 5
STORM_SECONDS: Final = 60.0
FIRST_RETRY: Final = 0.5
LONGEST_RETRY: Final = 5.0
MAX_WHAT: Final = 1000
MAX_BY: Final = 64
GONE: Final = "the interface is gone or down"
UNREADABLE: Final = "the interface cannot be read"
TABLE_GONE: Final = "the table is gone"


class Guard:
    """Finds what others changed on the gateway, and has it repaired."""

    def __init__(
        self,
        *,
        engine: Engine,
        tell: Callable[[Record], None],
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        """Guard what `engine` made; `tell` takes records, `jitter` gives 0 to 1."""
        self._engine = engine
        self._kernel = engine.kernel
        self._tell = tell
        self._clock = clock
        self._jitter = jitter
        self._pending: dict[str, None] = {}
        self._by = ""
        self._is_base_due = False
        self._since = 0.0
        self._is_told = False
        self._retry_at = 0.0
        self._retry_seconds = FIRST_RETRY
        self._look_at = 0.0
        self._times: deque[float] = deque()
        self._storm: int | None = None
        self._sightings = Sightings()
        self._snapshot: Snapshot | None = None
        self._devices: Mapping[str, int] = {}

    def is_calm(self) -> bool:
        """Return whether the gate may open: no storm, and nothing left to repair."""
        return self._storm is None and not self._pending

    def step(self) -> Acknowledgement | None:
        """Wait a moment for drift and repair it; return what came into force again."""
        restored = self._step()
        self._engine.is_calm = self.is_calm()
        return restored

    def _step(self) -> Acknowledgement | None:
        pause = max(0.0, min(self._look_at - self._clock.ticks(), LOOK_SECONDS))
        changes = self._kernel.foreign_changes(pause)
        try:
            self._notice(changes)
            self._weather()
            if not self._pending or self._clock.ticks() < self._retry_at:
                return None
            if self._storm is not None:
                return None
            return self._repair()
        except KernelError as exc:
            self._failed(str(exc))
            return None

    def _notice(self, changes: Iterable[ForeignChange]) -> None:
        found: list[str] = []
        for change in changes:
            found += self._described(change)
            self._by = change.by or self._by
        if not found and not self._is_base_due and not self._kernel.is_guarded():
            found = [TABLE_GONE]
        if found or self._is_base_due:
            self._is_base_due = True
            try:
                self._kernel.run(base_text(self._kernel.interface))
                self._is_base_due = False
            finally:
                # Nobody tells of a change twice: it is not forgotten.
                if found:
                    self._drifted(found)
        if not self._kernel.is_present():
            if GONE not in self._pending:
                self._engine.shut()
                self._drifted([GONE])
        elif self._clock.ticks() >= self._look_at:
            self._look()

    def _described(self, change: ForeignChange) -> list[str]:
        """Return a change in words; the rules are read before they are overwritten."""
        words = list(change.what)
        if not change.is_flush:
            for chain, handle in change.rules:
                text = self._kernel.rule_text(chain, handle)
                short = f"rule added {chain} handle {handle}"
                if text and short in words:
                    words[words.index(short)] = f"{short}: {text}"
        return words

    def _look(self) -> None:
        """Compare the interface with what was set; what differs is drift."""
        begun, known = self._clock.ticks(), self._engine.known()
        try:
            state = self._kernel.peers()
        except WireGuardError as exc:
            if UNREADABLE not in self._pending:
                log.warning("interface.unreadable", error=str(exc))
                self._drifted([UNREADABLE])
            return
        read = self._clock.ticks()
        if known is not None:
            self._observe(known, state)
            found = drift.of_interface(known.interface, state)
            # What was changed while it was read was changed by this program.
            if found and self._engine.known() is known:
                self._drifted(found)
        pause = max(LOOK_SECONDS, READINGS * (read - begun))
        self._look_at = read + pause * (1 + self._jitter()) / 2

    def _observe(self, known: Have, state: InterfaceState) -> None:
        """Tell what devices did lately."""
        if known.snapshot is None:
            return
        if known.snapshot is not self._snapshot:
            self._snapshot = known.snapshot
            self._devices = {p.public_key: p.device_id for p in known.snapshot.peers}
        for record in self._sightings.changed(
            state.seen, devices=self._devices, now=self._clock.now()
        ):
            self._tell(record)

    def _drifted(self, found: Iterable[str]) -> None:
        now = self._clock.ticks()
        if not self._pending:
            self._since = now
            self._is_told = False
            self._retry_at, self._retry_seconds = 0.0, FIRST_RETRY
        self._pending |= dict.fromkeys(found)
        self._times.append(now)
        self._engine.is_calm = False
        if self._storm is not None:
            self._storm += 1
            self._engine.shut()

    def _weather(self) -> None:
        """Begin or end a storm."""
        now = self._clock.ticks()
        if self._storm is None:
            while self._times and self._times[0] <= now - STORM_SECONDS:
                self._times.popleft()
            if len(self._times) > STORM:
                self._storm = 0
                log.error("drift.storm", in_a_minute=len(self._times))
                self._engine.shut()
                self._record(f"more than {STORM} in a minute: closed until they end")
                self._is_told = True
        elif self._times and self._times[-1] <= now - STORM_SECONDS:
            log.warning("drift.storm_ended", more=self._storm)
            self._pending = {f"{self._storm} more changes while closed": None}
            self._storm = None
            self._times.clear()

    def _repair(self) -> Acknowledgement | None:
        is_lost = GONE in self._pending or UNREADABLE in self._pending
        if is_lost and not self._kernel.mend_interface():
            self._failed("whoever made the interface has to make it again")
            return None
        believed = self._engine.known()
        interface = self._kernel.peers()
        if not interface.is_keyed:
            self._kernel.mend_interface()
        found = Have(
            snapshot=None,
            ruleset=self._kernel.ruleset(now=self._clock.now()),
            interface=interface,
        )
        if believed is not None and self._engine.known() is believed:
            self._pending |= dict.fromkeys(self._unsaid(believed, found))
        acknowledgement = self._engine.restore(found, believed=believed)
        if acknowledgement is not None and acknowledgement["error"]:
            self._failed(str(acknowledgement["error"]))
            return None
        milliseconds = round((self._clock.ticks() - self._since) * 1000)
        log.warning("drift.repaired", ms=milliseconds, by=self._by)
        self._record("", repaired_ms=milliseconds)
        self._pending, self._by = {}, ""
        return acknowledgement

    def _unsaid(self, believed: Have, found: Have) -> Iterable[str]:
        """Return what else differs; of what is gone, everything would."""
        if any("table deleted" in p or p == TABLE_GONE for p in self._pending):
            return ()
        if GONE in self._pending:
            return drift.of_ruleset(believed.ruleset, found.ruleset)
        return drift.differences(believed, found)

    def _failed(self, why: str) -> None:
        """Try again, later each time; tell that it is open to whoever reads it."""
        if self._pending and not self._is_told:
            log.error("drift.unrepaired", error=why)
            self._record(f"not repaired yet: {why}")
            self._is_told = True
        elif not self._pending:
            log.warning("drift.unseen", error=why)
        now = self._clock.ticks()
        self._retry_at = now + self._retry_seconds
        self._look_at = max(self._look_at, now + self._retry_seconds)
        self._retry_seconds = min(self._retry_seconds * 2, LONGEST_RETRY)

    def _record(self, remark: str, *, repaired_ms: int | None = None) -> None:
        what = "; ".join([*([remark] if remark else []), *self._pending])
        self._tell(
            {
                "kind": "drift",
                "at": text_time(self._clock.now()),
                "what": "".join(c for c in what if c.isascii() and c.isprintable())[
                    :MAX_WHAT
                ],
                "by": self._by[:MAX_BY] or None,
                "repaired_ms": repaired_ms,
            }
        )

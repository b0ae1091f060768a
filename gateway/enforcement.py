"""Brings one kernel to a snapshot and keeps it there; knows nothing of trust.

* Steps run in the order `reconcile.plan` gives. When the transaction is refused the
  steps that tighten still run (peers leave, flows are cut), those that loosen do not.
* What takes long, comparing, happens without the lock, and is done again if anything
  else changed meanwhile: whoever has to cut somebody off does not wait for it.
* What host names stand for changes elements only, and no generation. What a name no
  longer stands for is cut like what is no longer granted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final

from gateway import reconcile
from gateway.clock import Clock
from gateway.cutting import cut
from gateway.errors import KernelError
from gateway.kernel import Kernel
from gateway.leases import Leases
from gateway.logs import Log
from gateway.names import lost
from gateway.reconcile import (
    AddRoutes,
    ChangeElements,
    CutFlows,
    Have,
    RemovePeers,
    RunTransaction,
    SetListenPort,
    SetPeers,
    Step,
)
from gateway.types import Entry, InterfaceState, Timings
from gateway.view import Observer, view_of
from policies.compiler.leases import less_withheld
from policies.compiler.nftables import Ruleset
from policies.compiler.types import (
    NOTHING_RESOLVED,
    IPAddress,
    IPNetwork,
    Resolved,
    Snapshot,
)

log = Log(__name__)

TRIES: Final = 3
"""So often a generation is compared anew because of a cut; then cuts wait for it."""


class Enforcement:
    """One kernel, what it holds, and what it should hold."""

    def __init__(
        self,
        *,
        kernel: Kernel,
        observer: Observer,
        clock: Clock,
        lock: AbstractContextManager[object],
        leases: Leases,
        opening: Callable[[Snapshot], str],
    ) -> None:
        """Know nothing of what the kernel holds, and want nothing.

        `opening` says what opens the leases that a transaction may declare.
        """
        self._leases = leases
        self._opening = opening
        self._kernel = kernel
        self._observer = observer
        self._clock = clock
        self._lock = lock
        self._have: Have | None = None
        self.resolved: Resolved = NOTHING_RESOLVED
        """What host names stand for."""
        self.flows_cut = 0
        """How many flows were cut since the start, for whatever reason."""
        self.want: Snapshot | None = None
        """What is to be enforced; it counts from the next `apply` or `tighten`."""
        self.applied = 0
        """The generation in force, 0 for none."""

    def forget(self) -> None:
        """Believe nothing of the kernel any more; the next `apply` reads it."""
        self.applied, self._have = 0, None

    @property
    def have(self) -> Have | None:
        """What the kernel was brought to hold; None if that is not known."""
        return self._have

    def correct(self, found: Have, *, believed: Have | None) -> None:
        """Believe what was found, unless something was applied since `believed`.

        Without a snapshot every flow is judged: what began meanwhile is cut.
        """
        still = self._have is believed
        self._have = replace(found, snapshot=None) if still else None

    def apply(self, timings: Timings) -> None:
        """Bring the kernel to what is wanted.

        Raises:
            KernelError: it refused; what tightens was done all the same.
        """
        for _ in range(TRIES):
            with self._lock:
                before = (self._have, self.want, self.resolved)
            have, want, resolved = before
            if want is None:
                return
            have = have or self._read()
            planned = self._planned(have, want, resolved)
            with self._lock:
                now_stands = (self._have, self.want, self.resolved)
                pairs = zip(now_stands, before, strict=True)
                if all(one is other for one, other in pairs):
                    self._run_plan(have, want, planned, timings)
                    return
        with self._lock:
            have, want = self._have or self._read(), self.want
            if want is not None:
                planned = self._planned(have, want, self.resolved)
                self._run_plan(have, want, planned, timings)

    def tighten(
        self,
        narrowed: Callable[[], Snapshot],
        *,
        keys: frozenset[str],
        devices: Collection[int],
        timings: Timings,
    ) -> None:
        """Cut keys and devices off at once; `narrowed` is what is wanted from then on.

        It is worked out after the kernel was told: nobody goes on meanwhile.

        Raises:
            KernelError: it refused; what could be cut is cut.
        """
        is_current = self._have is not None and self._have.snapshot is self.want
        try:
            left = self._cut_off(keys, devices, timings)
        finally:
            self.want = narrowed()
        if is_current and left.snapshot is not None:
            left = replace(left, snapshot=self.want)
        self._have = left

    def _cut_off(
        self, keys: frozenset[str], devices: Collection[int], timings: Timings
    ) -> Have:
        """Run the steps from what is believed, else from what is read back."""
        want = self.want
        for believed in (self._have, None) if self._have else (None,):
            steps, left = cut(
                believed or self._read(),
                keys=keys,
                devices=devices,
                now=self._clock.now(),
            )
            try:
                if want is not None:
                    self._run_all(steps, want, want.pools, timings)
            except KernelError as exc:
                if believed is None:
                    raise
                # Somebody else changed the table: take it as it is.
                log.warning("kernel.read_back", reason=str(exc))
            else:
                return left()
        raise AssertionError("the second try returns or raises")

    def resolve(self, resolved: Resolved) -> None:
        """Let host names stand for this, and cut what that ends.

        Raises:
            KernelError: it refused; what stands is unknown.
        """
        before, self.resolved = self.resolved, resolved
        have, want = self._have, self.want
        if want is None or have is None or have.ruleset is None:
            return
        if have.snapshot is not want:
            # Another generation is being compared: it is to judge every flow.
            if lost(before, resolved):
                self._have = replace(have, snapshot=None)
            return
        text, table = reconcile.rename(
            have.ruleset, want, resolved, now=self._clock.now()
        )
        if text:
            self._kernel.run(text)
            self._have = replace(have, ruleset=table)
        if gone := lost(before, resolved):
            flows = self._cut(None, want, want.pools, to=gone)
            log.info("names.lost", addresses=len(gone), flows_cut=flows)

    def sweep(self) -> int:
        """Cut the flows that may not be any more; return how many."""
        return 0 if self.want is None else self._cut(None, self.want, self.want.pools)

    def _read(self) -> Have:
        """Return what stands, as far as the kernel itself can say."""
        now = self._clock.now()
        return Have(
            snapshot=None,
            ruleset=self._kernel.ruleset(now=now),
            interface=self._kernel.peers(),
        )

    def _planned(
        self, have: Have, want: Snapshot, resolved: Resolved
    ) -> tuple[tuple[Step, ...], Ruleset]:
        return reconcile.plan(
            have,
            want,
            interface=self._kernel.interface,
            now=self._clock.now(),
            resolved=resolved,
        )

    def _run_plan(
        self,
        have: Have,
        want: Snapshot,
        planned: tuple[tuple[Step, ...], Ruleset],
        timings: Timings,
    ) -> None:
        steps, loaded = planned
        pools = {*want.pools, *(have.snapshot.pools if have.snapshot else ())}
        self._run_all(steps, want, pools, timings)
        self._observer.set_view(
            view_of(want, self._clock, resolved=lambda: self.resolved)
        )
        peers = reconcile.peers_of(want, now=self._clock.now())
        self._have = Have(
            snapshot=want,
            ruleset=loaded,
            interface=InterfaceState(listen_port=want.listen_port, peers=peers),
        )
        self.applied = want.generation

    def _run_all(
        self,
        steps: Iterable[Step],
        want: Snapshot,
        pools: Iterable[IPNetwork],
        timings: Timings,
    ) -> None:
        """Run steps in order; after a failure only those that tighten."""
        failure: KernelError | None = None
        for step in steps:
            if failure is not None and not isinstance(step, RemovePeers | CutFlows):
                continue
            try:
                self._run_step(step, want, pools, timings)
            except KernelError as exc:
                failure = failure or exc
        if failure is not None:
            raise failure

    def _run_step(
        self, step: Step, want: Snapshot, pools: Iterable[IPNetwork], timings: Timings
    ) -> None:
        begun = self._clock.ticks()
        match step:
            case RunTransaction(text=text):
                self._kernel.run(text + self._opening(want))
                timings.nftables_ms += (self._clock.ticks() - begun) * 1000
                return
            case ChangeElements(changes=changes):
                self._kernel.change_elements(changes, now=self._clock.now())
                timings.nftables_ms += (self._clock.ticks() - begun) * 1000
                return
            case CutFlows(devices=devices, is_judged=is_judged):
                judge = self._cut if is_judged else self._cut_all
                timings.flows_cut += judge(devices, want, pools)
                timings.conntrack_ms += (self._clock.ticks() - begun) * 1000
                return
            case RemovePeers(keys=keys):
                self._kernel.remove_peers(keys)
            case SetListenPort(port=port):
                self._kernel.set_listen_port(port)
            case AddRoutes(prefixes=prefixes):
                self._kernel.add_routes(prefixes)
            case SetPeers(peers=peers):
                self._kernel.set_peers(peers)
        timings.wireguard_ms += (self._clock.ticks() - begun) * 1000

    def _cut(
        self,
        devices: frozenset[int] | None,
        snapshot: Snapshot,
        pools: Iterable[IPNetwork],
        *,
        to: frozenset[IPAddress] | None = None,
    ) -> int:
        entries = self._kernel.entries(devices)
        if to is not None:
            entries = [e for e in entries if e.tuple.destination in to]
        doomed = reconcile.flows_to_cut(
            entries,
            less_withheld(snapshot, self._leases.withheld),
            pools=pools,
            now=self._clock.now(),
            resolved=self.resolved,
        )
        return self._end(doomed)

    def _cut_all(
        self,
        devices: frozenset[int] | None,
        _snapshot: Snapshot,
        pools: Iterable[IPNetwork],
    ) -> int:
        """Cut every flow of these devices: nothing is left to judge it by."""
        ours = tuple(pools)
        return self._end(
            [
                entry
                for entry in self._kernel.entries(devices)
                if any(entry.tuple.source in pool for pool in ours)
            ]
        )

    def _end(self, doomed: Sequence[Entry]) -> int:
        if not doomed:
            return 0
        self._observer.revoking([entry.tuple for entry in doomed])
        cut_now = self._kernel.cut(doomed)
        self.flows_cut += cut_now
        return cut_now

"""The apply engine: verify → persist → apply → acknowledge, and the lease.

* Nothing unverified is kept; nothing is applied that is not on disk first. Only a
  revocation that the disk does not take is applied all the same.
* What the kernel refused is not in force: the lease is not renewed, and the kernel
  closes within a minute.
* A notice of revocation waits for nothing that takes long: reading, comparing and
  reading back a generation happen outside the lock, and are done again if a notice
  came meanwhile. What is enforced is the snapshot held less the keys that are cut; a
  generation that is so narrowed is not acknowledged, its successor will be.
* When the gate opens is `gateway.gate`'s to say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from gateway import reconcile
from gateway.acknowledgement import document, notice_document
from gateway.client import Answer
from gateway.clock import Clock
from gateway.cuts import Cuts
from gateway.enforcement import Enforcement
from gateway.errors import (
    KernelError,
    StoreError,
    UntrustedError,
)
from gateway.freshness import Freshness
from gateway.gate import Gatekeeper
from gateway.judging import Judging
from gateway.kernel import Kernel
from gateway.leases import Leases
from gateway.logs import Log
from gateway.notices import keep_cuts, stored_cuts
from gateway.reconcile import Have
from gateway.store import ACCEPTED, Store, damaged
from gateway.trust import Held, Judge
from gateway.types import Gate, Timings
from gateway.view import Observer
from policies.compiler.holdings import holdings_digest
from policies.compiler.named import bounds
from policies.compiler.nftables import closed_text
from policies.compiler.notice import Notice
from policies.compiler.types import (
    IPNetwork,
    Resolved,
    Snapshot,
)

log = Log(__name__)


class Engine:
    """Holds one gateway to its snapshot. Safe to share between threads."""

    def __init__(
        self,
        *,
        judge: Judge,
        store: Store,
        kernel: Kernel,
        observer: Observer,
        clock: Clock,
        boot_id: str,
        heard: Callable[[datetime], None] = lambda _: None,
    ) -> None:
        """Start with nothing held; `open` reads what is stored.

        `heard` is told the portal's signed time whenever a lease is accepted.

        Raises:
            StoreError: what never goes back cannot be read.
        """
        self._judging = Judging(judge, store, cut=lambda: self._cuts.keys)
        self._store = store
        self._kernel = kernel
        self._clock = clock
        self._boot_id = boot_id
        self._heard = heard
        self._lock = threading.RLock()
        self._held: Held | None = None
        self._cuts = Cuts(epoch=self.epoch)
        leases = Leases(kernel)
        self._enforcement = Enforcement(
            kernel=kernel,
            observer=observer,
            clock=clock,
            lock=self._lock,
            leases=leases,
            opening=self._opening,
        )
        self._gatekeeper = Gatekeeper(
            kernel=kernel, clock=clock, leases=leases, enforcement=self._enforcement
        )

    @property
    def store(self) -> Store:
        """The state directory."""
        return self._store

    @property
    def gate(self) -> Gate:
        """Whether the gate is kept open, as `renew` found last."""
        return self._gatekeeper.gate

    @property
    def is_calm(self) -> bool:
        """Whether nothing that others changed is left to repair."""
        return self._gatekeeper.is_calm

    @is_calm.setter
    def is_calm(self, is_calm: bool) -> None:
        self._gatekeeper.is_calm = is_calm

    @property
    def generation(self) -> int:
        """The generation in force, 0 for none; what a poll asks beyond."""
        return self._enforcement.applied

    @property
    def notice(self) -> int:
        """The number of the last notice in force, 0 for none."""
        return self._cuts.number

    @property
    def flows_cut(self) -> int:
        """How many flows were cut since the start, for whatever reason."""
        return self._enforcement.flows_cut

    @property
    def kernel(self) -> Kernel:
        """The kernel it holds to the snapshot."""
        return self._kernel

    @property
    def epoch(self) -> int:
        """The epoch this gateway was enrolled in, or has gone up to since."""
        return self._judging.judge.anchor.epoch

    @property
    def held(self) -> Held | None:
        """The snapshot that was accepted last, in force or not."""
        return self._held

    @property
    def resolved(self) -> Resolved:
        """What host names stand for."""
        return self._enforcement.resolved

    @property
    def takes_delta(self) -> bool:
        """Whether a delta may be asked for; not after one that led nowhere."""
        return self._judging.takes_delta

    @property
    def holds(self) -> str:
        """What is held, in force or not, for the portal to recognise; or nothing."""
        with self._lock:
            held = self._held
            if held is None:
                return ""
            return f"{held.snapshot.epoch}.{held.snapshot.generation}.{held.digest}"

    @property
    def floor(self) -> int:
        """The lowest generation that could be taken, in this epoch or a higher one."""
        with self._lock:
            held = self._held
            above = 1 if held is None else held.snapshot.generation + 1
            return max(above, self._judging.judge.anchor.floor)

    def accepted(self) -> bytes | None:
        """Return what the portal had signed for this gateway and may have lost."""
        return self._store.read_accepted()

    def uncovered(self) -> tuple[bytes, ...]:
        """Return the notices of revocation that no accepted snapshot covers yet."""
        return tuple(envelope for _, envelope in self._cuts.notices)

    @property
    def withheld(self) -> tuple[int, ...]:
        """The applications that are closed because their terms are not met, by id."""
        with self._lock:
            return self._gatekeeper.withheld()

    def seconds_left(self) -> float:
        """Return how long the lease runs still; 0 or less for none."""
        with self._lock:
            return self._gatekeeper.seconds_left()

    def open(self) -> dict[str, object] | None:
        """Take up what an earlier run accepted; return its acknowledgement.

        The gate opens only if the stored lease still runs. Without one it is closed
        at once, whatever an earlier run left open.

        Raises:
            StoreError: what is stored is damaged or not for this gateway; the
                operator must say what to do, because the generation floor is lost.
        """
        with self._lock:
            now = self._clock.now()
            self._cuts = stored_cuts(self._store, self._judging.judge)
            self._judging.revoke(self._cuts.keys)
            envelope = self._store.read_accepted()
            if envelope is None:
                self._kernel.run(closed_text(self._kernel.interface))
                return None
            try:
                self._held = self._judging.stored(envelope, now=now)
            except UntrustedError as exc:
                self._kernel.run(closed_text(self._kernel.interface))
                raise StoreError(
                    f"the stored snapshot is not acceptable ({exc}):"
                    f" {damaged(self._store.directory / ACCEPTED)}"
                ) from exc
            self._enforcement.want = self._cuts.less(self._held.snapshot)
            self._gatekeeper.freshness = self._stored_lease(self._held, now)
            if self._gatekeeper.freshness is None:
                self._kernel.run(closed_text(self._kernel.interface))
            acknowledgement = self._apply(self._held, Timings(), received_at=now)
            self._remember(self._held)
            return acknowledgement

    def receive(self, answer: Answer) -> dict[str, object] | None:
        """Accept a poll's answer; return the acknowledgement of what it changed.

        Raises:
            UntrustedError: the answer breaks a rule of trust; nothing changed.
            StoreError: it could not be made durable; nothing changed.
        """
        started, received_at = self._clock.ticks(), self._clock.now()
        timings = Timings()
        if answer.epoch is not None:
            self._go_up(answer.epoch, received_at)
        answer, held, lease = self._judging.answered(
            answer,
            held=self._held,
            lease=self._gatekeeper.freshness.lease
            if self._gatekeeper.freshness
            else None,
            now=received_at,
        )
        verified = self._clock.ticks()
        timings.verify_ms = (verified - started) * 1000
        if answer.snapshot is not None and held is not self._held:
            self._store.write_accepted(answer.snapshot)
        timings.persist_ms = (self._clock.ticks() - verified) * 1000
        with self._lock:
            self._accept(held)
            # The clock may stand elsewhere from here on: count by that.
            self._heard(lease.issued)
            received_at = self._clock.now()
            self._gatekeeper.freshness = Freshness(
                lease=lease, now=received_at, ticks=started, is_received=True
            )
            is_applied = self._enforcement.applied == held.snapshot.generation
        acknowledgement = None
        if not is_applied:
            acknowledgement = self._apply(
                held, timings, received_at=received_at, started=started
            )
            # Enforcement does not wait for it.
            self._remember(held)
        self._keep_lease(answer.lease)
        return acknowledgement

    def cut(self, envelopes: Iterable[bytes]) -> dict[str, object] | None:
        """Cut off what notices say, in their order; return the report of the last.

        One that is refused holds up none of those behind it, but the last number stays
        below it: whoever has heard of a number has heard of all before it.

        Raises:
            UntrustedError: the first breaks a rule of trust; those behind it are cut.
        """
        report, refusal = None, None
        for envelope in envelopes:
            try:
                if refusal is None:
                    report = self._cut_one(envelope)
                else:
                    self._cut_one(envelope, is_counted=False)
            except UntrustedError as exc:
                refusal = refusal or exc
        if refusal is not None and report is None:
            raise refusal
        # What was refused comes again, after the report of those before it.
        return report

    def acknowledge_again(self, error: str) -> dict[str, object] | None:
        """Return an acknowledgement of what is held; with an error, of a refusal."""
        with self._lock:
            held = self._held
        if held is None:
            return None
        now = self._clock.now()
        return self._acknowledgement(
            held.snapshot, Timings(), received_at=now, error=error
        )

    def renew(self, *, is_healthy: bool) -> bool:
        """Keep the gate open for another minute if it may be; return whether it may.

        Not renewing is enough to close: the kernel does it. `is_healthy` says whether
        evidence becomes durable. It is not renewed while the table or the interface is
        gone, or not `is_calm`; the guard brings them back.
        """
        with self._lock:
            self._keep_again()
            return self._gatekeeper.renew(self._snapshot, is_healthy=is_healthy)

    def keep_terms(self, *, is_healthy: bool) -> int:
        """Close at once what an application's terms allow no longer, and cut its flows.

        Return how many were cut. What is allowed again is open again, what the kernel
        refused is tried again. To be called every second.
        """
        with self._lock:
            return self._gatekeeper.keep_terms(self._snapshot, is_healthy=is_healthy)

    def known(self) -> Have | None:
        """Return what the kernel was brought to hold last; None if that is not known.

        Waits until what is being applied is applied.
        """
        with self._lock:
            return self._enforcement.have

    def shut(self) -> None:
        """Close the gate at once; `renew` opens it again."""
        with self._lock:
            self._kernel.run(closed_text(self._kernel.interface))

    def restore(
        self, found: Have, *, believed: Have | None
    ) -> dict[str, object] | None:
        """Bring a kernel that was found to hold something else back to what is held.

        `believed` is what was `known` when it was read: if something was applied
        since, it is read again. The acknowledgement is returned, None if nothing is
        held.
        """
        with self._lock:
            held = self._held
            if held is None:
                return None
            self._enforcement.correct(found, believed=believed)
        return self._apply(held, Timings(), received_at=self._clock.now())

    def bounds(self) -> Mapping[str, tuple[IPNetwork, ...]]:
        """Return the host names in force, each with the prefixes it counts in."""
        with self._lock:
            want = self._enforcement.want
            return {} if want is None else bounds(want)

    def resolve(self, resolved: Resolved) -> dict[str, object] | None:
        """Let host names stand for this from now on, and cut what that ends.

        Where the kernel refuses, everything is read back and applied anew; the
        acknowledgement of that is returned.
        """
        with self._lock:
            try:
                self._enforcement.resolve(resolved)
            except KernelError as exc:
                if self._held is None:
                    return None
                log.warning("names.unapplied", error=str(exc))
                self._enforcement.forget()
                return self._apply(self._held, Timings(), received_at=self._clock.now())
            return None

    def next_end(self) -> datetime | None:
        """Return when the next grant or session ends, or None."""
        with self._lock:
            want = self._enforcement.want
            if want is None:
                return None
            return reconcile.next_end(want, now=self._clock.now())

    def sweep(self) -> int:
        """Cut the flows whose grant or session has ended; return how many.

        The kernel has ended the elements by itself; established flows outlive them.
        """
        with self._lock:
            return self._gatekeeper.sweep()

    def _opening(self, want: Snapshot) -> str:
        return self._gatekeeper.opening(want)

    @property
    def _snapshot(self) -> Snapshot | None:
        return None if self._held is None else self._held.snapshot

    def _accept(self, held: Held) -> None:
        """Hold a snapshot, less what is cut."""
        if held is not self._held:
            self._held = held
            self._enforcement.want = self._cuts.less(held.snapshot)

    def _remember(self, held: Held) -> None:
        """Never go back behind a snapshot that was tried; forget notices it covers.

        Not before: if it breaks the agent, the one before it is held again, which
        does not know whom they cut off.
        """
        self._judging.remember(held)
        with self._lock:
            left = self._cuts.beyond(held.snapshot.revoked_keys)
            if left == self._cuts:
                return
            self._cuts = left
            try:
                keep_cuts(self._store, left)
            except StoreError as exc:
                # The file says more than it must, which is no harm.
                log.warning("notices.unforgotten", reason=str(exc))

    def _cut_one(
        self, envelope: bytes, *, is_counted: bool = True
    ) -> dict[str, object] | None:
        started, received_at = self._clock.ticks(), self._clock.now()
        timings = Timings()
        with self._lock:
            notice = self._judging.judge.notice(
                envelope, after=self.notice, now=received_at
            )
            verified = self._clock.ticks()
            timings.verify_ms = (verified - started) * 1000
            if not is_counted and self._judging.knows(notice.keys):
                return None
            cuts = self._cuts.with_notice(notice, envelope, is_counted=is_counted)
            if self._held and self.generation == self._held.snapshot.generation:
                cuts = cuts.beyond(self._held.snapshot.revoked_keys)
            error = ""
            try:
                keep_cuts(self._store, cuts)
            except StoreError as exc:
                # The portal sends it again after a restart; now it counts as well.
                error = f"not kept: {exc}"
            self._gatekeeper.is_kept = not error
            timings.persist_ms = (self._clock.ticks() - verified) * 1000
            self._cuts = cuts
            applied_at = None
            try:
                self._tighten(notice, timings)
                applied_at = self._clock.now()
            except KernelError as exc:
                log.error("notice.failed", number=notice.number, error=str(exc))  # noqa: TRY400 -- the message is the fact; it goes to the portal too
                # What stands is unknown: no renewal until all was applied anew.
                self._enforcement.forget()
                error = str(exc)
            timings.total_ms = (self._clock.ticks() - started) * 1000
            self._judging.revoke(notice.keys)
        return notice_document(
            notice,
            timings,
            received_at=received_at,
            applied_at=applied_at,
            boot_id=self._boot_id,
            error=error,
        )

    def _keep_again(self) -> None:
        """Write down cuts that a full disk did not take, once it does."""
        if self._gatekeeper.is_kept:
            return
        try:
            keep_cuts(self._store, self._cuts)
        except StoreError as exc:
            log.warning("notices.unkept", reason=str(exc))
        else:
            self._gatekeeper.is_kept = True

    def _tighten(self, notice: Notice, timings: Timings) -> None:
        if self._held is None:
            # Nothing is let in without a snapshot.
            return
        held = self._held.snapshot
        self._enforcement.tighten(
            lambda: self._cuts.less(held),
            keys=notice.keys,
            devices={
                *notice.devices,
                *(p.device_id for p in held.peers if p.public_key in notice.keys),
            },
            timings=timings,
        )

    def _go_up(self, envelope: bytes, now: datetime) -> None:
        self._judging.go_up(envelope, held=self._held, now=now)
        with self._lock:
            # Numbers of notices begin anew; what they cut stays cut.
            self._cuts = replace(self._cuts, epoch=self.epoch, number=0)

    def _keep_lease(self, envelope: bytes) -> None:
        """Store a lease; it only opens a restart, so failing to is no failure."""
        try:
            self._store.write_lease(envelope)
        except StoreError as exc:
            log.warning("lease.unstored", error=str(exc))

    def _stored_lease(self, held: Held, now: datetime) -> Freshness | None:
        envelope = self._store.read_lease()
        if envelope is None:
            return None
        try:
            lease = self._judging.judge.lease(envelope, of=held, held=None, now=now)
        except UntrustedError as exc:
            log.info("lease.unusable", error=str(exc))
            return None
        return Freshness(
            lease=lease, now=now, ticks=self._clock.ticks(), is_received=False
        )

    def _apply(
        self,
        held: Held,
        timings: Timings,
        *,
        received_at: datetime,
        started: float | None = None,
    ) -> dict[str, object] | None:
        """Bring the kernel to `held`; return the acknowledgement, of failure too."""
        begun = self._clock.ticks() if started is None else started
        error = ""
        applied_at: datetime | None = None
        try:
            self._enforcement.apply(timings)
            applied_at = self._clock.now()
        except KernelError as exc:
            number = held.snapshot.generation
            error = str(exc)
            log.error("generation.failed", generation=number, error=error)  # noqa: TRY400 -- the message is the fact; it goes to the portal too
            with self._lock:
                self._enforcement.forget()
        timings.total_ms = (self._clock.ticks() - begun) * 1000
        return self._acknowledgement(
            held.snapshot,
            timings,
            received_at=received_at,
            applied_at=applied_at,
            error=error,
        )

    def _acknowledgement(
        self,
        snapshot: Snapshot,
        timings: Timings,
        *,
        received_at: datetime,
        applied_at: datetime | None = None,
        error: str = "",
    ) -> dict[str, object] | None:
        digest = ""
        if not error:
            if self._enforcement.want is not snapshot:
                return None
            try:
                now = self._clock.now()
                digest = holdings_digest(self._kernel.holdings(now=now))
                applied_at = applied_at or now
            except KernelError as exc:
                error = f"cannot read back: {exc}"
            if self._enforcement.want is not snapshot:
                # A notice came while it was read: it holds less, as it should.
                return None
        return document(
            snapshot,
            timings,
            received_at=received_at,
            applied_at=applied_at,
            observed_digest=digest,
            boot_id=self._boot_id,
            error=error,
        )

"""The gate: open for a minute at a time, while everything that must hold holds.

* Not renewing is enough to close: the kernel does it. Nobody has to be alive for that.
* Flows that may not be any more and that the kernel did not let be cut are tried again
  every second; meanwhile nothing is renewed, so that they end within a minute too.
* It is opened only while the generation held is the one in force and every health
  holds, never beyond the lease of the portal. Where an application goes on without
  evidence, evidence is the health of the strict ones' own leases.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf

from gateway.clock import Clock
from gateway.enforcement import Enforcement
from gateway.errors import KernelError
from gateway.freshness import Freshness
from gateway.kernel import Kernel
from gateway.leases import LEASE_SECONDS, Leases
from gateway.logs import Log
from gateway.types import Gate
from policies.compiler.leases import applications_behind, needs_evidence
from policies.compiler.nftables import live_text
from policies.compiler.types import Application, Lease, Snapshot

log = Log(__name__)


class Gatekeeper:
    """Opens what one engine enforces. Not safe to share: the engine holds its lock."""

    def __init__(
        self,
        *,
        kernel: Kernel,
        clock: Clock,
        leases: Leases,
        enforcement: Enforcement,
    ) -> None:
        """Keep nothing open yet."""
        self._kernel = kernel
        self._clock = clock
        self._leases = leases
        self._enforcement = enforcement
        self.freshness: Freshness | None = None
        """The lease that the portal signed last, with when it came."""
        self.gate = Gate(is_open=False, reason="the agent has just started")
        """Whether the gate is kept open, as `renew` found last."""
        self.is_calm = True
        """Whether nothing that others changed is left to repair; the guard says."""
        self.is_kept = True
        """Whether every revocation that is in force is on disk as well."""
        self._is_swept = True

    @property
    def lease(self) -> Lease | None:
        """The lease that the portal signed last."""
        return None if self.freshness is None else self.freshness.lease

    def renew(self, held: Snapshot | None, *, is_healthy: bool) -> bool:
        """Keep the gate open for another minute if it may be; return whether it may.

        `held` is the snapshot that was accepted last. `is_healthy` says whether
        evidence becomes durable.
        """
        self._leases.note(is_healthy=is_healthy, ticks=self._clock.ticks())
        try:
            reason = self._renewed(held, is_healthy=is_healthy)
        except KernelError as exc:
            reason = f"the kernel refused the lease: {exc}"
        self.gate = Gate(is_open=not reason, reason=reason)
        return self.gate.is_open

    def keep_terms(self, held: Snapshot | None, *, is_healthy: bool) -> int:
        """Close what an application's terms allow no longer, and cut its flows.

        Return how many were cut. What the kernel refused is tried again.
        """
        now, ticks = self._clock.now(), self._clock.ticks()
        self._leases.note(is_healthy=is_healthy, ticks=ticks)
        want = self._enforcement.want
        if (
            want is None
            or self._enforcement.applied != want.generation
            or self.freshness is None
        ):
            return 0
        before, was_swept = self._leases.withheld, self._is_swept
        is_closing = self._leases.close(
            want.applications, silent_for=self._silence(), now=now, ticks=ticks
        )
        cut = self.sweep() if is_closing or not was_swept else 0
        is_opening = before - self._leases.withheld
        if is_opening or (self._is_swept and not was_swept):
            self.renew(held, is_healthy=is_healthy)
        return cut

    def sweep(self) -> int:
        """Cut the flows that may not be any more; return how many.

        Where the kernel refuses, nothing is renewed until it was done after all.
        """
        try:
            cut = self._enforcement.sweep()
        except KernelError as exc:
            if self._is_swept:
                log.error("flows.not_cut", error=str(exc))  # noqa: TRY400 -- the message is the fact
            self._is_swept = False
            return 0
        self._is_swept = True
        return cut

    def opening(self, want: Snapshot) -> str:
        """Return what opens the leases that a transaction may declare."""
        if self.freshness is None:
            return ""
        left = self.seconds_left()
        due = self._leases.due(want.applications, silent_for=self._silence(), most=left)
        return self._leases.opening_text(due)

    def seconds_left(self) -> float:
        """Return how long the lease runs still; 0 or less for none."""
        if self.freshness is None:
            return 0.0
        return self.freshness.seconds_left(
            now=self._clock.now(), ticks=self._clock.ticks()
        )

    def withheld(self) -> tuple[int, ...]:
        """Return the applications that are closed by their terms, by id."""
        want = self._enforcement.want
        if want is None:
            return ()
        return applications_behind(want, self._leases.withheld)

    def _renewed(self, held: Snapshot | None, *, is_healthy: bool) -> str:
        """Open what may be; return why the gate may not, in words."""
        reason, want = self._obstacle(held), self._enforcement.want
        if reason or want is None:
            return reason
        # Of what is in force: its rules say which leases there are.
        applications = want.applications
        if not is_healthy and needs_evidence(applications):
            reason = "evidence cannot be recorded"
        self._open(applications, is_open=not reason)
        return reason

    def _open(self, applications: Collection[Application], *, is_open: bool) -> None:
        """Keep open what may be: the gate, unless told otherwise, and the leases."""
        left = self.seconds_left()
        if is_open:
            seconds = min(LEASE_SECONDS, int(left))
            self._kernel.run(live_text(self._kernel.interface, seconds))
        due = self._leases.due(applications, silent_for=self._silence(), most=left)
        self._leases.renew(due, now=self._clock.now())

    def _obstacle(self, held: Snapshot | None) -> str:
        """Return why nothing at all may be kept open, in words; empty if it may."""
        if held is None:
            return "no snapshot was accepted yet"
        if not self._kernel.is_guarded() or not self._kernel.is_present():
            return "the table or the interface is gone"
        if not self.is_calm:
            return "what others changed is not repaired"
        if not self.is_kept:
            return "a revocation could not be written down"
        if not self._is_swept:
            return "flows that have ended could not be cut"
        return self._staleness(held)

    def _staleness(self, held: Snapshot) -> str:
        if self._enforcement.applied != held.generation:
            return "the accepted generation is not in force"
        if self.freshness is None or self.seconds_left() < 1:
            return "the lease has run out"
        now, ticks = self._clock.now(), self._clock.ticks()
        if not self.freshness.is_clock_sane(now=now, ticks=ticks):
            return "the clock is not sane"
        return ""

    def _silence(self) -> float:
        """Return how long the portal was silent, in seconds."""
        if self.freshness is None:
            return inf
        return self.freshness.silent_for(
            now=self._clock.now(), ticks=self._clock.ticks()
        )

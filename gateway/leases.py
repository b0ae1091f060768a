"""The leases of applications with terms of their own, beside the gateway's (ADR-0024).

* A lease runs for a minute at most, never beyond its terms, and only while evidence
  becomes durable where that is demanded. Nobody has to act for it to end: the kernel
  counts, as with the gateway's own.
* A lease whose terms are not met is closed at once, which ends new flows, and is then
  `withheld`, by which the engine judges the flows that stand.
* Evidence that fails for a moment closes nothing: only after `GRACE_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from gateway.errors import KernelError
from gateway.kernel import Kernel
from gateway.logs import Log
from policies.compiler.delta import ElementChange
from policies.compiler.leases import (
    LIVE,
    closed_leases,
    lease_name,
    leased,
    needs_evidence,
    seconds_left,
)
from policies.compiler.nftables import closed_text, table_name
from policies.compiler.tables import Element, named_set
from policies.compiler.types import NEVER, Application

log = Log(__name__)

LEASE_SECONDS: Final = 60
"""How long a lease runs when nobody renews it: the agent may be dead."""

GRACE_SECONDS: Final = 5.0
"""How long evidence may fail before what needs it is closed."""


class Leases:
    """Opens and closes leases, and remembers which are withheld."""

    def __init__(self, kernel: Kernel) -> None:
        """Withhold nothing yet."""
        self.withheld: frozenset[str] = frozenset()
        self._kernel = kernel
        self._is_healthy = False
        self._failing_since: float | None = None

    def note(self, *, is_healthy: bool, ticks: float) -> None:
        """Hear whether evidence becomes durable."""
        self._is_healthy = is_healthy
        if is_healthy:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = ticks

    def due(
        self, applications: Collection[Application], *, silent_for: float, most: float
    ) -> Mapping[str, float]:
        """Return the leases to open and for how many seconds, `most` at most."""
        found = {
            lease_name(terms): min(
                most,
                LEASE_SECONDS,
                seconds_left(
                    terms, silent_for=silent_for, is_recorded=self._is_healthy
                ),
            )
            for terms in leased(applications).values()
        }
        return {name: seconds for name, seconds in found.items() if seconds > 0}

    def opening_text(self, due: Mapping[str, float]) -> str:
        """Return commands for a transaction that declares leases: none begins shut."""
        interface = self._kernel.interface
        table = f"inet {table_name(interface)}"
        return "".join(
            f'add element {table} {name} {{ "{interface}" timeout'
            f" {int(seconds * 1000)}ms }}\n"
            for name, seconds in sorted(due.items())
        )

    def renew(self, due: Mapping[str, float], *, now: datetime) -> None:
        """Open leases for so many seconds from now; one that fails just ends."""
        ends = {name: now + timedelta(seconds=s) for name, s in due.items()}
        if not ends:
            return
        try:
            self._kernel.change_elements(self._changes(ends), now=now)
        except KernelError as exc:
            log.warning("terms.not_renewed", error=str(exc))

    def close(
        self,
        applications: Collection[Application],
        *,
        silent_for: float,
        now: datetime,
        ticks: float,
    ) -> bool:
        """Close every lease whose terms are not met; return whether one was open.

        The gateway's own is among them while no application goes on without evidence.
        """
        since = self._failing_since
        is_recorded = since is None or ticks - since < GRACE_SECONDS
        closed = closed_leases(
            applications, silent_for=silent_for, is_recorded=is_recorded
        )
        if not is_recorded and needs_evidence(applications):
            closed |= {LIVE}
        if not closed - self.withheld:
            self.withheld = closed
            return False
        try:
            if LIVE in closed:
                self._kernel.run(closed_text(self._kernel.interface))
            gone = closed - {LIVE}
            self._kernel.change_elements(self._changes(dict.fromkeys(gone)), now=now)
        except KernelError as exc:
            # They are not renewed either, and the next second tries again.
            log.error("terms.not_closed", error=str(exc))  # noqa: TRY400 -- the message is the fact
            return False
        log.warning("terms.closed", leases=sorted(closed))
        self.withheld = closed
        return True

    def _changes(
        self, ends: Mapping[str, datetime | None]
    ) -> tuple[ElementChange, ...]:
        """Return what replaces the element of each lease; without an end, takes it."""
        key = f'"{self._kernel.interface}"'
        return tuple(
            ElementChange(
                named=named_set(name, "ifname", "timeout"),
                removed=(Element(key, "", NEVER),),
                added=() if end is None else (Element(key, "", end),),
            )
            for name, end in sorted(ends.items())
        )

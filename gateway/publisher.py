"""Publishes the agent's report: `status.json`, and `metrics.prom` for Prometheus.

* Both are written beside their place and renamed into it: a reader never sees half.
  They are not made durable: they are about now, and belong in /run.
* `status.json` is for its owner and root; `metrics.prom` holds numbers only and is
  for everybody (the textfile collector runs in an account of its own).
* Whether it can be written decides nothing; that it cannot is said once.
* The supervisor's watchdog is fed only while the threads that enforce are alive.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway import metrics
from gateway.clock import Clock
from gateway.engine import Engine
from gateway.logs import Log
from gateway.notify import Supervisor
from gateway.report import Facts, Spooled, Table, encoded, report
from gateway.spool import Spool
from gateway.store import Identity
from gateway.telemetry import Telemetry

log = Log(__name__)

EVERY_SECONDS: Final = 2.0
STATUS: Final = "status.json"
METRICS: Final = "metrics.prom"
CONNTRACK: Final = Path("/proc/sys/net/netfilter")
SILENCE_LIMITS: Final[Mapping[str, float]] = {
    "renew": 45.0,
    "watch": 30.0,
    "collect": 30.0,
}
"""Seconds after which a thread that enforces counts as hung. Renewing has 15 s between
two rounds and waits for an application of a large snapshot."""


class Publisher:
    """Writes the report every two seconds, in a thread of its own."""

    def __init__(
        self,
        *,
        engine: Engine,
        spool: Spool,
        telemetry: Telemetry,
        clock: Clock,
        identity: Identity,
        interface: str,
        directory: Path,
        supervisor: Supervisor,
    ) -> None:
        """Publish into `directory`; nothing is written before `start`."""
        self._engine = engine
        self._spool = spool
        self._telemetry = telemetry
        self._clock = clock
        self._identity = identity
        self._interface = interface
        self._directory = directory
        self._supervisor = supervisor
        self._failure = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)

    def start(self) -> None:
        """Publish at once and from then on: the table stands."""
        self.step()
        self._supervisor.ready()
        self._thread.start()

    def stop(self) -> None:
        """Publish no more, and take back what would soon be untrue."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._supervisor.stopping()
        for name in (STATUS, METRICS):
            (self._directory / name).unlink(missing_ok=True)

    def step(self) -> None:
        """Publish once, and feed the watchdog if the agent is well."""
        hung = hung_threads(self._telemetry.silences())
        if hung:
            log.error("agent.hung", threads=list(hung))
        else:
            self._supervisor.alive(self._line())
        document = report(self._facts())
        try:
            write_plainly(self._directory / STATUS, encoded(document), mode=0o600)
            text = metrics.exposition(document).encode()
            write_plainly(self._directory / METRICS, text, mode=0o644)
        except OSError as exc:
            if str(exc) != self._failure:
                log.warning("report.unwritten", error=str(exc))
            self._failure = str(exc)
        else:
            self._failure = ""

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            try:
                self.step()
            except Exception as exc:  # noqa: BLE001 -- a report must not end enforcement
                log.error("report.failed", error=repr(exc))  # noqa: TRY400 -- one line

    def _line(self) -> str:
        gate = self._engine.gate
        state = "open" if gate.is_open else f"closing: {gate.reason}"
        return f"generation {self._engine.generation}, gate {state}"

    def _facts(self) -> Facts:
        held = self._engine.held
        return Facts(
            now=self._clock.now(),
            started_at=self._telemetry.started_at,
            pid=os.getpid(),
            gateway=self._identity.gateway,
            deployment=self._identity.deployment,
            portal=self._identity.portal,
            interface=self._interface,
            generation=self._engine.generation,
            snapshot=held.snapshot if held else None,
            lease_seconds=self._engine.seconds_left(),
            gate=self._engine.gate,
            withheld=self._engine.withheld,
            resolved=self._engine.resolved,
            hosts=tuple(self._engine.bounds()),
            flows_cut=self._engine.flows_cut,
            spooled=Spooled(
                records=self._spool.depth,
                size=self._spool.size,
                oldest_at=_made(self._spool.batch(1)),
            ),
            conntrack=connection_table(),
            latest=self._telemetry.latest,
            counts=self._telemetry.counts(),
            seconds=self._telemetry.seconds(),
            silences=self._telemetry.silences(),
        )


def hung_threads(silences: Mapping[str, float]) -> tuple[str, ...]:
    """Return which of the threads that enforce are silent for too long. Pure."""
    return tuple(
        name
        for name, limit in SILENCE_LIMITS.items()
        if silences.get(name, 0.0) > limit
    )


def connection_table(root: Path = CONNTRACK) -> Table | None:
    """Return how full the connection table is, None where the kernel has none."""
    try:
        entries, most = (
            int((root / name).read_text(encoding="ascii"))
            for name in ("nf_conntrack_count", "nf_conntrack_max")
        )
    except (OSError, ValueError):
        return None
    return Table(entries=entries, most=most)


def write_plainly(path: Path, content: bytes, *, mode: int) -> None:
    """Write beside and rename, without making durable.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, mode)
    with os.fdopen(descriptor, "wb") as file:
        # The mask of the unit is for state, not for what others shall read.
        os.fchmod(file.fileno(), mode)
        file.write(content)
    temporary.replace(path)


def _made(batch: list[tuple[int, bytes]]) -> datetime | None:
    """Return when the oldest record was made."""
    for _, body in batch:
        return datetime.fromisoformat(json.loads(body)["at"])
    return None

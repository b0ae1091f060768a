"""The running agent: threads and the clock. Everything else is told the time.

* hearer: notices of revocation → engine → report, before and beside all else
* poller: long poll → engine → acknowledgement queue
* acknowledger: sends acknowledgements, oldest first, until they are taken
* renewer: keeps the gate open every 15 seconds, closes every second what terms do not
  allow, and cuts flows when a grant ends
* watcher: undoes what others change of the table or the interface
* collector: kernel events → spool, every 200 ms durable
* uploader: spool → portal
* resolver: host names → addresses, for as long as each answer holds
* teller: what names stand for → portal, for people to read
* rotator: another key for the requests, when the one in use is old

A thread that fails ends the process, loudly: the data plane stays as it is, the
supervisor starts the agent again, and if nobody does the kernel closes in a minute.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from gateway.client import Portal
from gateway.clock import Clock
from gateway.engine import Engine
from gateway.errors import (
    DeltaError,
    PortalError,
    SpoolError,
    StoreError,
    UntrustedError,
)
from gateway.evidence import Collector, Uploader
from gateway.guard import Guard
from gateway.logs import Log
from gateway.naming import Naming, Told
from gateway.poison import Taster
from gateway.pressure import Pressure
from gateway.publisher import connection_table
from gateway.rotation import Rotation
from gateway.telemetry import Telemetry
from gateway.types import Gate
from gateway.witness import Witness

log = Log(__name__)

RENEW_SECONDS: Final = 15.0
TERMS_SECONDS: Final = 1.0
UPLOAD_SECONDS: Final = 5.0
TELL_SECONDS: Final = 1.0
ROTATE_SECONDS: Final = 600.0
WITNESS_SECONDS: Final = 10.0
FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 15.0
REFUSED_SECONDS: Final = 1.0
MAX_WAITING: Final = 1000
JOIN_SECONDS: Final = 3.0


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        return datetime.now(UTC)  # noqa: TID251 -- the agent's one clock

    def ticks(self) -> float:
        """Return seconds that never go back and count while the machine sleeps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class Backoff:
    """Growing delays with jitter, so that gateways do not come back all at once."""

    def __init__(self) -> None:
        """Start short."""
        self._delay = FIRST_DELAY

    def reset(self) -> None:
        """Start short again: it worked."""
        self._delay = FIRST_DELAY

    def next(self) -> float:
        """Return how long to wait now, and wait longer next time."""
        delay = self._delay * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter
        self._delay = min(self._delay * 2, LONGEST_DELAY)
        return delay


class Agent:
    """Runs an engine against a portal until told to stop."""

    def __init__(
        self,
        *,
        engine: Engine,
        collector: Collector,
        uploader: Uploader,
        naming: Naming,
        portal: Portal,
        clock: Clock,
        boot_id: str,
        telemetry: Telemetry | None = None,
        rotation: Rotation | None = None,
        witness: Witness | None = None,
    ) -> None:
        """Put the parts together; nothing runs before `start`."""
        self._engine = engine
        self._collector = collector
        self._uploader = uploader
        self._naming = naming
        self._portal = portal
        self._clock = clock
        self._boot_id = boot_id
        self._telemetry = telemetry or Telemetry(clock)
        self._rotation = rotation
        self._witness = witness
        self._watchman = Guard(
            engine=engine, tell=collector.tell, clock=clock, jitter=random.random
        )
        self._taster = Taster(engine)
        self._pressure = Pressure()
        self._stop = threading.Event()
        self._wake_renewer = threading.Event()
        self._wake_resolver = threading.Event()
        self._waiting: queue.SimpleQueue[dict[str, object]] = queue.SimpleQueue()
        self._failure: Exception | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Take up what is stored, then start every thread."""
        self._naming.recall()
        # The view must be set before the first flows are compared.
        self._tell(self._taster.open())
        self._collector.begin(self._boot_id)
        self._engine.renew(is_healthy=self._collector.is_healthy())
        for target in (
            self._collect,
            self._hear_notices,
            self._poll,
            self._acknowledge,
            self._renew,
            self._watch,
            self._upload,
            self._resolve,
            self._tell_names,
            self._rotate,
            self._cosign,
        ):
            name = target.__name__.strip("_")
            thread = threading.Thread(
                target=self._guard, args=(target,), name=name, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def wait(self) -> None:
        """Return when told to stop, or raise what ended a thread."""
        self._stop.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ask every thread to end."""
        self._stop.set()
        self._wake_renewer.set()
        self._wake_resolver.set()
        self._collector.durable.set()

    def join(self) -> None:
        """Wait for the threads, then make durable what they know."""
        deadline = self._clock.ticks() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.ticks()))
        self._naming.end()
        self._collector.end()

    def _goes_on(self) -> bool:
        """Return whether the calling thread shall go round again; it is alive."""
        self._telemetry.beat()
        return not self._stop.is_set()

    def _guard(self, target: Callable[[], None]) -> None:
        try:
            target()
        except Exception as exc:  # noqa: BLE001 -- `wait` raises it again
            if not self._stop.is_set():
                self._failure = exc
            self.stop()

    def _hear_notices(self) -> None:
        backoff, said = Backoff(), ""
        report: dict[str, object] | None = None
        while self._goes_on():
            try:
                if report is not None:
                    self._portal.report_notice(report)
                    report = None
                report = self._engine.cut(
                    self._portal.await_notices(
                        after=self._engine.notice, epoch=self._engine.epoch
                    )
                )
            except (PortalError, UntrustedError, StoreError) as exc:
                # What the portal refused it will refuse again.
                if getattr(exc, "status", 0) in {400, 404, 413, 422}:
                    report = None
                if not self._stop.is_set() and str(exc) != said:
                    said = str(exc)
                    log.warning("notices.failed", error=said)
                # What was refused comes again at once; what comes behind it is cut.
                is_refused = isinstance(exc, UntrustedError)
                most = REFUSED_SECONDS if is_refused else LONGEST_DELAY
                self._stop.wait(min(backoff.next(), most))
            else:
                backoff.reset()
                if report is not None:
                    log.info(
                        "notice.reported",
                        number=report["number"],
                        flows_cut=report["flows_cut"],
                        timings=report["timings"],
                        error=report["error"],
                    )

    def _poll(self) -> None:
        backoff, refused, is_whole = Backoff(), "", False
        while self._goes_on():
            try:
                answer = self._portal.poll(
                    after=self._engine.generation,
                    epoch=self._engine.epoch,
                    holds=self._engine.holds,
                    takes_delta=self._engine.takes_delta,
                )
                self._telemetry.told_versions(answer.agent)
                if answer.asks_revoked:
                    self._show()
                acknowledgement = self._taster.receive(answer)
            except DeltaError as exc:
                # Whole: that is asked for next, at once unless it was already.
                log.warning("delta.refused", error=str(exc))
                if is_whole:
                    self._stop.wait(backoff.next())
                is_whole = True
                continue
            except (PortalError, UntrustedError, StoreError) as exc:
                if self._stop.is_set():
                    return
                log.warning("poll.failed", error=str(exc))
                self._telemetry.poll_failed(exc)
                if isinstance(exc, UntrustedError) and str(exc) != refused:
                    refused = str(exc)
                    self._tell(self._engine.acknowledge_again(f"refused: {exc}"))
                self._stop.wait(backoff.next())
                continue
            self._telemetry.polled()
            is_whole = False
            if refused and acknowledgement is None:
                acknowledgement = self._engine.acknowledge_again("")
            refused = ""
            self._tell(acknowledgement)
            self._wake_renewer.set()
            self._wake_resolver.set()
            if acknowledgement is not None and acknowledgement["error"]:
                self._stop.wait(backoff.next())
            else:
                backoff.reset()

    def _tell(self, acknowledgement: dict[str, object] | None) -> None:
        if acknowledgement is None:
            return
        log.info(
            "generation.acknowledged",
            generation=acknowledgement["generation"],
            flows_cut=acknowledgement["flows_cut"],
            timings=acknowledgement["timings"],
            error=acknowledgement["error"],
        )
        self._telemetry.applied(acknowledgement)
        if self._waiting.qsize() < MAX_WAITING:
            self._waiting.put(acknowledgement)

    def _show(self) -> None:
        """Show what is held; who holds nothing has nothing that could be lost."""
        accepted = self._engine.accepted()
        if accepted is not None:
            self._portal.show(
                accepted, self._engine.uncovered(), floor=self._engine.floor
            )

    def _acknowledge(self) -> None:
        backoff = Backoff()
        while self._goes_on():
            try:
                acknowledgement = self._waiting.get(timeout=1.0)
            except queue.Empty:
                continue
            while not self._stop.is_set():
                try:
                    self._portal.acknowledge(acknowledgement)
                except (PortalError, StoreError) as exc:
                    log.warning("acknowledgement.failed", error=str(exc))
                    self._telemetry.acknowledgement_failed(exc)
                    # What the portal refused it will refuse again.
                    if getattr(exc, "status", 0) in {400, 404, 413, 422}:
                        break
                    self._stop.wait(backoff.next())
                else:
                    self._telemetry.acknowledged()
                    backoff.reset()
                    break

    def _renew(self) -> None:
        before, due, is_woken = None, self._clock.ticks(), True
        while self._goes_on():
            if is_woken or due <= self._clock.ticks():
                self._engine.renew(is_healthy=self._collector.is_healthy())
                due = self._clock.ticks() + RENEW_SECONDS
            gate = self._engine.gate
            if gate != before:
                self._say(gate)
                before = gate
            end = self._engine.next_end()
            pause = TERMS_SECONDS
            if end is not None:
                until = (end - self._clock.now()).total_seconds()
                pause = min(pause, max(0.0, until) + 0.05)
            is_woken = self._wake_renewer.wait(pause)
            self._wake_renewer.clear()
            cut = self._engine.keep_terms(is_healthy=self._collector.is_healthy())
            if cut:
                log.warning("terms.withheld", flows_cut=cut)
            self._look_at_table()
            if end is not None and end <= self._clock.now():
                log.info("grants.ended", flows_cut=self._engine.sweep())

    def _look_at_table(self) -> None:
        told = self._pressure.observe(connection_table(), now=self._clock.now())
        if told is not None:
            self._collector.tell(told)

    @staticmethod
    def _say(gate: Gate) -> None:
        if gate.is_open:
            log.info("gate.opened")
        else:
            log.warning("gate.closing", reason=gate.reason)

    def _watch(self) -> None:
        while self._goes_on():
            was_calm, acknowledgement = self._engine.is_calm, self._watchman.step()
            self._tell(acknowledgement)
            if acknowledgement is not None or not was_calm:
                self._wake_renewer.set()

    def _resolve(self) -> None:
        while self._goes_on():
            self._tell(self._naming.step())
            self._wake_resolver.wait(self._naming.pause())
            self._wake_resolver.clear()

    def _tell_names(self) -> None:
        backoff, told = Backoff(), Told()
        while not self._stop.wait(TELL_SECONDS):
            news = self._naming.news(told)
            if news is None:
                continue
            try:
                self._portal.tell_names(news.names)
            except (PortalError, StoreError) as exc:
                if not self._stop.is_set():
                    log.warning("names.untold", error=str(exc))
                    self._stop.wait(backoff.next())
            else:
                told = news
                backoff.reset()

    def _rotate(self) -> None:
        while self._rotation is not None and not self._stop.is_set():
            pause = ROTATE_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter
            try:
                self._rotation.step()
            except (PortalError, StoreError) as exc:
                if not self._stop.is_set():
                    log.warning("key.unrotated", error=str(exc))
                pause = LONGEST_DELAY
            self._stop.wait(pause)

    def _cosign(self) -> None:
        backoff = Backoff()
        while self._witness is not None and not self._stop.is_set():
            pause = WITNESS_SECONDS * random.uniform(0.8, 1.0)  # noqa: S311 -- jitter
            try:
                self._witness.step()
            except (PortalError, StoreError) as exc:
                if not self._stop.is_set():
                    log.warning("witness.unheard", error=str(exc))
                pause = WITNESS_SECONDS + backoff.next()
            else:
                backoff.reset()
            self._stop.wait(pause)

    def _collect(self) -> None:
        while self._goes_on():
            self._collector.step()

    def _upload(self) -> None:
        backoff = Backoff()
        while self._goes_on():
            self._collector.durable.wait(UPLOAD_SECONDS)
            self._collector.durable.clear()
            try:
                while not self._stop.is_set() and (taken := self._uploader.step()):
                    self._telemetry.uploaded(taken)
                    backoff.reset()
            except (PortalError, UntrustedError, SpoolError, StoreError) as exc:
                if not self._stop.is_set():
                    log.warning("evidence.undelivered", error=str(exc))
                    self._telemetry.upload_failed(exc)
                    self._stop.wait(backoff.next())
                    self._collector.durable.set()

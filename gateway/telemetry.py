"""What the agent knows about itself: counts, latest facts, and who is alive.

One object, written by the agent's threads and read by whoever publishes it (`status`,
metrics, the watchdog). It decides nothing and never fails: telemetry must not end
enforcement.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.clock import NEAR, Clock
from gateway.logs import Log

log = Log(__name__)

STAGES: Final = ("verify", "persist", "nftables", "wireguard", "conntrack", "total")
Labelled = tuple[str, str]
"""A count's name and its label, empty where it has none."""


@dataclass(slots=True)
class Latest:
    """The latest facts; None where there was none in this run."""

    polled_at: datetime | None = None
    poll_error: str = ""
    acknowledged_at: datetime | None = None
    acknowledgement_error: str = ""
    uploaded_at: datetime | None = None
    upload_error: str = ""
    applied_at: datetime | None = None
    apply_error: str = ""
    clock_offset_seconds: float | None = None
    portal_agent: tuple[str, str] | None = None
    """The version of the agent that belongs to the portal, and the oldest it serves."""


class Telemetry:
    """Counts and latest facts. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        """Know nothing yet."""
        self.latest = Latest()
        self.started_at = clock.now()
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[Labelled] = Counter()
        self._seconds: dict[Labelled, float] = {}
        self._beats: dict[str, float] = {}

    def count(self, name: str, label: str = "", *, by: int = 1) -> None:
        """Add to a count."""
        with self._lock:
            self._counts[name, label] += by

    def counts(self) -> Mapping[Labelled, int]:
        """Return every count that was ever added to."""
        with self._lock:
            return dict(self._counts)

    def seconds(self) -> Mapping[Labelled, float]:
        """Return sums of seconds by name and label."""
        with self._lock:
            return dict(self._seconds)

    def beat(self) -> None:
        """Note that the calling thread is alive."""
        self._beats[threading.current_thread().name] = self._clock.ticks()

    def silences(self) -> Mapping[str, float]:
        """Return for how many seconds each thread that ever beat has been silent."""
        ticks = self._clock.ticks()
        return {name: ticks - beat for name, beat in dict(self._beats).items()}

    def polled(self) -> None:
        """Note an answer that was accepted."""
        self.latest.polled_at, self.latest.poll_error = self._clock.now(), ""
        self.count("polls")

    def told_versions(self, agent: tuple[str, str] | None) -> None:
        """Note which agents the portal speaks with, if it says so."""
        self.latest.portal_agent = agent or self.latest.portal_agent

    def poll_failed(self, error: Exception) -> None:
        """Note a poll without an acceptable answer."""
        self.latest.poll_error = str(error)
        self.count("poll_errors")

    def applied(self, acknowledgement: Mapping[str, object]) -> None:
        """Note an application by its acknowledgement, of failure too."""
        error = str(acknowledgement["error"])
        self.latest.apply_error = error
        self.count("applies", "failed" if error else "ok")
        if not error:
            self.latest.applied_at = self._clock.now()
        timings = acknowledgement["timings"]
        if not isinstance(timings, Mapping):
            return
        with self._lock:
            for stage in STAGES:
                key = ("apply", stage)
                spent = float(timings.get(f"{stage}_ms", 0.0)) / 1000
                self._seconds[key] = self._seconds.get(key, 0.0) + spent

    def acknowledged(self) -> None:
        """Note an acknowledgement that the portal took."""
        self.latest.acknowledged_at = self._clock.now()
        self.latest.acknowledgement_error = ""
        self.count("acknowledgements")

    def acknowledgement_failed(self, error: Exception) -> None:
        """Note one that it did not."""
        self.latest.acknowledgement_error = str(error)
        self.count("acknowledgement_errors")

    def compared(self, offset_seconds: float) -> None:
        """Note how far this machine's clock is ahead of the portal's signed time."""
        before, self.latest.clock_offset_seconds = (
            self.latest.clock_offset_seconds,
            offset_seconds,
        )
        was_off = before is not None and abs(before) > NEAR.total_seconds()
        if abs(offset_seconds) > NEAR.total_seconds():
            if not was_off:
                log.error("clock.skewed", offset_seconds=round(offset_seconds, 3))
        elif was_off:
            log.info("clock.agrees", offset_seconds=round(offset_seconds, 3))

    def recorded(self, record: Mapping[str, object]) -> None:
        """Note a record of evidence; of a gap, how many events it stands for."""
        self.count("records", str(record["kind"]))
        if record["kind"] == "gap":
            self.count("lost", str(record["source"]), by=int(str(record["lost"])))

    def uploaded(self, records: int) -> None:
        """Note evidence that the portal signed for."""
        self.latest.uploaded_at, self.latest.upload_error = self._clock.now(), ""
        self.count("uploaded", by=records)

    def upload_failed(self, error: Exception) -> None:
        """Note evidence that it did not take."""
        self.latest.upload_error = str(error)
        self.count("upload_errors")

"""Handshakes and outer addresses of devices, as records (sensor S1). Pure.

The interface is read about each second anyway (`gateway.guard`). A device is told of
when its last handshake or its endpoint is another than at the reading before: state
that survives slow reading, so nothing is told twice and a handshake is never missed,
only several within one second. At most `MOST` a reading are told, the rest with the
next ones; the latest state wins. What a run sees first is told too, but for a device
that never shook hands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from gateway.flows import EPOCH, Record, text_time
from gateway.types import Sighting

MOST: Final = 200


class Sightings:
    """What was told last of each peer."""

    def __init__(self) -> None:
        """Know nobody."""
        self._told: dict[str, tuple[int, str]] = {}

    def changed(
        self,
        seen: Mapping[str, Sighting],
        *,
        devices: Mapping[str, int],
        now: datetime,
    ) -> Iterator[Record]:
        """Yield a record for each device that shook hands or moved."""
        left = MOST
        for key, sighting in seen.items():
            state = (sighting.handshake_ns, sighting.endpoint)
            device = devices.get(key)
            if not sighting.handshake_ns and not sighting.endpoint:
                continue
            if device is None or self._told.get(key) == state:
                continue
            if not left:
                return
            left -= 1
            self._told[key] = state
            yield _record(sighting, device, now)
        for key in self._told.keys() - seen.keys():
            del self._told[key]


def _record(sighting: Sighting, device: int, now: datetime) -> Record:
    shaken = sighting.handshake_ns
    return {
        "kind": "handshake",
        "at": text_time(now),
        "device": device,
        "endpoint": sighting.endpoint or None,
        "handshake_at": text_time(EPOCH + sighting.since_epoch) if shaken else None,
        "bytes_up": sighting.received,
        "bytes_down": sighting.sent,
    }

"""The running agent's word about itself, as one JSON document. Pure.

`status`, the metrics and `doctor` read this document and nothing else of the agent:
there is no control interface to attack (ADR-0025).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.config import VERSION
from gateway.flows import text_time
from gateway.telemetry import Labelled, Latest
from gateway.types import Gate
from policies.compiler.types import Resolved, Snapshot

FORM: Final = 1
MOST_NAMES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """Evidence that waits: records, bytes on disk, when the oldest was made."""

    records: int
    size: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How full the kernel's connection table is."""

    entries: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that is told, at one moment."""

    now: datetime
    started_at: datetime
    pid: int
    gateway: str
    deployment: str
    portal: str
    interface: str
    generation: int
    snapshot: Snapshot | None
    lease_seconds: float
    gate: Gate
    withheld: tuple[int, ...]
    resolved: Resolved
    hosts: tuple[str, ...]
    flows_cut: int
    spooled: Spooled
    conntrack: Table | None
    latest: Latest
    counts: Mapping[Labelled, int]
    seconds: Mapping[Labelled, float]
    silences: Mapping[str, float]


def report(facts: Facts) -> dict[str, Any]:
    """Return the document."""
    latest, snapshot = facts.latest, facts.snapshot
    return {
        "form": FORM,
        "at": text_time(facts.now),
        "started_at": text_time(facts.started_at),
        "pid": facts.pid,
        "version": VERSION,
        "gateway": facts.gateway,
        "deployment": facts.deployment,
        "portal": facts.portal,
        "interface": facts.interface,
        "epoch": snapshot.epoch if snapshot else 0,
        "generation": facts.generation,
        "accepted_generation": snapshot.generation if snapshot else 0,
        "peers": len(snapshot.peers) if snapshot else 0,
        "grants": len(snapshot.grants) if snapshot else 0,
        "lease_seconds": round(max(0.0, facts.lease_seconds), 1),
        "gate": {"is_open": facts.gate.is_open, "reason": facts.gate.reason},
        "withheld": [f"ap_{number}" for number in facts.withheld],
        "spool": {
            "records": facts.spooled.records,
            "bytes": facts.spooled.size,
            "oldest_at": _time(facts.spooled.oldest_at),
        },
        "last": {
            "polled_at": _time(latest.polled_at),
            "poll_error": latest.poll_error,
            "acknowledged_at": _time(latest.acknowledged_at),
            "acknowledgement_error": latest.acknowledgement_error,
            "uploaded_at": _time(latest.uploaded_at),
            "upload_error": latest.upload_error,
            "applied_at": _time(latest.applied_at),
            "apply_error": latest.apply_error,
        },
        "names": _names(facts),
        "flows_cut": facts.flows_cut,
        "clock_offset_seconds": latest.clock_offset_seconds,
        "portal_agent": latest.portal_agent
        and {"version": latest.portal_agent[0], "least": latest.portal_agent[1]},
        "conntrack": facts.conntrack
        and {"entries": facts.conntrack.entries, "max": facts.conntrack.most},
        "counts": _labelled(facts.counts),
        "seconds": _labelled(facts.seconds),
        "silences": {name: round(s, 1) for name, s in sorted(facts.silences.items())},
    }


def encoded(document: Mapping[str, object]) -> bytes:
    """Return the document as it is written; control characters are escaped."""
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def drifts(document: Mapping[str, Any]) -> int:
    """Return how many differences from what was wanted were found and told."""
    return int(document["counts"].get("records", {}).get("drift", 0))


def _names(facts: Facts) -> dict[str, list[str]]:
    """Return what the first names stand for; an address counts until its end."""
    return {
        host: [
            str(address)
            for address, end in sorted(
                facts.resolved.get(host, {}).items(), key=lambda item: int(item[0])
            )
            if facts.now < end
        ]
        for host in sorted(facts.hosts)[:MOST_NAMES]
    }


def _labelled(values: Mapping[Labelled, float]) -> dict[str, dict[str, float]]:
    """Return values by name, then by label."""
    found: dict[str, dict[str, float]] = {}
    for (name, label), value in sorted(values.items()):
        found.setdefault(name, {})[label] = round(value, 6)
    return found


def _time(value: datetime | None) -> str | None:
    return None if value is None else text_time(value)

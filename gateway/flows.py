"""From kernel events to evidence records: who opened what, how it ended. Pure.

* The device of a flow is its conntrack mark, put there by the ruleset from the source
  address before the decision. A log without the mark is attributed by that address.
* The grant and the application are the prefix of the rule that accepted.
* A flow has one name (`flow`), from its open to its close. The two are joined by the
  tuple, which conntrack holds once at a time.
* Denials of one tuple within 30 seconds are one denial: retransmissions of one
  attempt are not attempts.
* An end whose beginning was not seen is kept, under a name of its own; what could
  not be seen is counted by the caller, never guessed.

Times are arguments; records are JSON objects without their `seq`, which the spool
gives.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.types import Entry, FlowTuple, Logged
from policies.compiler.types import IPAddress

Record = dict[str, object]
"""One evidence record, as the portal takes it."""

PREFIX: Final = re.compile(r"gt_(\d+)/ap_(\d+)\Z")
REASON: Final = re.compile(r"[a-z_]{1,32}\Z")
UNKNOWN_REASON: Final = "unknown"
QUIET: Final = timedelta(seconds=30)
DENIALS_KEPT: Final = 65536
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFlow:
    """A flow that was accepted and has not ended."""

    flow: str
    device: int
    tuple: FlowTuple
    opened_at: datetime


class FlowTable:
    """The flows that are open, by tuple, and the denials that were told lately."""

    def __init__(self) -> None:
        """Start with nothing open."""
        self._open: dict[FlowTuple, OpenFlow] = {}
        self._revoked: set[FlowTuple] = set()
        self._denied: dict[tuple[FlowTuple, str], datetime] = {}

    def __len__(self) -> int:
        """Return how many flows are open."""
        return len(self._open)

    def __contains__(self, flow: object) -> bool:
        """Return whether that tuple is open."""
        return flow in self._open

    def opened(
        self,
        log: Logged,
        *,
        devices: Mapping[IPAddress, int],
        generation: int,
        now: datetime,
    ) -> Record | None:
        """Return the record of an accepted first packet.

        None for what is no beginning: no grant in the prefix, or a further packet of
        a flow that nobody has answered yet.
        """
        match = PREFIX.match(log.prefix)
        if match is None or log.tuple is None or log.tuple in self._open:
            return None
        flow = OpenFlow(
            flow=flow_name(log.tuple, now),
            device=log.mark or devices.get(log.tuple.source, 0),
            tuple=log.tuple,
            opened_at=now,
        )
        self._open[flow.tuple] = flow
        return _open_record(flow, int(match[1]), int(match[2]), generation)

    def closed(self, entry: Entry, *, now: datetime) -> Record:
        """Return the record of an ended flow with its counters."""
        started = _from_ns(entry.started_ns)
        flow = self._open.pop(entry.tuple, None)
        reason = "revoked" if entry.tuple in self._revoked else "closed"
        self._revoked.discard(entry.tuple)
        begun = started or (flow.opened_at if flow else now)
        return {
            "kind": "close",
            "at": text_time(now),
            "flow": flow.flow if flow else flow_name(entry.tuple, begun),
            "device": entry.mark,
            **tuple_fields(entry.tuple),
            "bytes_up": entry.bytes_up,
            "bytes_down": entry.bytes_down,
            "packets_up": entry.packets_up,
            "packets_down": entry.packets_down,
            "started_at": text_time(begun),
            "ended_at": text_time(_from_ns(entry.ended_ns) or now),
            "reason": reason,
        }

    def denied(
        self,
        log: Logged,
        *,
        devices: Mapping[IPAddress, int],
        generation: int,
        now: datetime,
    ) -> Record | None:
        """Return the record of a denied packet; None for one told already.

        The device is the one that holds the source address, now or before it was
        cut off a moment ago. A packet that comes from no device is of the one it goes
        to. Null when neither is a device's.
        """
        if log.tuple is None:
            return None
        # Others on this machine may log to the group, with any text they like.
        reason = log.prefix if REASON.match(log.prefix) else UNKNOWN_REASON
        device = devices.get(log.tuple.source, devices.get(log.tuple.destination))
        key = (log.tuple, reason)
        told = self._denied.get(key)
        if told is not None and now - told < QUIET:
            return None
        self._remember_denial(key, now)
        return {
            "kind": "deny",
            "at": text_time(now),
            "flow": f"d{flow_name(log.tuple, now)}",
            "device": device,
            **tuple_fields(log.tuple),
            "reason": reason,
            "generation": generation,
        }

    def revoking(self, flows: Iterable[FlowTuple]) -> None:
        """Note that these flows are about to be cut; their close says so."""
        self._revoked.update(flows)

    def get(self, flow: FlowTuple) -> OpenFlow | None:
        """Return the open flow with that tuple, or None."""
        return self._open.get(flow)

    def open_flows(self) -> list[OpenFlow]:
        """Return every open flow."""
        return list(self._open.values())

    def reconstructed(
        self, entry: Entry, *, grant: int, application: int, generation: int
    ) -> Record:
        """Return the record of a flow whose beginning nobody was there to see.

        The kernel still knows who and since when; grant and application are what
        the policy in force says of such a flow.
        """
        begun = _from_ns(entry.started_ns) or EPOCH
        flow = OpenFlow(
            flow=flow_name(entry.tuple, begun),
            device=entry.mark,
            tuple=entry.tuple,
            opened_at=begun,
        )
        self._open[flow.tuple] = flow
        return _open_record(flow, grant, application, generation)

    def restore(self, flows: Iterable[OpenFlow]) -> None:
        """Take over flows that an earlier run of the agent had open."""
        self._open.update((flow.tuple, flow) for flow in flows)

    def missing(self, alive: Collection[FlowTuple], *, now: datetime) -> list[Record]:
        """Return closes for flows that are gone from the kernel without an event.

        Their counters were lost with the event and read 0; the reason `restart`
        says so.
        """
        gone = [flow for flow in self._open.values() if flow.tuple not in alive]
        for flow in gone:
            del self._open[flow.tuple]
        self._revoked &= self._open.keys()
        return [_lost_close(flow, now) for flow in gone]

    def _remember_denial(self, key: tuple[FlowTuple, str], now: datetime) -> None:
        if len(self._denied) >= DENIALS_KEPT:
            self._denied = {
                held: told for held, told in self._denied.items() if now - told < QUIET
            }
        if len(self._denied) >= DENIALS_KEPT:
            self._denied.clear()
        self._denied[key] = now


def tuple_fields(flow: FlowTuple) -> Record:
    """Return the five fields of a tuple as every record carries them."""
    return {
        "protocol": flow.protocol,
        "source": str(flow.source),
        "source_port": flow.source_port,
        "destination": str(flow.destination),
        "destination_port": flow.destination_port,
    }


def flow_name(flow: FlowTuple, begun: datetime) -> str:
    """Return the name of a flow on this gateway: its tuple and its microsecond."""
    digest = hashlib.blake2s(repr(flow).encode(), digest_size=6).hexdigest()
    return f"{digest}-{int(begun.timestamp() * 1_000_000):x}"


def text_time(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _open_record(
    flow: OpenFlow, grant: int, application: int, generation: int
) -> Record:
    return {
        "kind": "open",
        "at": text_time(flow.opened_at),
        "flow": flow.flow,
        "device": flow.device,
        "grant": grant,
        "application": application,
        "generation": generation,
        **tuple_fields(flow.tuple),
    }


def _from_ns(nanoseconds: int) -> datetime | None:
    if not nanoseconds:
        return None
    return EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _lost_close(flow: OpenFlow, now: datetime) -> Record:
    return {
        "kind": "close",
        "at": text_time(now),
        "flow": flow.flow,
        "device": flow.device,
        **tuple_fields(flow.tuple),
        "bytes_up": 0,
        "bytes_down": 0,
        "packets_up": 0,
        "packets_down": 0,
        "started_at": text_time(flow.opened_at),
        "ended_at": text_time(now),
        "reason": "restart",
    }

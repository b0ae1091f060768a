"""Whose flow was that? By the address's holder when it began, and the device's mark.

* The mark comes from the kernel's own table, the holder from the lease table; a flow
  is a person's only where they agree. A record without a mark is its holder's.
* A spoofed packet is nobody's: its source address proves nothing.
* A denied packet on its way *to* a device is told under the person it was for, and
  its reason says so: they did nothing. Late answers come after a revocation, too;
  an address is not leased anew for so long that its last holder is certain.
* Clocks of gateway and portal may differ by a minute, as for signed requests; where
  mark and holder agree, that much is forgiven at the edges of a lease.

A batch costs five queries however long it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from audit.actor import Ref
from audit.flows import NOBODY, AttributedFlow
from audit.models import FlowKind
from peers.keys import fingerprint
from peers.models import AddressLease, DeviceKey
from policies.models import Application, Grant

if TYPE_CHECKING:
    from audit.flows import IPAddress
    from policies.evidence_records import FlowRecord

SKEW: Final = timedelta(seconds=60)
SPOOFED: Final = "spoofed"
ON_THE_WAY_IN: Final = frozenset({"no_device", "not_live", "unsolicited"})
"""Why the gateway drops what comes from an application."""
INBOUND: Final = "inbound_"


@dataclass(slots=True)
class Attribution:
    """What a batch's attribution looks up, loaded once."""

    leases: dict[IPAddress, list[AddressLease]] = field(default_factory=dict)
    keys: dict[int, list[DeviceKey]] = field(default_factory=dict)
    applications: dict[int, Ref] = field(default_factory=dict)
    grants: dict[int, Ref] = field(default_factory=dict)

    def flow(self, record: FlowRecord) -> tuple[AttributedFlow, str]:
        """Return the flow with its names, and why it is nobody's (or nothing)."""
        is_inbound = self._is_inbound(record)
        lease, doubt = self._receiver(record) if is_inbound else self._lease(record)
        device = lease.device if lease else None
        flow = AttributedFlow(
            kind=record.kind,
            sequence=record.sequence,
            at=record.at,
            flow=record.flow,
            protocol=record.protocol,
            source=record.source,
            source_port=record.source_port,
            destination=record.destination,
            destination_port=record.destination_port,
            person=device.owner.ref if device else NOBODY,
            device=device.ref if device else NOBODY,
            application=_named("ap", record.application, self.applications),
            grant=_named("gt", record.grant, self.grants),
            key_fingerprint=self._fingerprint(device.pk, record) if device else "",
            generation=record.generation,
            **record.counts,
            started_at=record.started_at,
            ended_at=record.ended_at,
            reason=f"{INBOUND if is_inbound else ''}{record.reason}",
            body=record.body,
        )
        return flow, doubt

    def _is_inbound(self, record: FlowRecord) -> bool:
        """Return whether it was denied to an address of a device, and from none."""
        return (
            record.kind is FlowKind.DENY
            and record.reason in ON_THE_WAY_IN
            and record.source not in self.leases
            and record.destination in self.leases
        )

    def _receiver(self, record: FlowRecord) -> tuple[AddressLease | None, str]:
        until = record.at + SKEW
        begun = [x for x in self.leases[record.destination] if x.leased_at <= until]
        last = max(begun, key=lambda lease: lease.leased_at, default=None)
        if last is None or record.device not in {None, last.device_id}:
            return None, f"{record.destination} was not held by {_mark(record)}"
        return last, ""

    def _lease(self, record: FlowRecord) -> tuple[AddressLease | None, str]:
        if record.reason == SPOOFED:
            return None, f"{record.source} was spoofed"
        held = self.leases.get(record.source, [])
        at = record.begun_at
        certain = [lease for lease in held if _covers(lease, at, timedelta())]
        if record.device is None:
            found = certain[0] if certain else None
        else:
            near = certain or [lease for lease in held if _covers(lease, at, SKEW)]
            found = next((x for x in near if x.device_id == record.device), None)
        if found is None:
            return None, f"{record.source} was not held by {_mark(record)}"
        return found, ""

    def _fingerprint(self, device_id: int, record: FlowRecord) -> str:
        at = record.begun_at
        for key in self.keys.get(device_id, []):
            ended = key.ended_at
            if key.created_at <= at + SKEW and (ended is None or at - SKEW < ended):
                return fingerprint(key.public_key)
        return ""


def load_attribution(records: Sequence[FlowRecord]) -> Attribution:
    """Return everything that attributing these records needs."""
    loaded = Attribution()
    leases: defaultdict[IPAddress, list[AddressLease]] = defaultdict(list)
    devices = set()
    ends = {record.source for record in records}
    ends |= {r.destination for r in records if r.reason in ON_THE_WAY_IN}
    for lease in AddressLease.objects.filter(
        address__in=[str(address) for address in ends]
    ).select_related("device__owner"):
        leases[ip_address(lease.address)].append(lease)
        devices.add(lease.device_id)
    keys: defaultdict[int, list[DeviceKey]] = defaultdict(list)
    for key in DeviceKey.objects.filter(device__in=devices).order_by("-created_at"):
        keys[key.device_id].append(key)
    loaded.leases, loaded.keys = dict(leases), dict(keys)
    loaded.applications = {
        row.pk: row.ref
        for row in Application.objects.filter(
            pk__in=_present(record.application for record in records)
        )
    }
    loaded.grants = {
        row.pk: row.ref
        for row in Grant.objects.filter(
            pk__in=_present(record.grant for record in records)
        ).select_related("user", "group", "application", "source__label")
    }
    return loaded


def _mark(record: FlowRecord) -> str:
    return "any device" if record.device is None else f"dv_{record.device}"


def _covers(lease: AddressLease, at: datetime, skew: timedelta) -> bool:
    released = lease.released_at
    return lease.leased_at - skew <= at and (released is None or at < released + skew)


def _named(prefix: str, number: int | None, known: dict[int, Ref]) -> Ref:
    if number is None:
        return NOBODY
    return known.get(number, Ref(id=f"{prefix}_{number}"))


def _present(numbers: Iterable[int | None]) -> set[int]:
    return {number for number in numbers if number is not None}

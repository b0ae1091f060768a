"""The verdict on one packet, read straight from the snapshot: the compiler's reference.

Deliberately naive: no regions, no sets, only the sentences of DESIGN §6. What the
kernel does with the compiled ruleset must agree with this, and `explain` starts here.
It judges the first packet of a flow on a gateway whose lease is live.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from policies.compiler.conditions import Requirement
from policies.compiler.named import is_grantable, resolves
from policies.compiler.ranges import Family, address_family
from policies.compiler.regions import ICMP, ICMPV6, TCP, UDP
from policies.compiler.types import (
    NOTHING_RESOLVED,
    Application,
    Destination,
    Holder,
    Holders,
    IPAddress,
    Peer,
    Protocol,
    Resolved,
    Snapshot,
    SnapshotGrant,
    Subject,
    SubjectMembers,
)


class Reason(StrEnum):
    """Why a packet passes or not; a denial's value is its log prefix."""

    GRANTED = "granted"
    NO_DEVICE = "no_device"
    LATERAL = "lateral"
    NO_GRANT = "no_grant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """The first packet of a flow. `port` is None for protocols without ports."""

    source: IPAddress
    destination: IPAddress
    protocol: int
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What happens, why, to whose device, and every grant that allows it.

    Those that allow it by a host name come first, then those by prefix, each by id:
    the first grant is the one the kernel's log names.
    """

    reason: Reason
    device_id: int | None
    grants: tuple[SnapshotGrant, ...]

    @property
    def is_allowed(self) -> bool:
        """Whether the packet passes."""
        return self.reason is Reason.GRANTED


_NUMBERS: Final = {
    Protocol.TCP: TCP,
    Protocol.UDP: UDP,
    Protocol.ICMP: ICMP,
    Protocol.ICMPV6: ICMPV6,
}

_FOREIGN: Final[Mapping[Family, int]] = {4: ICMPV6, 6: ICMP}
"""The ICMP of the other family: no such packet is valid."""


def verdict(
    snapshot: Snapshot,
    packet: Packet,
    *,
    now: datetime,
    resolved: Resolved = NOTHING_RESOLVED,
) -> Verdict:
    """Return what the gateway must do with `packet` at `now`.

    `resolved` is what host names stand for there; without it they stand for nothing.
    """
    if any(packet.destination in pool for pool in snapshot.pools):
        return _denied(Reason.LATERAL)
    peer = _holder(snapshot, packet.source, now=now)
    if peer is None:
        return _denied(Reason.NO_DEVICE)
    grants = _allowing(snapshot, peer, packet, now=now, resolved=resolved)
    reason = Reason.GRANTED if grants else Reason.NO_GRANT
    return Verdict(reason=reason, device_id=peer.device_id, grants=grants)


def device_part(snapshot: Snapshot, device: int) -> Snapshot:
    """Return the part of a snapshot that concerns one device.

    Judging a flow reads every peer and member; one device has few of its own.
    """
    return device_parts(snapshot, (device,))[device]


def device_parts(snapshot: Snapshot, devices: Iterable[int]) -> Mapping[int, Snapshot]:
    """Return the part of each of these devices; members are read once for all."""
    held: dict[int, list[SubjectMembers]] = {device: [] for device in devices}
    for members in snapshot.subjects:
        for device in held.keys() & members.device_ids:
            held[device].append(members)
    fulfilled: dict[int, dict[Requirement, Holder]] = {device: {} for device in held}
    for part in snapshot.conditions:
        for holder in part.holders:
            if holder.device_id in fulfilled:
                fulfilled[holder.device_id][part.requirement] = holder
    peers = {peer.device_id: peer for peer in snapshot.peers}
    granted: dict[Subject, list[SnapshotGrant]] = {}
    for grant in snapshot.grants:
        granted.setdefault(grant.subject, []).append(grant)
    known = {application.id: application for application in snapshot.applications}
    return {
        device: _part(
            snapshot,
            peers.get(device),
            subjects,
            fulfilled[device],
            grants=[g for m in subjects for g in granted.get(m.subject, ())],
            known=known,
        )
        for device, subjects in held.items()
    }


def covers(
    destination: Destination,
    packet: Packet,
    *,
    now: datetime,
    resolved: Resolved = NOTHING_RESOLVED,
) -> bool:
    """Return whether a packet goes to a destination."""
    host = destination.host
    if host and not resolves(resolved, host, packet.destination, now=now):
        return False
    return spans(destination, packet)


def spans(destination: Destination, packet: Packet) -> bool:
    """Return whether a packet goes there, whatever its name stands for."""
    if packet.destination not in destination.prefix or _is_odd(packet):
        return False
    if destination.protocol is Protocol.ANY:
        return packet.protocol != 0
    if packet.protocol != _NUMBERS[destination.protocol]:
        return False
    ports = destination.ports
    return ports is None or ports.first <= (packet.port or 0) <= ports.last


def _part(
    snapshot: Snapshot,
    peer: Peer | None,
    subjects: Sequence[SubjectMembers],
    fulfilled: Mapping[Requirement, Holder],
    *,
    grants: Iterable[SnapshotGrant],
    known: Mapping[int, Application],
) -> Snapshot:
    """Return what is left of a snapshot for one peer that is these subjects."""
    theirs = tuple(sorted(grants, key=lambda grant: grant.id))
    numbers = sorted({grant.application_id for grant in theirs})
    return replace(
        snapshot,
        peers=(peer,) if peer else (),
        subjects=tuple(subjects),
        applications=tuple(known[number] for number in numbers),
        grants=theirs,
        conditions=tuple(
            Holders(requirement=wanted, holders=(holder,))
            for wanted, holder in fulfilled.items()
        ),
    )


def fulfilled_by(
    snapshot: Snapshot, device_id: int, *, now: datetime
) -> frozenset[Requirement]:
    """Return what a device holds of everything that is demanded."""
    return frozenset(
        part.requirement
        for part in snapshot.conditions
        for holder in part.holders
        if holder.device_id == device_id and now < holder.expires_at
    )


def _denied(reason: Reason) -> Verdict:
    """Return a denial that concerns no known device."""
    return Verdict(reason=reason, device_id=None, grants=())


def _holder(snapshot: Snapshot, source: IPAddress, *, now: datetime) -> Peer | None:
    """Return the live peer that holds an address."""
    for peer in snapshot.peers:
        if source in peer.addresses and now < peer.expires_at:
            return peer
    return None


def _allowing(
    snapshot: Snapshot,
    peer: Peer,
    packet: Packet,
    *,
    now: datetime,
    resolved: Resolved,
) -> tuple[SnapshotGrant, ...]:
    """Return the grants that allow the packet: by name, then by prefix, by id."""
    held = {m.subject for m in snapshot.subjects if peer.device_id in m.device_ids}
    reached = {
        application.id: bool(way.host)
        for application in snapshot.applications
        for way in _ways(application, packet, now=now, resolved=resolved)
    }
    fulfilled = fulfilled_by(snapshot, peer.device_id, now=now)
    allowing = (
        grant
        for grant in snapshot.grants
        if grant.subject in held
        and fulfilled.issuperset(grant.requires)
        and grant.application_id in reached
        and now < grant.expires_at
    )
    return tuple(sorted(allowing, key=lambda g: (not reached[g.application_id], g.id)))


def _ways(
    application: Application, packet: Packet, *, now: datetime, resolved: Resolved
) -> list[Destination]:
    """Return the destinations that a packet goes to, those by name last."""
    return sorted(
        (
            place
            for place in application.destinations
            if covers(place, packet, now=now, resolved=resolved)
        ),
        key=lambda place: bool(place.host),
    )


def _is_odd(packet: Packet) -> bool:
    """Return whether a packet is nobody's to be granted: by address, port, ICMP."""
    if not is_grantable(packet.destination):
        return True
    if packet.protocol in {TCP, UDP} and not packet.port:
        return True
    return packet.protocol == _FOREIGN[address_family(packet.destination)]

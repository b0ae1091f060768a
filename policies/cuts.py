"""Which open connections a change of policy ends: judged as gateways judge flows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, TypeAlias

from audit.models import Connection, Verdict
from policies.compiler.evaluate import Packet, device_parts, verdict
from policies.compiler.types import NEVER, Snapshot, address
from policies.effects import effect
from policies.prefixes import Prefixes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from policies.compiler.types import Resolved

Snapshots: TypeAlias = "Mapping[int, Snapshot]"
"""What each gateway enforces, by its id."""


def connections_cut(
    had: Snapshots, have: Snapshots, *, now: datetime
) -> tuple[frozenset[int], tuple[Connection, ...]]:
    """Return the devices that lose something, and their open connections that end.

    Judged as a gateway judges flows: by the first packet. One that the first policy
    would not let begin is no loss. Who moved the most bytes comes first, then the
    oldest; bytes are rarely known before a connection has ended. What a host name
    stands for only the gateway knows: it is taken to stand for where one goes.
    """
    losing: set[int] = set()
    cut: list[Connection] = []
    for number, before in had.items():
        after = have.get(number)
        if after == before:
            continue
        devices = losing_devices(before, after)
        losing |= devices
        cut += _cut(before, after, _opened(number, devices), now)
    cut.sort(key=lambda row: (-_bytes(row), row.started_at, row.pk))
    return frozenset(losing), tuple(cut)


def losing_devices(before: Snapshot, after: Snapshot | None) -> frozenset[int]:
    """Return the devices that reach less through one gateway."""
    sides = [before, *([after] if after else [])]
    owners = {peer.device_id: peer.device_id for s in sides for peer in s.peers}
    return effect([before], [after] if after else [], owners=owners).losers


def _cut(
    before: Snapshot, after: Snapshot | None, rows: Iterable[Connection], now: datetime
) -> Iterable[Connection]:
    """Yield open connections that the one snapshot allows and the other does not."""
    opened: defaultdict[int, list[Connection]] = defaultdict(list)
    for row in rows:
        opened[int(row.device_id.removeprefix("dv_"))].append(row)
    was = _Judge(before, opened, now=now)
    will = _Judge(after, opened, now=now) if after else None
    for device, found in opened.items():
        for row in found:
            if was.allows(device, row) and not (will and will.allows(device, row)):
                yield row


class _Judge:
    """What a snapshot says of some devices' connections."""

    def __init__(
        self, snapshot: Snapshot, devices: Iterable[int], *, now: datetime
    ) -> None:
        """Cut it into what concerns each device."""
        self._parts = device_parts(snapshot, devices)
        self._prefixes = Prefixes(snapshot.applications)
        self._now = now

    def allows(self, device: int, row: Connection) -> bool:
        """Return whether a connection of a device might begin now."""
        part, to = self._parts[device], address(row.destination)
        near = self._prefixes.around(ip_network(to))
        part = replace(
            part, applications=tuple(a for a in part.applications if a.id in near)
        )
        return _allows(part, row, now=self._now)


def _allows(part: Snapshot, row: Connection, *, now: datetime) -> bool:
    """Return whether a connection might begin now."""
    packet = Packet(
        source=address(row.source),
        destination=address(row.destination),
        protocol=row.protocol,
        port=row.destination_port,
    )
    hosts = {place.host for a in part.applications for place in a.destinations}
    resolved: Resolved = {host: {packet.destination: NEVER} for host in hosts if host}
    return verdict(part, packet, now=now, resolved=resolved).is_allowed


def _opened(gateway_id: int, devices: frozenset[int]) -> Iterable[Connection]:
    """Yield the connections that devices have open through a gateway."""
    rows = Connection.objects.filter(
        gateway_id=f"gw_{gateway_id}", verdict=Verdict.ALLOWED, ended_at__isnull=True
    )
    wanted = {f"dv_{device}" for device in devices}
    # Not in the statement: SQLite limits its parameters.
    return (row for row in rows.order_by() if row.device_id in wanted) if wanted else ()


def _bytes(row: Connection) -> int:
    return (row.bytes_up or 0) + (row.bytes_down or 0)

"""Where devices come from: stored as seen, and an alert when one key roams too much.

One device moves from network to network now and then; a key that is used in two places
moves each time the other speaks (attacks E13, E14). More than `ROAMS` changes
of the outer address within a minute are an alert, once in `QUIET` for each device. A
port that changes is a router's doing and does not count. Whether a key is shared is for
the detector to say, which reads what is stored here; it is kept for `KEPT`. A
moment far ahead is not believed: it would be kept for ever.

The first handshake of a device at a gateway is an event (DV013); the log itself
remembers that there was one.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from audit.actor import Actor
from audit.events import EventCode, Outcome
from audit.models import AuditEvent
from audit.services import event, record, record_all
from peers.models import Device, Gateway
from policies.evidence_records import HandshakeRecord
from policies.models import TunnelSighting

ROAMS: Final = 6
WINDOW: Final = timedelta(minutes=1)
QUIET: Final = timedelta(minutes=10)
KEPT: Final = timedelta(days=7)
AHEAD: Final = timedelta(hours=1)
"""Later than that nothing was seen, whatever a gateway says."""
EXAMPLES: Final = 8
CHUNK: Final = 500
MOST: Final = 100_000
"""So many sightings are looked at for one batch, which has 5,000 records: more is a
gateway that dates its records as it likes."""


def record_sightings(
    *,
    gateway: Gateway,
    records: Sequence[HandshakeRecord],
    actor: Actor,
    now: datetime,
) -> None:
    """Store sightings of devices there are; tell of each that roams too much."""
    if not records:
        return
    ids = {item.device for item in records}
    devices = Device.objects.select_related("owner").in_bulk(ids)
    TunnelSighting.objects.bulk_create(
        TunnelSighting(
            gateway=gateway,
            device_id=item.device,
            seen_at=min(item.at, now + AHEAD),
            handshake_at=item.handshake_at,
            address=None if item.address is None else str(item.address),
            port=item.port,
            bytes_up=item.bytes_up,
            bytes_down=item.bytes_down,
        )
        for item in records
        if item.device in devices
    )
    _tell_first(gateway, devices, records, actor, now)
    TunnelSighting.objects.filter(device__in=ids, seen_at__lt=now - KEPT).delete()
    times = [item.at for item in records]
    rows = TunnelSighting.objects.filter(
        device__in=devices,
        seen_at__gte=max(min(times) - WINDOW, now - KEPT),
        # What comes later is judged with what comes later.
        seen_at__lte=max(times) + WINDOW,
    ).exclude(address=None)
    ordered = rows.order_by("device_id", "seen_at", "pk")[:MOST]
    # Read as they are judged: a gateway may tell of days at once.
    seen = ordered.iterator(chunk_size=CHUNK)
    found = [
        (number, _roaming(group))
        for number, group in itertools.groupby(seen, key=lambda row: row.device_id)
    ]
    for number, roamed in found:
        if roamed:
            _alert(devices[number], gateway, roamed, actor, now)


def _tell_first(
    gateway: Gateway,
    devices: Mapping[int, Device],
    records: Sequence[HandshakeRecord],
    actor: Actor,
    now: datetime,
) -> None:
    """Record each device that shook hands here for the first time."""
    first: dict[int, HandshakeRecord] = {}
    for item in records:
        if item.device in devices and item.handshake_at is not None:
            first.setdefault(item.device, item)
    told = AuditEvent.objects.filter(
        code=EventCode.DEVICE_FIRST_HANDSHAKE.value,
        gateway_id=gateway.ref.id,
        device_id__in=[devices[number].ref.id for number in first],
    )
    known = set(told.values_list("device_id", flat=True)) if first else set()
    record_all(
        event(
            EventCode.DEVICE_FIRST_HANDSHAKE,
            actor=actor,
            now=now,
            person=devices[number].owner.ref,
            device=devices[number].ref,
            gateway=gateway.ref,
            details={
                "at": item.handshake_at.isoformat(),
                "endpoint": "" if item.address is None else str(item.address),
            },
        )
        for number, item in first.items()
        if devices[number].ref.id not in known and item.handshake_at is not None
    )


def _roaming(seen: Iterable[TunnelSighting]) -> Sequence[TunnelSighting]:
    """Return the sightings of the first minute with too many changes, or none."""
    moves: deque[TunnelSighting] = deque(maxlen=ROAMS + 1)
    for before, after in itertools.pairwise(seen):
        if before.address == after.address:
            continue
        moves.append(after)
        if len(moves) > ROAMS and after.seen_at - moves[0].seen_at <= WINDOW:
            return [*moves]
    return []


def _alert(
    device: Device,
    gateway: Gateway,
    roamed: Sequence[TunnelSighting],
    actor: Actor,
    now: datetime,
) -> None:
    last = roamed[-1]
    # Around it, not since: what a gateway dates ahead silences nothing of before.
    around = (last.seen_at - QUIET, last.seen_at + QUIET)
    told = TunnelSighting.objects.filter(device=device, is_told=True)
    if told.filter(seen_at__range=around).exists():
        return
    TunnelSighting.objects.filter(pk=last.pk).update(is_told=True)
    record(
        EventCode.TUNNEL_ENDPOINT_SUSPICIOUS,
        actor=actor,
        now=now,
        outcome=Outcome.ALERT,
        person=device.owner.ref,
        device=device.ref,
        gateway=gateway.ref,
        reason=f"the outer address changed {len(roamed)} times within a minute",
        details={
            "rule": "roaming",
            "changes": len(roamed),
            "addresses": sorted({str(row.address) for row in roamed})[:EXAMPLES],
        },
    )

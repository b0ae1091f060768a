"""What is usual: who reaches what, and when devices were last seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import Max, Min

from audit.alarms.models import Acquaintance, DeviceActivity
from audit.models import Connection, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from audit.alarms.findings import SeenFlow

BATCH: Final = 1000


def learn_from_connections() -> None:
    """Learn once from every connection there is; raises nothing."""
    reached = Connection.objects.filter(verdict=Verdict.ALLOWED).order_by()
    pairs = (
        reached.exclude(person_id="")
        .exclude(application_id="")
        .values_list("person_id", "application_id")
        .annotate(first_at=Min("started_at"))
    )
    Acquaintance.objects.bulk_create(
        (
            Acquaintance(person_id=person, application_id=application, first_at=at)
            for person, application, at in pairs.iterator(BATCH)
        ),
        ignore_conflicts=True,
        batch_size=BATCH,
    )
    devices = (
        reached.exclude(device_id="")
        .values_list("device_id")
        .annotate(last_at=Max("started_at"))
    )
    DeviceActivity.objects.bulk_create(
        (
            DeviceActivity(device_id=device, last_at=at)
            for device, at in devices.iterator(BATCH)
        ),
        ignore_conflicts=True,
        batch_size=BATCH,
    )


def known_acquaintances(
    flows: Sequence[SeenFlow],
) -> dict[str, dict[str, datetime]]:
    """Return, for the people of some flows, when they first reached what."""
    people = {flow.subjects.person.id for flow in flows} - {""}
    known: dict[str, dict[str, datetime]] = {}
    rows = Acquaintance.objects.filter(person_id__in=people)
    for person, application, at in rows.values_list(
        "person_id", "application_id", "first_at"
    ):
        known.setdefault(person, {})[application] = at
    return known


def acquaint(
    flows: Sequence[SeenFlow], known: Mapping[str, Mapping[str, datetime]]
) -> None:
    """Remember what people reached for the first time."""
    first: dict[tuple[str, str], datetime] = {}
    for flow in flows:
        pair = (flow.subjects.person.id, flow.subjects.application.id)
        if all(pair) and pair[1] not in known.get(pair[0], {}):
            first[pair] = min(flow.at, first.get(pair, flow.at))
    Acquaintance.objects.bulk_create(
        (
            Acquaintance(person_id=person, application_id=application, first_at=at)
            for (person, application), at in first.items()
        ),
        ignore_conflicts=True,
    )


def known_activity(seen: Sequence[SeenFlow]) -> dict[str, datetime]:
    """Return when the devices of some flows were last seen before."""
    devices = {flow.subjects.device.id for flow in seen} - {""}
    rows = DeviceActivity.objects.filter(device_id__in=devices)
    return dict(rows.values_list("device_id", "last_at"))


def note_activity(seen: Sequence[SeenFlow], known: Mapping[str, datetime]) -> None:
    """Remember when devices were last seen; never an earlier time than before."""
    latest: dict[str, datetime] = {}
    for flow in seen:
        if device := flow.subjects.device.id:
            latest[device] = max(flow.at, latest.get(device, flow.at))
    DeviceActivity.objects.bulk_create(
        (
            DeviceActivity(device_id=device, last_at=at)
            for device, at in latest.items()
            if device not in known or at > known[device]
        ),
        update_conflicts=True,
        unique_fields=("device_id",),
        update_fields=("last_at",),
    )

"""The jobs of alarms do what they say, however often they run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from audit.alarms import tasks
from audit.alarms.models import Alarm, AlarmChannel, Delivery, Watch
from audit.events import EventCode
from tests.audit.alarms.makers import event

pytestmark = pytest.mark.django_db


def test_watching_and_sending_run_by_their_jobs() -> None:
    tasks.watch()
    assert set(Watch.objects.values_list("name", flat=True)) == {"events", "flows"}
    now = datetime.now(UTC)  # noqa: TID251 -- a test's edge
    AlarmChannel.objects.create(
        name="desk",
        kind="mail",
        address="desk@example.test",
        least_severity=1,
        created_at=now,
    )
    event(EventCode.GATEWAY_DRIFT, at=now)
    for _ in range(2):
        tasks.watch()
        tasks.deliver()
        tasks.clean_up()
    assert Alarm.objects.get().count == 1
    assert Delivery.objects.get().state == "delivered"

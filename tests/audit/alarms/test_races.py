"""Many workers at once: every event is judged once, every notification sent once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from ipaddress import ip_network

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from audit.actor import Actor
from audit.alarms import channels, delivery, watching
from audit.alarms.channels import ChannelInput
from audit.alarms.models import Alarm, ChannelKind, Delivery
from audit.alarms.services import raise_findings
from audit.events import EventCode
from tests.audit.alarms.makers import NOW, after, event, finding
from tests.audit.receiver import receiving

pytestmark = pytest.mark.django_db(transaction=True)
WRITERS = 3
EACH = 12


def at_once(*works: Callable[[], object]) -> list[BaseException]:
    """Run each in a thread; return what they raised."""
    raised: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 -- handed to the test
            raised.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def write() -> None:
    """Write events; every third transaction is rolled back, its numbers are lost."""
    for number in range(EACH):
        with transaction.atomic():
            event(EventCode.GATEWAY_DRIFT)
            event(EventCode.GATEWAY_DRIFT)
            transaction.set_rollback(number % 3 == 0)


def test_events_of_many_writers_are_judged_once_by_many_workers() -> None:
    watching.watch_events(now=NOW)
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            watching.watch_events(now=after(1))

    def write_all() -> None:
        try:
            assert at_once(*[write] * WRITERS) == []
        finally:
            done.set()

    assert at_once(watch, watch, write_all) == []
    watching.watch_events(now=after(2))
    committed = WRITERS * 2 * (EACH - EACH // 3)
    assert Alarm.objects.get().count == committed


def test_a_row_that_is_committed_late_is_judged_then() -> None:
    """PostgreSQL shows the second event first; SQLite lets the second one wait."""
    watching.watch_events(now=NOW)
    written, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            event(EventCode.GATEWAY_DRIFT)
            written.set()
            go_on.wait(20)

    def quick() -> None:
        written.wait(20)
        if connection.vendor == "postgresql":
            event(EventCode.GATEWAY_DRIFT)
            watching.watch_events(now=after(1))
            assert Alarm.objects.get().count == 1
            # Long after: the gap is kept as long as its transaction runs.
            watching.watch_events(now=after(3600))
            go_on.set()
            return
        go_on.set()
        event(EventCode.GATEWAY_DRIFT)

    assert at_once(slow, quick) == []
    watching.watch_events(now=after(3601))
    assert Alarm.objects.get().count == 2


def test_senders_at_once_send_each_notification_once(
    settings: Settings, actor: Actor
) -> None:
    settings.PEERAGE_OUTBOUND_HTTP = True
    settings.PEERAGE_OUTBOUND_NETWORKS = [
        ip_network("127.0.0.0/8"),
        ip_network("::1/128"),
    ]
    with receiving() as receiver:
        for name in ("one", "two"):
            wanted = ChannelInput(
                name=name, kind=ChannelKind.WEBHOOK, address=receiver.url
            )
            channels.create_channel(wanted=wanted, actor=actor, now=NOW)
        raise_findings([finding(key=f"gw_{n}") for n in range(5)], now=NOW)

        def send() -> None:
            delivery.deliver_due(clock=lambda: NOW)

        assert at_once(send, send, send) == []
    numbers = [taken.headers["X-Peerage-Delivery"] for taken in receiver.taken]
    assert len(numbers) == len(set(numbers)) == 10
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}

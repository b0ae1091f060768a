"""Reading a log in order: what is committed late is not passed over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from audit.models import AuditEvent, Log
from audit.streams import source
from tests.audit.streams.logs import write_events

WAIT_SECONDS = 10


@contextmanager
def writer_at_work() -> Iterator[threading.Event]:
    """Write an event in a transaction of its own and leave that open until told."""
    written, may_commit = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            write_events(1, reason="committed late")
            written.set()
            may_commit.wait(WAIT_SECONDS)
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    assert written.wait(WAIT_SECONDS)
    try:
        yield may_commit
    finally:
        may_commit.set()
        thread.join()


def places(position: int) -> list[int]:
    part = source.read(Log.CONTROL, position=position, size=10)
    return [record.index for record in part.records]


@pytest.mark.django_db(transaction=True)
def test_what_is_committed_late_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "SETTLING_SECONDS", 0.1)
    (first,) = write_events(1)
    with writer_at_work() as may_commit:
        later: list[AuditEvent] = []
        if connection.vendor == "postgresql":
            # Numbered behind the one that is not committed, and visible before it.
            later = write_events(1)
            assert places(first.pk) == [], "a writer may still come before it"
        else:
            # One writer at a time: nothing can be numbered behind it.
            assert places(first.pk) == [first.pk]
        may_commit.set()
    late = AuditEvent.objects.get(reason="committed late")
    assert places(first.pk) == [first.pk, late.pk, *(event.pk for event in later)]
    assert all(late.pk < event.pk for event in later)


@pytest.mark.django_db(transaction=True)
def test_reading_goes_on_as_soon_as_the_writer_is_done() -> None:
    (first,) = write_events(1)
    with writer_at_work() as may_commit:
        threading.Timer(0.05, may_commit.set).start()
        found = places(first.pk)
    assert found[:1] == [first.pk]


@pytest.mark.django_db
def test_a_part_ends_where_the_next_begins() -> None:
    events = write_events(5)
    part = source.read(Log.CONTROL, position=events[1].pk, size=2)
    assert [record.uid for record in part.records] == [
        str(event.uid) for event in events[1:3]
    ]
    assert (part.begin, part.end) == (events[1].pk, events[2].pk + 1)
    rest = source.read(Log.CONTROL, position=part.end, size=10)
    assert len(rest.records) == 2
    assert rest.end == source.head(Log.CONTROL)
    nothing = source.read(Log.CONTROL, position=rest.end, size=10)
    assert (nothing.records, nothing.end) == ((), rest.end)


@pytest.mark.django_db
def test_an_empty_log_begins_at_its_first_place() -> None:
    assert source.head(Log.CONNECTIONS) == 1
    assert source.moment_at(Log.CONNECTIONS, 1) is None

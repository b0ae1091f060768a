"""Delivery: at least once, in order, past nothing, whoever else is at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from audit.actor import Actor
from audit.formats.records import Record
from audit.models import AuditEvent, FlowKind, Log
from audit.streams import delivery, services, source
from audit.streams.delivery import deliver, deliver_due, waits_for
from audit.streams.errors import DeliveryError
from audit.streams.models import (
    LeastSeverity,
    Stream,
    StreamCursor,
    StreamForm,
    StreamKind,
)
from tests.audit.conftest import MakeFlow
from tests.audit.streams.conftest import NOON, Clock, MakeStream
from tests.audit.streams.logs import ranks, write_events, write_flows, write_refusals

pytestmark = pytest.mark.django_db


class FakeReceiver:
    """Keeps what it got; fails when told to; may do something in between."""

    def __init__(self) -> None:
        """Be empty and well."""
        self.batches: list[list[Record]] = []
        self.failure: Exception | None = None
        self.meanwhile: Callable[[], object] | None = None

    def send(self, records: Sequence[Record], *, now: datetime) -> None:
        """Take a batch, or fail."""
        assert now >= NOON
        if self.failure is not None:
            raise self.failure
        self.batches.append(list(records))
        if self.meanwhile is not None:
            self.meanwhile()

    def places(self, log: Log) -> list[int]:
        """Return the ranks of all that came, in the order it came."""
        entries = (entry for batch in self.batches for entry in batch)
        return ranks(log, [e.index for e in entries if e.log == log.value])


@pytest.fixture
def to(monkeypatch: pytest.MonkeyPatch) -> FakeReceiver:
    """Have every stream end here."""
    fake = FakeReceiver()
    monkeypatch.setattr(delivery, "receiver", lambda _stream: fake)
    return fake


def position(stream: Stream, log: Log = Log.CONTROL) -> int:
    return StreamCursor.objects.get(stream=stream, log=log).position


def test_both_logs_come_whole_and_in_their_order(
    to: FakeReceiver,
    clock: Clock,
    make_stream: MakeStream,
    make_flow: MakeFlow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "BATCH", 3)
    stream = make_stream()
    write_events(7)
    write_flows([make_flow(FlowKind.OPEN, n, flow=f"f{n}") for n in range(1, 6)])
    assert deliver(stream.pk, clock=clock) == 8 + 5
    # The first is the event of the stream itself.
    assert to.places(Log.CONTROL) == list(range(8))
    assert to.places(Log.CONNECTIONS) == list(range(5))
    assert all(len({entry.log for entry in batch}) == 1 for batch in to.batches)
    assert deliver(stream.pk, clock=clock) == 0


def test_a_stream_may_begin_with_the_next_entry(
    to: FakeReceiver, clock: Clock, make_stream: MakeStream
) -> None:
    write_events(5)
    stream = make_stream(from_beginning=False)
    deliver(stream.pk, clock=clock)
    assert [entry.code for batch in to.batches for entry in batch] == ["AU030"]


def test_a_failed_batch_stays_where_it_is_and_comes_again(
    to: FakeReceiver, clock: Clock, make_stream: MakeStream
) -> None:
    stream = make_stream(logs=(Log.CONTROL,))
    write_events(3)
    to.failure = DeliveryError("the receiver answered with status 503")
    assert deliver(stream.pk, clock=clock) == 0
    assert position(stream) == 0
    to.failure = None
    assert deliver(stream.pk, clock=clock) == 0, "it waits"
    clock.advance(seconds=5)
    # With the two events that say that it failed and that it goes on.
    assert deliver(stream.pk, clock=clock) == 6
    assert to.places(Log.CONTROL) == [0, 1, 2, 3, 4, 5]


def test_an_outage_is_one_event_and_so_is_its_end(
    to: FakeReceiver, clock: Clock, make_stream: MakeStream
) -> None:
    stream = make_stream()
    to.failure = DeliveryError("the connection failed: refused")
    for _ in range(4):
        deliver(stream.pk, clock=clock)
        clock.advance(minutes=6)
    to.failure = None
    deliver(stream.pk, clock=clock)
    told = AuditEvent.objects.filter(code="AU033").order_by("pk")
    assert [(event.outcome, event.reason) for event in told] == [
        ("E", "the connection failed: refused"),
        ("I", ""),
    ]
    assert told[1].details == {"failures": 4}
    stream.refresh_from_db()
    assert (stream.failures, stream.last_success_at) == (0, clock.now)
    assert stream.last_error == "the connection failed: refused"


def test_waiting_doubles_to_five_minutes() -> None:
    waits = [waits_for(failures) for failures in (1, 2, 3, 6, 7, 500)]
    assert waits == [timedelta(seconds=n) for n in (5, 10, 20, 160, 300, 300)]


def test_a_receiver_that_cannot_confirm_gets_the_batch_before_again(
    to: FakeReceiver,
    clock: Clock,
    make_stream: MakeStream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "BATCH", 2)
    stream = make_stream(
        kind=StreamKind.SYSLOG,
        address="siem.example.test:6514",
        form=StreamForm.SENTENCE,
        logs=(Log.CONTROL,),
    )
    write_events(3)
    deliver(stream.pk, clock=clock)
    assert to.places(Log.CONTROL) == [0, 1, 2, 3]
    write_events(1)
    to.failure = DeliveryError("reset")
    for _ in range(3):
        deliver(stream.pk, clock=clock)
        clock.advance(minutes=6)
    to.failure = None
    to.batches.clear()
    deliver(stream.pk, clock=clock)
    assert to.places(Log.CONTROL)[:4] == [2, 3, 4, 5]


def test_a_filter_leaves_out_and_goes_past(
    to: FakeReceiver, clock: Clock, make_stream: MakeStream
) -> None:
    stream = make_stream(
        logs=(Log.CONTROL,), least_severity=LeastSeverity.NOTICE, codes=("ID001",)
    )
    write_events(2)
    write_refusals(1)
    write_events(2)
    assert deliver(stream.pk, clock=clock) == 1
    assert to.places(Log.CONTROL) == [3]
    assert position(stream) == source.head(Log.CONTROL)


def test_a_stream_that_is_held_is_left_to_its_worker(
    to: FakeReceiver, clock: Clock, make_stream: MakeStream
) -> None:
    stream = make_stream()
    others: list[int] = []
    to.meanwhile = lambda: others.append(deliver(stream.pk, clock=clock))
    assert deliver(stream.pk, clock=clock) == 1
    assert others == [0]


def test_a_worker_that_died_holds_a_stream_for_a_minute_only(
    to: FakeReceiver, clock: Clock, make_stream: MakeStream
) -> None:
    stream = make_stream()
    Stream.objects.update(held_by="dead", held_until=clock.now + delivery.HOLD)
    assert deliver(stream.pk, clock=clock) == 0
    clock.advance(seconds=60)
    assert deliver(stream.pk, clock=clock) == 1


def test_a_worker_that_lost_its_hold_moves_no_cursor(
    to: FakeReceiver, clock: Clock, make_stream: MakeStream
) -> None:
    stream = make_stream()
    to.meanwhile = lambda: Stream.objects.update(held_by="another")
    assert deliver(stream.pk, clock=clock) == 0
    assert position(stream) == 0
    assert Stream.objects.get().held_by == "another"


def test_a_cursor_that_another_moved_is_left_where_it_is(
    to: FakeReceiver, clock: Clock, make_stream: MakeStream
) -> None:
    stream = make_stream(logs=(Log.CONTROL,))
    ahead = source.head(Log.CONTROL) + 50
    to.meanwhile = lambda: StreamCursor.objects.update(position=ahead)
    assert deliver(stream.pk, clock=clock) == 0
    assert position(stream) == ahead


def test_a_failure_after_the_hold_was_lost_is_not_noted(
    to: FakeReceiver,
    clock: Clock,
    make_stream: MakeStream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = make_stream()

    def lose_and_fail(_entries: Sequence[Record], *, now: datetime) -> None:
        Stream.objects.update(held_by="another", held_until=now)
        raise DeliveryError("reset")

    monkeypatch.setattr(to, "send", lose_and_fail)
    deliver(stream.pk, clock=clock)
    stream.refresh_from_db()
    assert (stream.failures, stream.held_by) == (0, "another")


def test_a_change_while_a_batch_is_under_way_sends_it_again_to_the_new_address(
    to: FakeReceiver, clock: Clock, make_stream: MakeStream, actor: Actor
) -> None:
    stream = make_stream(logs=(Log.CONTROL,))

    def stop() -> None:
        to.meanwhile = None
        services.disable_stream(
            stream=stream, reason="moving", actor=actor, now=clock.now
        )
        services.enable_stream(stream=stream, actor=actor, now=clock.now)

    to.meanwhile = stop
    deliver(stream.pk, clock=clock)
    assert position(stream) == 0
    deliver(stream.pk, clock=clock)
    # Again from the start, then that it was stopped and goes on.
    assert to.places(Log.CONTROL) == [0, 0, 1, 2]


def test_a_stopped_stream_keeps_its_place_and_goes_on_from_there(
    to: FakeReceiver, clock: Clock, make_stream: MakeStream, actor: Actor
) -> None:
    stream = make_stream(logs=(Log.CONTROL,))
    deliver(stream.pk, clock=clock)
    services.disable_stream(stream=stream, reason="x", actor=actor, now=clock.now)
    write_events(2)
    assert deliver_due(clock=clock) == 0
    services.enable_stream(stream=stream, actor=actor, now=clock.now)
    assert deliver_due(clock=clock) == 4
    assert to.places(Log.CONTROL) == [0, 1, 2, 3, 4]


def test_an_idle_portal_writes_nothing(
    to: FakeReceiver,
    clock: Clock,
    make_stream: MakeStream,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    make_stream()
    deliver_due(clock=clock)
    with django_assert_num_queries(4) as queries:
        assert deliver_due(clock=clock) == 0
    assert all(query["sql"].startswith("SELECT") for query in queries.captured_queries)


def test_a_turn_ends_so_that_others_have_theirs(
    to: FakeReceiver,
    clock: Clock,
    make_stream: MakeStream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "BATCH", 1)
    stream = make_stream(logs=(Log.CONTROL,))
    write_events(9)
    to.meanwhile = lambda: clock.advance(seconds=2)
    assert deliver(stream.pk, clock=clock) == 3
    assert deliver(stream.pk, clock=clock) == 3


def test_one_stream_that_fails_does_not_keep_another_from_its_turn(
    clock: Clock, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, well = FakeReceiver(), FakeReceiver()
    broken.failure = DeliveryError("reset")
    by_name = {"a": broken, "b": well}
    monkeypatch.setattr(delivery, "receiver", lambda stream: by_name[stream.name])
    for name in by_name:
        make_stream(name=name, logs=(Log.CONTROL,))
    # That both were made, and that the first one fails.
    assert deliver_due(clock=clock) == 3
    assert well.places(Log.CONTROL) == [0, 1, 2]


def test_a_fault_of_our_own_waits_as_well_and_is_not_hidden(
    to: FakeReceiver, clock: Clock, make_stream: MakeStream
) -> None:
    stream = make_stream()
    to.failure = KeyError("person_label of somebody")
    with pytest.raises(KeyError):
        deliver(stream.pk, clock=clock)
    stream.refresh_from_db()
    assert stream.last_error == delivery.OUR_FAULT
    assert (stream.failures, stream.held_by) == (1, "")
    assert deliver(stream.pk, clock=clock) == 0

"""Every row that a filter finds is shown once, on however many pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.http import Http404

from audit import selectors, services
from audit.actor import Actor, ActorKind, Ref
from audit.events import EventCode, Outcome
from audit.filters import Cursor, Decision, Filter, parse_cursor
from audit.models import AuditEvent, Connection, FlowKind
from tests.audit.conftest import ALICE, GATEWAY, NOON, MakeFlow

pytestmark = pytest.mark.django_db


@pytest.fixture
def connections(make_flow: MakeFlow) -> None:
    """Twenty connections, five at each moment, every third denied."""
    flows = [
        make_flow(
            FlowKind.DENY if number % 3 == 0 else FlowKind.OPEN,
            number + 1,
            flow=f"f{number}",
            at=NOON + timedelta(seconds=number // 5),
        )
        for number in range(20)
    ]
    services.record_flows(gateway=GATEWAY, flows=flows, now=NOON)


@pytest.fixture
def events(actor: Actor) -> None:
    """Twenty events."""
    for number in range(20):
        services.record(
            EventCode.USER_LOGIN, actor=actor, now=NOON + timedelta(seconds=number)
        )


def walk(listing: Any, *, timed: bool) -> tuple[list[int], list[int]]:  # noqa: ANN401 -- either selector
    """Return the keys met on the way down, and those met on the way back."""
    down: list[int] = []
    back: list[int] = []
    page = listing(Filter(), size=3)
    assert page.newer is None
    while True:
        down += [row.pk for row in page.items]
        if page.older is None:
            break
        cursor = parse_cursor(str(page.older), timed=timed)
        page = listing(Filter(), cursor=cursor, size=3)
    while page.newer is not None:
        page = listing(Filter(), cursor=page.newer, size=3)
        back = [row.pk for row in page.items] + back
    return down, back


@pytest.mark.usefixtures("connections")
def test_pages_show_every_connection_once_in_both_directions() -> None:
    everything = [*Connection.objects.values_list("pk", flat=True)]
    down, back = walk(selectors.list_connections, timed=True)
    assert down == everything
    assert back == everything[: len(back)]
    assert len(back) == 18


@pytest.mark.usefixtures("events")
def test_pages_show_every_event_once_in_both_directions() -> None:
    everything = [*AuditEvent.objects.values_list("pk", flat=True)]
    down, back = walk(selectors.list_events, timed=False)
    assert down == everything
    assert back == everything[:18]


@pytest.mark.usefixtures("connections")
def test_rows_that_arrive_meanwhile_do_not_move_the_next_page(
    make_flow: MakeFlow,
) -> None:
    first = selectors.list_connections(Filter(), size=5)
    before = selectors.list_connections(Filter(), cursor=first.older, size=5)
    late = make_flow(FlowKind.OPEN, 99, flow="late", at=NOON + timedelta(hours=1))
    services.record_flows(gateway=GATEWAY, flows=[late], now=NOON)
    after = selectors.list_connections(Filter(), cursor=first.older, size=5)
    assert after.items == before.items


def test_a_cursor_beyond_the_end_gives_an_empty_page() -> None:
    cursor = Cursor(newer=False, number=1, at=NOON)
    page = selectors.list_connections(Filter(), cursor=cursor)
    assert (page.items, page.older, page.newer) == ((), None, None)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"person": "us_1"}, True),
        ({"person": "us_2"}, False),
        ({"device": "dv_9"}, True),
        ({"device": "dv_1"}, False),
        ({"key": "ab" * 8}, True),
        ({"key": "cd"}, False),
        ({"application": "ap_3"}, True),
        ({"application": "ap_4"}, False),
        ({"gateway": "gw_1"}, True),
        ({"gateway": "gw_2"}, False),
        ({"address": "100.64.0.7"}, True),
        ({"address": "10.2.0.5"}, True),
        ({"address": "10.2.0.6"}, False),
        ({"port": 443}, True),
        ({"port": 51234}, True),
        ({"port": 80}, False),
        ({"verdict": Decision.ALLOWED}, True),
        ({"verdict": Decision.DENIED}, False),
        ({"since": NOON}, True),
        ({"since": NOON + timedelta(seconds=1)}, False),
        ({"until": NOON}, False),
        ({"until": NOON + timedelta(seconds=1)}, True),
        ({"person": "us_1", "port": 80}, False),
    ],
    ids=str,
)
def test_connection_filter_finds_what_it_says(
    make_flow: MakeFlow,
    asked: dict[str, Any],
    found: bool,
) -> None:
    flow = make_flow(FlowKind.OPEN, 1, at=NOON)
    services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)
    assert len(selectors.list_connections(Filter(**asked)).items) == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"person": "us_1"}, True),
        ({"person": "us_4"}, True),
        ({"person": "us_2"}, False),
        ({"device": "dv_9"}, True),
        ({"key": "ab:cd"}, True),
        ({"key": "ab"}, False),
        ({"application": "ap_3"}, True),
        ({"gateway": "gw_1"}, True),
        ({"address": "192.0.2.1"}, True),
        ({"code": EventCode.DEVICE_REVOKE}, True),
        ({"code": EventCode.USER_LOGIN}, False),
        ({"outcome": Outcome.REFUSED}, True),
        ({"outcome": Outcome.DONE}, False),
        ({"request": "r-1"}, True),
        ({"since": NOON}, True),
        ({"until": NOON}, False),
    ],
    ids=str,
)
def test_event_filter_finds_what_it_says(
    asked: dict[str, Any],
    found: bool,
) -> None:
    services.record(
        EventCode.DEVICE_REVOKE,
        actor=Actor(
            kind=ActorKind.USER, id="us_4", address="192.0.2.1", request_id="r-1"
        ),
        now=NOON,
        outcome=Outcome.REFUSED,
        person=ALICE,
        device=Ref(id="dv_9"),
        application=Ref(id="ap_3"),
        gateway=GATEWAY,
        details={"fingerprint": "ab:cd"},
    )
    assert len(selectors.list_events(Filter(**asked)).items) == found


@pytest.mark.usefixtures("connections")
def test_summary_counts_what_the_filter_finds(make_flow: MakeFlow) -> None:
    close = make_flow(FlowKind.CLOSE, 50, flow="f1")
    services.record_flows(gateway=GATEWAY, flows=[close], now=NOON)
    found = selectors.connection_summary(Filter())
    assert (found.allowed, found.denied, found.live) == (13, 7, 12)
    assert (found.people, found.applications) == (1, 1)
    assert (found.bytes_up, found.bytes_down) == (1000, 2000)
    assert (found.first_at, found.last_at) == (NOON, NOON + timedelta(seconds=3))


def test_summary_of_nothing_is_zero() -> None:
    found = selectors.connection_summary(Filter(person="us_9"))
    assert (found.allowed, found.bytes_up, found.first_at) == (0, 0, None)


def test_choices_name_everybody_once_by_their_latest_name(actor: Actor) -> None:
    for person in (Ref(id="us_1", label="Alicia"), Ref(id="us_2"), ALICE):
        services.record(EventCode.USER_UPDATE, actor=actor, now=NOON, person=person)
    assert selectors.person_choices() == [ALICE, Ref(id="us_2", label="us_2")]


@pytest.mark.parametrize("party", ["device", "application", "gateway"])
def test_choices_exist_for_every_party(actor: Actor, party: str) -> None:
    ref = Ref(id="xx_1", label="x")
    parties: dict[str, Any] = {party: ref}
    services.record(EventCode.USER_UPDATE, actor=actor, now=NOON, **parties)
    assert getattr(selectors, f"{party}_choices")() == [ref]


def test_one_row_is_fetched_or_404(actor: Actor, make_flow: MakeFlow) -> None:
    event = services.record(EventCode.USER_LOGIN, actor=actor, now=NOON)
    flow = make_flow(FlowKind.OPEN, 1)
    services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)
    connection = Connection.objects.get()
    assert selectors.get_event(event.uid) == event
    assert selectors.get_connection(connection.pk) == connection
    with pytest.raises(Http404):
        selectors.get_event(UUID(int=1))
    with pytest.raises(Http404):
        selectors.get_connection(0)

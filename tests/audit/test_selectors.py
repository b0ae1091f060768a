"""Every row that a filter finds is shown once, on however many pages."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pytest
from django.http import Http404

from audit import selectors, services
from audit.actor import Actor, ActorKind, Ref
from audit.events import CATALOGUE, EventCode, Outcome, Severity
from audit.models import AuditEvent, Connection, FlowKind
from audit.search.filters import Cursor, Decision, Filter, parse_cursor
from audit.selectors import Counted
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
        ({"code": EventCode.DEVICE_ENROLL_REQUEST}, True),
        ({"code": EventCode.USER_LOGIN}, False),
        ({"outcome": Outcome.REFUSED}, True),
        ({"outcome": Outcome.DONE}, False),
        ({"severity": Severity.INFO}, True),
        ({"severity": Severity.ALERT}, False),
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
        EventCode.DEVICE_ENROLL_REQUEST,
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


@pytest.mark.parametrize("least", Severity)
def test_a_severity_finds_itself_and_what_is_worse(
    least: Severity, actor: Actor
) -> None:
    for code, kind in CATALOGUE.items():
        for outcome in kind.outcomes:
            services.record(code, actor=actor, now=NOON, outcome=outcome)
    found = selectors.list_events(Filter(severity=least), size=1000).items
    expected = {
        (kind.code, outcome)
        for kind in CATALOGUE.values()
        for outcome, severity in kind.severities.items()
        if severity.rank >= least.rank
    }
    assert {(row.code, row.outcome) for row in found} == expected


@pytest.mark.usefixtures("connections", "events")
@pytest.mark.parametrize("size", [3, 50])
def test_a_page_counts_what_the_filter_finds(size: int) -> None:
    denied = Filter(verdict=Decision.DENIED)
    page = selectors.list_connections(denied, size=size)
    found = selectors.count_connections(denied, page)
    assert found == Counted(number=7, is_all=True)
    events = selectors.list_events(Filter(), size=size)
    assert selectors.count_events(Filter(), events).number == 20


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize(("words", "number"), [("", 19), ("alice", 3)])
def test_a_page_stops_counting(
    words: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "COUNTED", 19)
    filters = Filter(words=words)
    page = selectors.list_connections(filters, size=3)
    found = selectors.count_connections(filters, page)
    assert found == Counted(number=number, is_all=False)


def test_a_connection_that_fits_at_both_ends_is_shown_once(
    make_flow: MakeFlow,
) -> None:
    for number, end in enumerate(("10.2.0.5", "100.64.0.7"), start=1):
        flow = make_flow(
            FlowKind.OPEN,
            number,
            flow=f"f{number}",
            source=ip_address("100.64.0.7"),
            destination=ip_address(end),
        )
        services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)
    filters = Filter(address="100.64.0.7")
    assert len(selectors.list_connections(filters).items) == 2
    page = selectors.list_connections(filters, size=1)
    assert selectors.count_connections(filters, page).number == 2


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("alice", True),
        ("ali", True),
        ("lice", False),
        ("alice laptop", True),
        ("laptop alice", True),
        ("alice phone", False),
        ("engineering payroll", True),
        ("berlin", True),
        ("acme", True),
        ("o", True),
        ("élan", True),
    ],
)
def test_words_find_the_labels_of_a_connection(
    make_flow: MakeFlow, words: str, found: bool
) -> None:
    person = Ref(id="us_1", label="Alice O'Neill <alice@acme.example> Élan")
    flow = make_flow(FlowKind.OPEN, 1, person=person)
    services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)
    assert len(selectors.list_connections(Filter(words=words)).items) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("alice", True),
        ("changed", True),
        ("changed alice", True),
        ("refused", True),
        ("alert", False),
        ("lost taxi", True),
        ("dv009", True),
        ("label", False),
        ("signed", False),
    ],
)
def test_words_find_the_labels_the_reason_and_the_sentence_of_an_event(
    actor: Actor, words: str, found: bool
) -> None:
    services.record(
        EventCode.DEVICE_UPDATE,
        actor=actor,
        now=NOON,
        outcome=Outcome.REFUSED,
        person=ALICE,
        reason="Lost in a taxi",
    )
    assert len(selectors.list_events(Filter(words=words)).items) == found


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("10.2.0.0/24", True),
        ("100.64.0.0/10", True),
        ("10.2.1.0/24", False),
        ("fd00::/8", False),
        ("0.0.0.0/0", True),
    ],
)
def test_a_prefix_finds_the_connections_of_its_addresses(
    make_flow: MakeFlow, address: str, found: bool
) -> None:
    flow = make_flow(FlowKind.OPEN, 1)
    services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)
    assert len(selectors.list_connections(Filter(address=address)).items) == found


@pytest.mark.parametrize(
    ("origin", "found"), [("192.0.2.9", True), ("198.51.100.1", False), ("", False)]
)
def test_a_prefix_finds_the_events_of_its_addresses(origin: str, found: bool) -> None:
    actor = Actor(kind=ActorKind.USER, id="us_4", address=origin)
    services.record(EventCode.USER_LOGIN, actor=actor, now=NOON)
    assert len(selectors.list_events(Filter(address="192.0.2.0/24")).items) == found


@pytest.mark.parametrize("text", ["not an address", "192.0.2.1 forged"])
def test_what_is_no_address_is_in_no_prefix(text: str) -> None:
    actor = Actor(kind=ActorKind.USER, id="us_4", address=text)
    services.record(EventCode.USER_LOGIN, actor=actor, now=NOON)
    assert selectors.list_events(Filter(address="0.0.0.0/0")).items == ()


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

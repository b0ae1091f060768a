"""Timelines: charts, their table, both logs together, and the way on from there."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from audit.actor import Actor, ActorKind, Ref
from audit.events import EventCode
from audit.models import AuditEvent, FlowKind
from audit.services import record, record_flows
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.portal.console.test_log import EDGE, flow

pytestmark = pytest.mark.django_db


@pytest.fixture
def day(alice: User, clock: datetime) -> None:
    """Let alice do something within the last hours."""
    at = clock - timedelta(hours=2)
    denied = {"kind": FlowKind.DENY, "reason": "no_grant"}
    flows = [flow(1, alice, at=at), flow(2, alice, at=at, **denied)]
    record_flows(gateway=EDGE, flows=flows, now=clock)
    actor = Actor(kind=ActorKind.SYSTEM, request_id="r-77")
    record(EventCode.USER_LOGIN, actor=actor, now=at, person=alice.ref)


@pytest.mark.usefixtures("day")
@pytest.mark.parametrize(
    ("kind", "ref", "name"),
    [
        ("person", "{alice}", "Alice"),
        ("device", "dv_9", "laptop"),
        ("key", "ab" * 8, "Key"),
        ("application", "ap_3", "wiki"),
        ("gateway", "gw_1", "edge"),
    ],
)
def test_everything_has_a_timeline(
    kind: str, ref: str, name: str, alice: User, carol: User, sign_in: SignIn
) -> None:
    ref = ref.format(alice=alice.ref.id)
    page = sign_in(carol).get(f"/audit/timeline/{kind}/{ref}/").content.decode()
    assert name in page.split("page-title")[1].split("</")[0]
    assert 'class="chart-allowed"' in page
    assert 'class="chart-denied"' in page


@pytest.mark.usefixtures("day")
def test_a_timeline_shows_both_logs_and_leads_on(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    url = f"/audit/timeline/person/{alice.ref.id}/?last=day"
    page = sign_in(carol).get(url).content.decode()
    for expected in (
        "Alice signed in",
        "/audit/events/?request=r-77",
        "/audit/timeline/device/dv_9/",
        "/audit/timeline/application/ap_3/",
    ):
        assert expected in page


@pytest.mark.usefixtures("day")
def test_reading_a_timeline_is_recorded_for_both_logs(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    sign_in(carol).get(f"/audit/timeline/person/{alice.ref.id}/")
    read = AuditEvent.objects.filter(code=EventCode.AUDIT_QUERY)
    assert {event.details["log"] for event in read} == {"control", "connections"}
    assert {event.details["filter"]["person"] for event in read} == {alice.ref.id}


def test_a_timeline_of_nothing_says_so(carol: User, sign_in: SignIn) -> None:
    page = sign_in(carol).get("/audit/timeline/device/dv_404/").content.decode()
    assert "Nothing happened" in page


@pytest.mark.parametrize("path", ["person/alice", "colour/us_1", "application/us"])
def test_what_nothing_can_be_called_is_not_there(
    path: str, carol: User, sign_in: SignIn
) -> None:
    assert sign_in(carol).get(f"/audit/timeline/{path}/").status_code == 404


@pytest.mark.parametrize(
    "query",
    ["from=banana", "last=year", "from=2020-01-01&until=2021-01-01", "colour=red"],
)
def test_a_wrong_period_is_explained(query: str, carol: User, sign_in: SignIn) -> None:
    response = sign_in(carol).get(f"/audit/timeline/person/us_1/?{query}")
    assert response.status_code == 400
    assert not AuditEvent.objects.filter(code=EventCode.AUDIT_QUERY).exists()


def test_a_busy_timeline_costs_the_same(
    alice: User,
    carol: User,
    clock: datetime,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    flows = [
        flow(
            number,
            alice,
            at=clock - timedelta(minutes=number),
            device=Ref(id=f"dv_{number}", label="x"),
        )
        for number in range(1, 61)
    ]
    record_flows(gateway=EDGE, flows=flows, now=clock)
    browser = sign_in(carol)
    # Session, person, two events of the reading, the reader's salt (sought, made, read,
    # and read for the second event), the buckets, connections, events that concern the
    # person and events they did.
    with django_assert_num_queries(12):
        browser.get(f"/audit/timeline/person/{alice.ref.id}/")


def test_people_see_their_own_activity_and_nobody_elses(
    alice: User, bob: User, clock: datetime, sign_in: SignIn
) -> None:
    at = clock - timedelta(hours=2)
    flows = [
        flow(1, alice, at=at, device=Ref(id="dv_1", label="Alices laptop")),
        flow(2, bob, at=at, device=Ref(id="dv_2", label="Bobs laptop")),
    ]
    record_flows(gateway=EDGE, flows=flows, now=clock)
    page = sign_in(alice).get("/activity/").content.decode()
    assert ("Alices laptop" in page, "Bobs laptop" in page) == (True, False)
    assert "/audit/" not in page
    event = AuditEvent.objects.get(code=EventCode.AUDIT_QUERY)
    assert (event.actor_id, event.details["filter"]["person"]) == (alice.ref.id,) * 2


def test_nobody_asks_for_anothers_activity(
    alice: User, bob: User, clock: datetime, sign_in: SignIn
) -> None:
    flows = [flow(1, bob, at=clock - timedelta(hours=1))]
    record_flows(gateway=EDGE, flows=flows, now=clock)
    url = f"/activity/?person={bob.ref.id}"
    page = sign_in(alice).get(url).content.decode()
    assert "None of your devices reached anything" in page


@pytest.mark.parametrize("query", ["from=banana", "last=year", "cursor=zzz"])
def test_a_wrong_period_of_ones_own_is_explained(
    query: str, alice: User, sign_in: SignIn
) -> None:
    assert sign_in(alice).get(f"/activity/?{query}").status_code == 400


def test_older_activity_follows(
    alice: User,
    clock: datetime,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    flows = [
        flow(number, alice, at=clock - timedelta(minutes=number))
        for number in range(1, 61)
    ]
    record_flows(gateway=EDGE, flows=flows, now=clock)
    browser = sign_in(alice)
    # Session, person, their salt, the event of the reading, the rows, the buckets.
    with django_assert_num_queries(6):
        first = browser.get("/activity/").content.decode()
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    second = browser.get(older).content.decode()
    count = 'data-label="Verdict"'
    assert (first.count(count), second.count(count)) == (50, 10)

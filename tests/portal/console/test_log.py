"""Connections and events: filters, pages, exports; reading is itself recorded."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

import pytest
from django.test import AsyncClient, Client
from django.utils.html import escape
from pytest_django import DjangoAssertNumQueries

from audit import exports
from audit import selectors as audit_selectors
from audit.actor import SYSTEM, Actor, Ref
from audit.events import CATALOGUE, EventCode, Outcome
from audit.exports import SHOWN_CONNECTION_COLUMNS, SHOWN_EVENT_COLUMNS
from audit.flows import AttributedFlow
from audit.models import AuditEvent, Connection, FlowKind
from audit.services import record, record_flows
from peers.models import Device, Gateway
from policies.models import Application, Grant, Publication
from portal.accounts.models import Group, User
from tests.conftest import SignIn
from tests.policies.makers import make_grant, publish

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EDGE = Ref(id="gw_1", label="edge")


def flow(number: int, person: User, **changed: object) -> AttributedFlow:
    fields: dict[str, Any] = {
        "kind": FlowKind.OPEN,
        "sequence": number,
        "at": NOON + timedelta(seconds=number),
        "flow": f"f{number}",
        "protocol": 6,
        "source": ip_address("100.64.0.7"),
        "source_port": 50_000,
        "destination": ip_address("10.1.0.7"),
        "destination_port": 443,
        "person": person.ref,
        "device": Ref(id="dv_9", label="laptop"),
        "application": Ref(id="ap_3", label="wiki"),
        "grant": Ref(id="gt_4", label="engineering → wiki"),
        "generation": 12,
        "key_fingerprint": "ab" * 8,
        **changed,
    }
    return AttributedFlow(**fields)


@pytest.fixture
def morning(alice: User, bob: User) -> None:
    """Record one flow of each, bob's denied."""
    denied = {"kind": FlowKind.DENY, "application": Ref(id=""), "reason": "no_grant"}
    flows = [flow(1, alice), flow(2, bob, **denied)]
    record_flows(gateway=EDGE, flows=flows, now=NOON)


def shown(browser: Client, query: str) -> set[str]:
    page = browser.get(f"/audit/connections/?{query}").content.decode()
    return {name for name in ("Alice", "Bob") if f">{name}</a>" in page}


@pytest.mark.parametrize(
    ("query", "people"),
    [
        ("", {"Alice", "Bob"}),
        ("person=Alice", {"Alice"}),
        ("person={alice}", {"Alice"}),
        ("verdict=denied", {"Bob"}),
        ("application=ap_3", {"Alice"}),
        ("address=10.1.0.7&port=443", {"Alice", "Bob"}),
        ("address=10.9.9.9", set()),
        ("from=2026-11-23T12:00:02&until=", {"Bob"}),
        ("until=2026-11-22", set()),
        ("key=abababababababab", {"Alice", "Bob"}),
        ("q=ali", {"Alice"}),
        ("q=no_grant", {"Bob"}),
        ("address=10.1.0.0/16", {"Alice", "Bob"}),
        ("address=10.2.0.0/16", set()),
        ("last=hour", set()),
    ],
)
@pytest.mark.usefixtures("morning")
def test_connections_are_filtered(
    query: str, people: set[str], alice: User, carol: User, sign_in: SignIn
) -> None:
    assert shown(sign_in(carol), query.format(alice=alice.ref.id)) == people


@pytest.mark.usefixtures("morning")
def test_every_question_to_the_log_is_recorded(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    sign_in(carol).get("/audit/connections/?person=Alice")
    event = AuditEvent.objects.get(code=EventCode.AUDIT_QUERY)
    assert event.actor_label == "Carol"
    assert event.details == {
        "log": "connections",
        "filter": {"person": alice.ref.id},
    }


def test_a_wrong_filter_is_explained_and_shows_nothing(
    carol: User, alice: User, sign_in: SignIn
) -> None:
    record_flows(gateway=EDGE, flows=[flow(1, alice)], now=NOON)
    url = "/audit/connections/?address=banana&person=Nobody&colour=red&person=Alice"
    response = sign_in(carol).get(url)
    page = response.content.decode()
    assert response.status_code == 400
    for expected in ("not an IPv4 or IPv6 address", "colour: there is no such filter"):
        assert expected in page
    assert "laptop" not in page.split('id="content"')[1]


def test_a_link_to_what_is_gone_still_shows_what_it_asks(
    carol: User, sign_in: SignIn
) -> None:
    page = sign_in(carol).get("/audit/events/?application=ap_77").content.decode()
    assert '<option value="ap_77" selected>' in page


def test_a_damaged_page_link_says_so(carol: User, sign_in: SignIn) -> None:
    page = sign_in(carol).get("/audit/events/?cursor=zzz").content.decode()
    assert "this page link is damaged" in page


def test_pages_follow_each_other_and_keep_the_filter(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    flows = [flow(number, alice) for number in range(1, 61)]
    record_flows(gateway=EDGE, flows=flows, now=NOON)
    browser = sign_in(carol)
    first = browser.get("/audit/connections/?verdict=allowed").content.decode()
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "verdict=allowed" in older
    second = browser.get(older).content.decode()
    rows = first.count('data-label="Verdict"'), second.count('data-label="Verdict"')
    assert rows == (50, 10)
    assert "Newest" in second


def test_the_list_of_connections_costs_the_same_for_many(
    alice: User,
    carol: User,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    flows = [flow(number, alice) for number in range(1, 41)]
    record_flows(gateway=EDGE, flows=flows, now=NOON)
    browser = sign_in(carol)
    # Session, person, the reader's salt (sought, made, read), the event of the reading,
    # the rows, two lists to choose from, and what is saved; all rows are on the page,
    # so that nothing is left to count.
    with django_assert_num_queries(10):
        browser.get("/audit/connections/")


def test_many_connections_are_counted_by_one_more_query(
    alice: User,
    carol: User,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    flows = [flow(number, alice) for number in range(1, 61)]
    record_flows(gateway=EDGE, flows=flows, now=NOON)
    browser = sign_in(carol)
    with django_assert_num_queries(11):
        page = browser.get("/audit/connections/").content.decode()
    assert "60 found" in page


def test_a_count_that_was_given_up_says_so(
    alice: User, carol: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_selectors, "COUNTED", 55)
    flows = [flow(number, alice) for number in range(1, 61)]
    record_flows(gateway=EDGE, flows=flows, now=NOON)
    page = sign_in(carol).get("/audit/connections/").content.decode()
    assert "more than 55 found" in page


@pytest.mark.usefixtures("morning")
def test_each_filter_is_a_chip_that_takes_it_away(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    url = f"/audit/connections/?person={alice.ref.id}&port=443"
    page = sign_in(carol).get(url).content.decode()
    assert "<span>Person: Alice</span>" in page
    assert 'href="/audit/connections/?port=443"' in page
    assert f'href="/audit/connections/?person={alice.ref.id}"' in page


@pytest.mark.usefixtures("morning")
def test_an_empty_page_says_which_filter_to_loosen(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    url = f"/audit/connections/?person={alice.ref.id}&verdict=denied"
    page = sign_in(carol).get(url).content.decode()
    assert "without person" in page
    assert "without verdict denied" in page
    page = sign_in(carol).get(f"{url}&port=9").content.decode()
    assert "No single filter is to blame" in page


@pytest.mark.parametrize("log", ["connections", "events"])
def test_a_quick_period_becomes_the_moment_it_begins_at(
    log: str, carol: User, sign_in: SignIn
) -> None:
    page = sign_in(carol).get(f"/audit/{log}/?last=week&address=::1").content.decode()
    assert 'name="from" value="20' in page
    assert "last=day" in page
    assert (
        f"/audit/{log}/export/?format=csv&amp;columns=shown&amp;address=%3A%3A1&amp;from=20"
        in page
    )


@pytest.mark.parametrize("log", ["connections", "events"])
@pytest.mark.parametrize("query", ["last=year", "last=day&from=2026-05-03"])
def test_a_wrong_period_is_explained(
    query: str, log: str, carol: User, sign_in: SignIn
) -> None:
    response = sign_in(carol).get(f"/audit/{log}/?{query}")
    assert response.status_code == 400
    assert "last: " in response.content.decode()


@pytest.mark.usefixtures("morning")
def test_the_form_keeps_the_times_of_a_page_link(carol: User, sign_in: SignIn) -> None:
    url = "/audit/connections/?from=2026-11-23T11:00:00%2B00:00"
    page = sign_in(carol).get(url).content.decode()
    assert 'value="2026-11-23T11:00:00"' in page


@pytest.mark.usefixtures("morning")
def test_one_connection_shows_the_whole_chain(carol: User, sign_in: SignIn) -> None:
    pk = Connection.objects.get(person_label="Alice").pk
    page = sign_in(carol).get(f"/audit/connections/{pk}/").content.decode()
    for expected in ("Alice", "laptop", "engineering → wiki", "ab" * 8, "edge"):
        assert expected in page
    assert "still open" in page


@pytest.fixture
def twice_allowed(
    gw1: Gateway, alice: User, wiki: Application, alices_grant: Grant, laptop: Device
) -> Connection:
    """Let alice reach the wiki by her own grant and by that of her group."""
    make_grant(wiki, group=Group.objects.get(name="engineering"))
    publish()
    source = laptop.leases.get(address__contains=".").address
    number = Publication.objects.get(pk=gw1.pk).generation
    told = {"device": laptop.ref, "grant": alices_grant.ref, "generation": number}
    flows = [flow(1, alice, source=ip_address(source), **told)]
    record_flows(gateway=gw1.ref, flows=flows, now=NOON)
    return Connection.objects.get()


def test_one_connection_shows_every_grant_that_allowed_it(
    twice_allowed: Connection, carol: User, sign_in: SignIn
) -> None:
    url = f"/audit/connections/{twice_allowed.pk}/"
    page = sign_in(carol).get(url).content.decode()
    also = page.split("Also allowed by")[1].split("Gateway")[0]
    assert "engineering → wiki" in also
    assert "Alice → wiki" not in also
    assert ">1.1<" in page


@pytest.mark.usefixtures("morning")
def test_a_connection_of_an_unknown_snapshot_claims_no_other_grant(
    carol: User, sign_in: SignIn
) -> None:
    pk = Connection.objects.get(person_label="Alice").pk
    page = sign_in(carol).get(f"/audit/connections/{pk}/").content.decode()
    assert "unknown: generation 12 of gw_1 is not stored" in page


@pytest.mark.usefixtures("morning")
def test_a_denied_connection_speaks_of_no_other_grant(
    carol: User, sign_in: SignIn
) -> None:
    pk = Connection.objects.get(person_label="Bob").pk
    page = sign_in(carol).get(f"/audit/connections/{pk}/").content.decode()
    assert "Also allowed by" not in page


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("no_grant", "No grant lets this person reach this destination."),
        ("no_device", "it was revoked or its session had ended"),
        ("inbound_no_device", "The person sent nothing."),
        ("<b>x", "&lt;b&gt;x"),
    ],
)
def test_a_denial_is_explained_in_a_sentence(
    alice: User, carol: User, sign_in: SignIn, reason: str, sentence: str
) -> None:
    denied = flow(1, alice, kind=FlowKind.DENY, reason=reason)
    record_flows(gateway=EDGE, flows=[denied], now=NOON)
    browser, number = sign_in(carol), Connection.objects.get().pk
    for path in ("/audit/connections/", f"/audit/connections/{number}/"):
        assert sentence in browser.get(path).content.decode()


def test_a_cut_connection_is_explained_in_a_sentence(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    cut = flow(1, alice, kind=FlowKind.CLOSE, reason="revoked")
    record_flows(gateway=EDGE, flows=[cut], now=NOON)
    number = Connection.objects.get().pk
    page = sign_in(carol).get(f"/audit/connections/{number}/").content.decode()
    assert "The gateway cut it, because the access behind it had ended." in page


def test_names_from_outside_are_escaped(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    evil = Ref(id="dv_9", label="<script>alert(1)</script>")
    record_flows(gateway=EDGE, flows=[flow(1, alice, device=evil)], now=NOON)
    page = sign_in(carol).get("/audit/connections/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def export(browser: Client, url: str) -> tuple[Any, str]:
    async def fetch() -> tuple[Any, str]:
        client = AsyncClient()
        client.cookies = browser.cookies
        response: Any = await client.get(url)
        parts = [part async for part in response.streaming_content]
        return response, b"".join(parts).decode()

    return asyncio.run(fetch())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("log", ["connections", "events"])
def test_an_export_is_what_the_filter_shows_and_is_recorded(
    log: str, alice: User, bob: User, carol: User, sign_in: SignIn
) -> None:
    record_flows(gateway=EDGE, flows=[flow(1, alice), flow(2, bob)], now=NOON)
    record(EventCode.USER_LOGIN, actor=SYSTEM, now=NOON, person=alice.ref)
    browser = sign_in(carol)
    url = f"/audit/{log}/export/?format=jsonl&person={alice.ref.id}"
    response, body = export(browser, url)
    [row] = [json.loads(line) for line in body.splitlines()]
    assert row["person_label"] == "Alice"
    assert response["Content-Disposition"].startswith(f'attachment; filename="{log}-')
    event = AuditEvent.objects.get(code=EventCode.AUDIT_EXPORT)
    assert (event.actor_label, event.details["format"]) == ("Carol", "jsonl")
    ended = AuditEvent.objects.get(code=EventCode.AUDIT_EXPORT_COMPLETE)
    assert ended.details == {
        **event.details,
        "export": str(event.uid),
        "rows": 1,
        "sha256": sha256(body.encode()).hexdigest(),
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("log", "columns"),
    [("connections", SHOWN_CONNECTION_COLUMNS), ("events", SHOWN_EVENT_COLUMNS)],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_of_the_screen_has_its_columns_in_its_order(
    log: str,
    columns: tuple[str, ...],
    form: str,
    alice: User,
    carol: User,
    sign_in: SignIn,
) -> None:
    record_flows(gateway=EDGE, flows=[flow(1, alice), flow(2, alice)], now=NOON)
    url = f"/audit/{log}/export/?format={form}&columns=shown"
    _, body = export(sign_in(carol), url)
    first = body.splitlines()[0]
    found = next(csv.reader([first])) if form == "csv" else list(json.loads(first))
    assert tuple(found) == columns


@pytest.mark.django_db(transaction=True)
def test_an_export_that_was_broken_off_is_not_called_whole(
    alice: User, carol: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "CHUNK_ROWS", 1)
    record_flows(gateway=EDGE, flows=[flow(1, alice), flow(2, alice)], now=NOON)
    browser = sign_in(carol)

    async def hang_up() -> None:
        client = AsyncClient()
        client.cookies = browser.cookies
        response: Any = await client.get("/audit/connections/export/?format=jsonl")
        await anext(aiter(response.streaming_content))
        response.close()

    asyncio.run(hang_up())
    assert AuditEvent.objects.filter(code=EventCode.AUDIT_EXPORT).exists()
    whole = AuditEvent.objects.filter(code=EventCode.AUDIT_EXPORT_COMPLETE)
    assert not whole.exists()


@pytest.mark.django_db(transaction=True)
def test_a_csv_export_holds_no_formula(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    evil = Ref(id="dv_9", label="=cmd()")
    record_flows(gateway=EDGE, flows=[flow(1, alice, device=evil)], now=NOON)
    _, body = export(sign_in(carol), "/audit/connections/export/?format=csv")
    [row] = csv.DictReader(io.StringIO(body))
    assert row["device_label"] == "'=cmd()"


@pytest.mark.django_db(transaction=True)
def test_exports_name_every_grant_and_say_what_is_unknown(
    twice_allowed: Connection, alice: User, carol: User, sign_in: SignIn
) -> None:
    record_flows(gateway=EDGE, flows=[flow(2, alice, flow="x")], now=NOON)
    second, browser = Grant.objects.latest("pk").ref.id, sign_in(carol)
    _, lines = export(browser, "/audit/connections/export/?format=jsonl")
    found = [json.loads(line) for line in lines.splitlines()]
    assert [row["also_allowed_by"] for row in found] == [None, [second]]
    assert "generation 12" in found[0]["also_allowed_doubt"]
    _, body = export(browser, "/audit/connections/export/?format=csv")
    rows = list(csv.DictReader(io.StringIO(body)))
    assert [row["also_allowed_by"] for row in rows] == ["", second]


@pytest.mark.parametrize(
    "query", ["", "format=xml", "format=csv&address=banana", "format=csv&columns=x"]
)
@pytest.mark.parametrize("log", ["connections", "events"])
def test_a_wrong_export_is_refused_and_not_recorded(
    log: str, query: str, carol: User, sign_in: SignIn
) -> None:
    assert sign_in(carol).get(f"/audit/{log}/export/?{query}").status_code == 400
    assert not AuditEvent.objects.filter(code=EventCode.AUDIT_EXPORT).exists()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("code=ID001", True),
        ("code=ID002", False),
        ("outcome=I", True),
        ("outcome=A", False),
        ("severity=alert", False),
        ("severity=info", True),
        ("request=r-1", True),
        ("person=Alice", True),
        ("person=Bob", False),
    ],
)
@pytest.mark.usefixtures("bob")
def test_events_are_filtered(
    query: str, found: bool, alice: User, carol: User, sign_in: SignIn
) -> None:
    actor = Actor(kind=SYSTEM.kind, request_id="r-1")
    record(EventCode.USER_LOGIN, actor=actor, now=NOON, person=alice.ref)
    page = sign_in(carol).get(f"/audit/events/?{query}").content.decode()
    assert ("Alice signed in" in page) is found


def test_one_event_shows_its_details(alice: User, carol: User, sign_in: SignIn) -> None:
    made = record(
        EventCode.USER_LOGIN,
        actor=SYSTEM,
        now=NOON,
        person=alice.ref,
        reason="because",
        details={"amr": ["pwd"]},
    )
    page = sign_in(carol).get(f"/audit/events/{made.uid}/").content.decode()
    for expected in ("Alice signed in", "because", "&quot;pwd&quot;", "ID001I"):
        assert expected in page
    assert AuditEvent.objects.filter(code=EventCode.AUDIT_QUERY).exists()


def test_an_event_says_how_grave_it_is_what_it_means_and_what_to_do(
    carol: User, sign_in: SignIn
) -> None:
    made = record(EventCode.AUDIT_VERIFY, actor=SYSTEM, now=NOON, outcome=Outcome.ALERT)
    browser = sign_in(carol)
    page = browser.get(f"/audit/events/{made.uid}/").content.decode()
    assert made.kind.means.startswith("`manage.py verify_log`")
    for expected in (
        '<span class="badge bg-red-lt">alert</span>',
        "somebody should look",
        escape(made.kind.means),
        escape(made.kind.remedy),
        'href="/audit/events/codes/#AU004"',
    ):
        assert expected in page
    listed = browser.get("/audit/events/?code=AU004").content.decode()
    assert '<span class="badge bg-red-lt">alert</span>' in listed


def test_the_catalogue_of_events_is_a_page(carol: User, sign_in: SignIn) -> None:
    page = sign_in(carol).get("/audit/events/codes/").content.decode()
    for kind in CATALOGUE.values():
        assert f'<tr id="{kind.code}">' in page
        assert escape(kind.means) in page
        assert escape(kind.remedy) in page

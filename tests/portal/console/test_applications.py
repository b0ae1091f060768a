"""Applications: described, changed, removed; each wrong line says what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.models import AuditEvent
from peers.models import Gateway
from policies.models import Application, Grant
from policies.services import record_resolution
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.policies.makers import make_application
from tests.portal.console.confirming import confirm

pytestmark = pytest.mark.django_db
ADD = "/manage/applications/add/"


def described(**changed: object) -> dict[str, Any]:
    return {
        "name": "payroll",
        "description": "salaries",
        "destinations": "10.20.0.5/32 tcp/443\nfd00:20::5/128 tcp/8000-8010",
        **changed,
    }


def test_the_list_shows_destinations_gateways_and_live_grants(
    alices_grant: Grant, carol: User, sign_in: SignIn
) -> None:
    page = sign_in(carol).get("/manage/applications/").content.decode()
    for expected in ("wiki", "10.1.0.0/24 tcp/443", "gw1", 'class="number">1<'):
        assert expected in page
    assert ADD not in page


def test_the_empty_list_leads_an_administrator_to_the_form(
    dave: User, sign_in: SignIn
) -> None:
    page = sign_in(dave).get("/manage/applications/").content.decode()
    assert "No application yet" in page
    assert ADD in page


def test_the_list_costs_the_same_for_many(
    gw1: Gateway,
    carol: User,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(5):
        make_application(f"app{number}", f"10.{number}.0.0/24", gateways=[gw1])
    browser = sign_in(carol)
    with django_assert_num_queries(6):
        browser.get("/manage/applications/")


def test_an_application_is_described_with_several_destinations(
    gw1: Gateway, dave: User, sign_in: SignIn
) -> None:
    response = confirm(sign_in(dave), ADD, described(gateways=[gw1.pk]))
    made = Application.objects.get()
    assert response["Location"] == f"/manage/applications/{made.pk}/"
    assert [str(row) for row in made.destinations.all()] == [
        "10.20.0.5/32 tcp/443",
        "fd00:20::5/128 tcp/8000-8010",
    ]
    assert list(made.gateways.all()) == [gw1]
    event = AuditEvent.objects.get(code=EventCode.APPLICATION_CREATE)
    assert event.actor_label == "Dave"


def test_each_wrong_line_is_named_and_what_was_typed_stays(
    dave: User, sign_in: SignIn
) -> None:
    lines = "10.20.0.5/24 tcp/443\n10.20.0.5/32 tcp/443\nbanana"
    page = sign_in(dave).post(ADD, described(destinations=lines)).content.decode()
    assert "Line 1:" in page
    assert "did you mean 10.20.0.0/24?" in page
    assert "Line 2:" not in page
    assert "Line 3:" in page
    assert "banana</textarea>" in page
    assert not Application.objects.exists()


def test_overlapping_destinations_are_refused_beside_their_field(
    dave: User, sign_in: SignIn
) -> None:
    lines = "10.20.0.0/24 tcp/443\n10.20.0.5/32 tcp/443"
    page = sign_in(dave).post(ADD, described(destinations=lines)).content.decode()
    assert "overlap" in page
    assert not Application.objects.exists()
    event = AuditEvent.objects.get(code=EventCode.APPLICATION_CREATE)
    assert event.outcome == Outcome.REFUSED


BAD_INPUT: dict[str, tuple[dict[str, str], str]] = {
    "host bits": ({"destinations": "10.2.0.5/24 tcp/443"}, "10.2.0.0/24?"),
    "overlap": (
        {"destinations": "10.2.0.0/24 any\n10.2.0.5/32 tcp/443"},
        "the first covers it",
    ),
    "port 0": ({"destinations": "10.2.0.0/24 tcp/0"}, "from 1 to 65535"),
    "reversed range": ({"destinations": "10.2.0.0/24 tcp/90-80"}, "is reversed"),
    "newline in the name": ({"name": "pay\nroll"}, "U+000A"),
    "escape in the name": ({"name": "pay\x1b[2J"}, "U+001B"),
    "nul in the name": ({"name": "pay\x00roll"}, "Null characters"),
    "newline in the description": ({"description": "a\nb"}, "U+000A"),
}


@pytest.mark.parametrize(("changed", "says"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
@pytest.mark.parametrize("code", ["PL001", "PL002"], ids=["new", "changed"])
def test_bad_input_is_explained_changes_nothing_and_is_one_event(
    wiki: Application,
    dave: User,
    sign_in: SignIn,
    changed: dict[str, str],
    says: str,
    code: str,
) -> None:
    edit = reverse("console:edit_application", args=(wiki.pk,))
    before = [str(row) for row in wiki.destinations.all()]
    answer = sign_in(dave).post(ADD if code == "PL001" else edit, described(**changed))
    assert says in answer.content.decode()
    assert Application.objects.get() == wiki
    assert [str(row) for row in wiki.destinations.all()] == before
    event = AuditEvent.objects.get(code=code, outcome=Outcome.REFUSED)
    assert says.rstrip("?") in event.reason
    assert event.actor_label == "Dave"


def test_a_taken_name_is_refused(
    wiki: Application, dave: User, sign_in: SignIn
) -> None:
    page = sign_in(dave).post(ADD, described(name="wiki")).content.decode()
    assert "already" in page


def test_the_change_form_holds_what_is_and_saves_what_is_said(
    wiki: Application, dave: User, sign_in: SignIn
) -> None:
    url = reverse("console:edit_application", args=(wiki.pk,))
    browser = sign_in(dave)
    assert "10.1.0.0/24 tcp/443</textarea>" in browser.get(url).content.decode()
    confirm(browser, url, described(name="wiki", destinations="10.9.0.0/24 any"))
    wiki.refresh_from_db()
    assert [str(row) for row in wiki.destinations.all()] == ["10.9.0.0/24 any"]
    assert not wiki.gateways.exists()


def test_one_that_was_never_granted_can_be_removed(
    wiki: Application, dave: User, sign_in: SignIn
) -> None:
    url = reverse("console:delete_application", args=(wiki.pk,))
    browser = sign_in(dave)
    assert "never granted" in browser.get(url).content.decode()
    assert browser.post(url)["Location"] == "/manage/applications/"
    assert not Application.objects.exists()


def test_one_that_was_granted_stays(
    alices_grant: Grant, wiki: Application, dave: User, sign_in: SignIn
) -> None:
    url = reverse("console:delete_application", args=(wiki.pk,))
    browser = sign_in(dave)
    assert "Remove the application" not in browser.get(url).content.decode()
    assert "the log speaks of it" in browser.post(url).content.decode()
    assert Application.objects.exists()


NAMED = "db.example.com in 10.20.0.0/16 tcp/5432"


def test_a_destination_may_be_a_host_name(
    gw1: Gateway, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave)
    form = described(destinations=NAMED, gateways=[gw1.pk])
    url = confirm(browser, ADD, form)["Location"]
    page = browser.get(url).content.decode()
    assert NAMED in page
    assert "not told lately" in page
    assert "What its names stand for" in page
    assert f"{NAMED}</textarea>" in browser.get(f"{url}edit/").content.decode()


def test_the_page_says_what_a_name_stands_for(
    gw1: Gateway, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave)
    form = described(destinations=NAMED, gateways=[gw1.pk])
    url = confirm(browser, ADD, form)["Location"]
    for addresses, said in (
        (["10.20.0.9"], "10.20.0.9"),
        ([], "none: it opens nothing"),
    ):
        record_resolution(
            gateway=gw1,
            names={"db.example.com": addresses},
            actor=SYSTEM,
            now=datetime.now(UTC),  # noqa: TID251 -- the page reads the clock
        )
        assert said in browser.get(url).content.decode()


def test_an_application_without_names_says_nothing_of_them(
    alices_grant: Grant, carol: User, sign_in: SignIn
) -> None:
    url = f"/manage/applications/{alices_grant.application_id}/"
    assert "stand for" not in sign_in(carol).get(url).content.decode()


@pytest.mark.parametrize("host", ["*.example.com", "DB.example.com", "db"])
def test_a_line_with_no_exact_host_name_is_refused(
    host: str, dave: User, sign_in: SignIn
) -> None:
    form = described(destinations=f"{host} in 10.20.0.0/16 tcp/5432")
    page = sign_in(dave).post(ADD, form).content.decode()
    assert "Line 1:" in page
    assert not Application.objects.exists()


def test_terms_are_shown_kept_and_changed(
    wiki: Application, dave: User, sign_in: SignIn
) -> None:
    url = reverse("console:edit_application", args=(wiki.pk,))
    browser = sign_in(dave)
    before = browser.get(f"/manage/applications/{wiki.pk}/").content.decode()
    assert "closes after 15 minutes, as every gateway" in before
    terms = {"max_staleness": "120", "evidence": "best_effort"}
    confirm(browser, url, described(name="wiki", **terms))
    wiki.refresh_from_db()
    assert (wiki.max_staleness, wiki.evidence) == (120, "best_effort")
    after = browser.get(f"/manage/applications/{wiki.pk}/").content.decode()
    assert "closes after 2 minutes<" in after
    assert "best effort: access goes on, the loss is counted" in after
    page = browser.get(url).content.decode()
    assert 'value="120"' in page
    assert '<option value="best_effort" selected>' in page


def test_a_change_of_terms_alone_is_told_as_that(
    wiki: Application, alices_grant: Grant, dave: User, sign_in: SignIn
) -> None:
    assert alices_grant.application == wiki
    url = reverse("console:edit_application", args=(wiki.pk,))
    sent = described(
        name="wiki",
        destinations="10.1.0.0/24 tcp/443",
        gateways=[row.pk for row in wiki.gateways.all()],
        max_staleness="120",
        evidence="strict",
    )
    page = sign_in(dave).post(url, sent).content.decode()
    assert "Nobody gains or loses an application." in page
    assert "closes after 15 minutes without word from the portal" in page
    assert "closes after 2 minutes without word from the portal" in page
    assert "changes nothing for anybody" not in page


@pytest.mark.parametrize(
    ("seconds", "says"),
    [("59", "greater than or equal to 60"), ("900", "900 seconds after")],
)
def test_a_limit_that_is_none_is_explained_beside_its_field(
    dave: User, sign_in: SignIn, seconds: str, says: str
) -> None:
    sent = described(max_staleness=seconds, evidence="strict")
    page = sign_in(dave).post(ADD, sent).content.decode()
    assert says in page
    assert not Application.objects.exists()

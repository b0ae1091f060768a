"""Pages of reach: search, CSV without formulas, and every question recorded."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import Device
from policies.models import Application, Grant
from portal.accounts.models import User
from tests.conftest import MakeUser, SignIn
from tests.policies.makers import make_grant, publish

pytestmark = pytest.mark.django_db
WHO, WHAT = "/manage/reach/applications/", "/manage/reach/people/"
CHANGES = "/manage/reach/changes/"


def ago(**span: float) -> str:
    now = datetime.now(UTC)  # noqa: TID251 -- a test's edge
    return f"{now - timedelta(**span):%Y-%m-%dT%H:%M:%S}"


@pytest.fixture
def morning(alices_grant: Grant, laptop: Device) -> None:
    """Publish two hours ago."""
    now = datetime.now(UTC)  # noqa: TID251 -- a test's edge
    publish(now=now - timedelta(hours=2))


@pytest.mark.parametrize("url", [WHO, WHAT, CHANGES])
def test_a_page_that_was_not_asked_anything_says_what_to_ask(
    url: str, carol: User, sign_in: SignIn
) -> None:
    response = sign_in(carol).get(url)
    assert response.status_code == 200
    assert "empty-title" in response.content.decode()
    assert not AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).exists()


@pytest.mark.parametrize(
    ("words", "rows"),
    [("", "2 rows"), ("alice", "1 row"), ("BOB wiki", "1 row"), ("x", "Nobody can")],
)
@pytest.mark.usefixtures("alices_grant")
def test_who_can_reach_an_application_can_be_searched(
    words: str, rows: str, bob: User, wiki: Application, carol: User, sign_in: SignIn
) -> None:
    make_grant(wiki, user=bob)
    url = f"{WHO}?application={wiki.pk}&q={words}"
    assert rows in sign_in(carol).get(url).content.decode()


@pytest.mark.usefixtures("morning")
def test_the_past_is_answered_from_snapshots(
    wiki: Application, carol: User, sign_in: SignIn
) -> None:
    Application.objects.filter(pk=wiki.pk).update(name="Encyclopaedia")
    browser = sign_in(carol)
    for url in (f"{WHO}?application={wiki.pk}", f"{WHAT}?person=Alice"):
        page = browser.get(f"{url}&at={ago(hours=1)}").content.decode()
        assert ">wiki</a>" in page
        assert "had acknowledged nothing" in page
        assert "By the snapshot of gw1 1.1, published since" in page


@pytest.mark.usefixtures("morning")
def test_what_changed_is_told_between_two_moments(carol: User, sign_in: SignIn) -> None:
    browser = sign_in(carol)
    page = browser.get(f"{CHANGES}?since={ago(hours=3)}").content.decode()
    assert "gained" in page
    assert "10.1.0.0/24 tcp/443" in page
    later = f"{CHANGES}?since={ago(hours=1)}&until={ago(minutes=1)}"
    assert "Nothing changed" in browser.get(later).content.decode()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"{WHO}?application=0", "Select a valid choice"),
        (f"{WHAT}?person=Nobody", "Nobody is called"),
        (f"{WHAT}?at=soon", "Enter a valid date/time"),
        (f"{CHANGES}?since=2026-05-03&until=2026-05-02", "ends before it begins"),
        (f"{CHANGES}?since=9999-12-31T23:59-14:00", "No calendar"),
        (f"{CHANGES}?q=x", "This field is required"),
    ],
)
def test_a_wrong_question_is_explained_and_not_recorded(
    url: str, message: str, carol: User, sign_in: SignIn
) -> None:
    response = sign_in(carol).get(url)
    assert response.status_code == 400
    assert message in response.content.decode()
    assert not AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).exists()


@pytest.mark.usefixtures("alices_grant")
def test_every_question_is_recorded_with_whom_it_concerns(
    wiki: Application, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    browser.get(f"{WHO}?application={wiki.pk}&at=2026-05-03")
    browser.get(f"{WHAT}?person=Alice&at=2026-05-03&format=csv")
    browser.get(f"{CHANGES}?since=2026-05-03&until=2026-05-04")
    rows = AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).order_by("pk")
    assert [row.details for row in rows] == [
        {"question": "who", "at": "2026-05-03T00:00:00Z"},
        {"question": "what", "at": "2026-05-03T00:00:00Z", "format": "csv"},
        {
            "question": "changes",
            "since": "2026-05-03T00:00:00Z",
            "until": "2026-05-04T00:00:00Z",
        },
    ]
    assert [(row.application_label, row.person_label) for row in rows] == [
        ("wiki", ""),
        ("", "Alice"),
        ("", ""),
    ]


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_csv_holds_the_rows_and_no_formula(
    alice: User, wiki: Application, carol: User, sign_in: SignIn
) -> None:
    User.objects.filter(pk=alice.pk).update(name="=cmd()")
    response = sign_in(carol).get(f"{WHO}?application={wiki.pk}&format=csv")
    assert response["Content-Type"].startswith("text/csv")
    assert response["Cache-Control"] == "no-store"
    [row] = csv.DictReader(io.StringIO(response.content.decode()))
    assert (row["person"], row["devices"], row["grants"], row["expires_at"]) == (
        "'=cmd()",
        "laptop",
        "'=cmd() → wiki",
        "",
    )


@pytest.mark.usefixtures("morning")
def test_changes_can_be_taken_as_csv(carol: User, sign_in: SignIn) -> None:
    url = f"{CHANGES}?since={ago(hours=3)}&format=csv&q=alice"
    body = sign_in(carol).get(url).content.decode()
    [row] = csv.DictReader(io.StringIO(body))
    assert (row["kind"], row["person"], row["application"]) == (
        "gained",
        "Alice",
        "wiki",
    )


def test_a_long_answer_comes_in_pages(
    wiki: Application, make_user: MakeUser, carol: User, sign_in: SignIn
) -> None:
    for number in range(51):
        make_grant(wiki, user=make_user(f"p{number}"))
    browser = sign_in(carol)
    first = browser.get(f"{WHO}?application={wiki.pk}").content.decode()
    assert (first.count('data-label="Until"'), "Page 1 of 2" in first) == (50, True)
    second = browser.get(f"{WHO}?application={wiki.pk}&page=2").content.decode()
    assert second.count('data-label="Until"') == 1


@pytest.mark.parametrize("extra", [0, 5])
@pytest.mark.usefixtures("alices_grant", "laptop")
def test_the_page_costs_the_same_for_many(
    extra: int,
    wiki: Application,
    carol: User,
    make_user: MakeUser,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(extra):
        make_grant(wiki, user=make_user(f"p{number}"))
    browser = sign_in(carol)
    with django_assert_num_queries(14):
        browser.get(f"{WHO}?application={wiki.pk}")

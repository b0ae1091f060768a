"""Access requests: asked on a page, seen by those concerned, answered once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from audit.models import AuditEvent
from policies.models import AccessRequest, Application, Grant
from portal.accounts.models import Group, User
from tests.conftest import MakeUser, SignIn
from tests.policies.makers import make_grant
from tests.policies.requests import (
    DAY,
    HOUR,
    approve,
    ask,
    group_of,
    open_for_requests,
    refuse,
)
from tests.portal.console.confirming import confirm

pytestmark = pytest.mark.django_db
ANSWERS = {"approve_request": {"note": ""}, "refuse_request": {"note": "no"}}


@pytest.fixture
def vault(wiki: Application, bob: User) -> Application:
    """Bob answers for an application that people may ask for."""
    return open_for_requests(wiki, owner=bob)


@pytest.fixture
def asked(vault: Application, alice: User, clock: datetime) -> AccessRequest:
    """Alice waits for it."""
    return ask(vault, alice, duration=3 * DAY, now=clock - HOUR)


def asking(**changed: object) -> dict[str, Any]:
    return {"reason": "on call", "count": 2, "unit": "days", **changed}


def address(name: str, request: AccessRequest) -> str:
    return reverse(f"console:{name}", args=(request.pk,))


def test_people_choose_from_what_is_given_on_request(
    vault: Application, alice: User, wiki: Application, sign_in: SignIn
) -> None:
    browser = sign_in(alice)
    assert f"/requests/new/{wiki.pk}/" in browser.get("/requests/new/").content.decode()
    open_for_requests(wiki, is_requestable=False)
    page = browser.get("/requests/new/").content.decode()
    assert "Nothing is given on request" in page
    assert browser.get(f"/requests/new/{wiki.pk}/").status_code == 404


def test_the_choice_says_what_one_has_and_waits_for(
    asked: AccessRequest, vault: Application, alice: User, sign_in: SignIn
) -> None:
    make_grant(vault, user=alice)
    page = sign_in(alice).get("/requests/new/").content.decode()
    assert "can reach it" in page
    assert "waiting for an answer" in page
    assert f"/requests/new/{vault.pk}/" not in page


def test_the_form_says_what_the_bounds_are(
    vault: Application, alice: User, settings: Settings, sign_in: SignIn
) -> None:
    settings.PEERAGE_REQUEST_MAXIMUM_DAYS = 3
    page = sign_in(alice).get(f"/requests/new/{vault.pk}/").content.decode()
    assert "at least 5 minutes, at most 3 days" in page


def test_an_employee_asks_and_sees_the_request(
    vault: Application, alice: User, sign_in: SignIn
) -> None:
    browser = sign_in(alice)
    response = browser.post(f"/requests/new/{vault.pk}/", asking(), follow=True)
    made = AccessRequest.objects.get()
    assert (made.requester, made.duration) == (alice, 2 * DAY)
    page = response.content.decode()
    for expected in ("You asked for wiki", "waiting", "2 days", "on call"):
        assert expected in page
    assert AuditEvent.objects.get(code="RQ001").actor_id == alice.ref.id


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "zero": ({"count": 0}, "greater than or equal to 1"),
    "negative": ({"count": -1}, "greater than or equal to 1"),
    "too short": ({"count": 4, "unit": "minutes"}, "at least 5 minutes"),
    "too long": ({"count": 31}, "at most 30 days"),
    "much too long": ({"count": 99_999}, "at most 30 days"),
    "overflow": ({"count": 2**63}, "less than or equal to 99999"),
    "huge": ({"count": "9" * 5000}, "whole number"),
    "no number": ({"count": "1e3"}, "whole number"),
    "unknown unit": ({"unit": "weeks"}, "not one of the available"),
    "no reason": ({"reason": ""}, "required"),
    "hidden characters": ({"reason": "a\u202eb"}, "U+202E"),
}


@pytest.mark.parametrize(("changed", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_is_refused_with_its_reason(
    changed: dict[str, object],
    says: str,
    vault: Application,
    alice: User,
    sign_in: SignIn,
) -> None:
    url = f"/requests/new/{vault.pk}/"
    page = sign_in(alice).post(url, asking(**changed)).content.decode()
    assert says in page
    assert not AccessRequest.objects.exists()


def test_a_second_request_says_that_one_waits(
    asked: AccessRequest, alice: User, sign_in: SignIn
) -> None:
    url = f"/requests/new/{asked.application_id}/"
    page = sign_in(alice).post(url, asking()).content.decode()
    assert "waiting for an answer about wiki already" in page


@pytest.mark.parametrize(
    ("who", "status"),
    [("alice", 200), ("bob", 200), ("carol", 200), ("dave", 200), ("mallory", 404)],
)
def test_those_concerned_see_a_request(
    who: str, status: int, asked: AccessRequest, cast: dict[str, User], sign_in: SignIn
) -> None:
    assert sign_in(cast[who]).get(address("request", asked)).status_code == status


@pytest.fixture
def cast(
    alice: User, bob: User, carol: User, dave: User, mallory: User
) -> dict[str, User]:
    """Everybody by name."""
    people = (alice, bob, carol, dave, mallory)
    return {user.subject: user for user in people}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(
    ("who", "status"),
    [("alice", 403), ("bob", 302), ("carol", 403), ("dave", 302), ("mallory", 404)],
)
def test_approvers_answer_and_nobody_else(
    name: str,
    who: str,
    status: int,
    asked: AccessRequest,
    cast: dict[str, User],
    sign_in: SignIn,
) -> None:
    browser = sign_in(cast[who])
    response = browser.post(address(name, asked), ANSWERS[name])
    if who == "dave" and name == "approve_request":
        response = confirm(browser, address(name, asked), ANSWERS[name])
    assert response.status_code == status
    asked.refresh_from_db()
    assert asked.is_pending is (status != 302)


def test_the_confirm_page_names_what_is_granted_and_until_when(
    asked: AccessRequest, bob: User, sign_in: SignIn, clock: datetime
) -> None:
    page = sign_in(bob).get(address("approve_request", asked)).content.decode()
    until = f"{clock + 3 * DAY:%Y-%m-%d}"
    for expected in ("Alice", "wiki", "3 days", "10.1.0.0/24 tcp/443", until):
        assert expected in page
    assert not Grant.objects.exists()


def test_the_first_of_two_is_told_that_nothing_is_granted_yet(
    asked: AccessRequest, bob: User, dave: User, sign_in: SignIn
) -> None:
    open_for_requests(asked.application, owner=bob, needs_two_approvals=True)
    url = address("approve_request", asked)
    assert "a second person must approve" in sign_in(bob).get(url).content.decode()
    page = sign_in(bob).post(url, follow=True).content.decode()
    assert "It needs one more approval" in page
    assert "With your approval they reach" in sign_in(dave).get(url).content.decode()


def test_approving_wants_a_recent_proof(
    asked: AccessRequest, bob: User, sign_in: SignIn
) -> None:
    browser = sign_in(bob, age=timedelta(hours=2))
    response = browser.post(address("approve_request", asked))
    assert response["Location"].startswith("/accounts/confirm/?next=")
    assert not Grant.objects.exists()


def test_an_approval_shows_until_when(
    asked: AccessRequest, bob: User, alice: User, sign_in: SignIn
) -> None:
    data = {"note": "for the release"}
    page = sign_in(bob).post(address("approve_request", asked), data, follow=True)
    grant = Grant.objects.get()
    assert grant.expires_at is not None
    until = f"{grant.expires_at:%Y-%m-%d %H:%M}"
    assert f"until {until} UTC" in page.content.decode()
    seen = sign_in(alice).get(address("request", asked)).content.decode()
    for expected in ("granted", until, "for the release", "Bob"):
        assert expected in seen


def test_a_request_answered_meanwhile_says_so(
    asked: AccessRequest, bob: User, dave: User, sign_in: SignIn, clock: datetime
) -> None:
    browser = sign_in(bob)
    refuse(asked, dave, now=clock)
    page = browser.post(address("approve_request", asked)).content.decode()
    assert "this request is refused already" in page


def test_a_refusal_wants_a_reason(
    asked: AccessRequest, bob: User, sign_in: SignIn
) -> None:
    page = sign_in(bob).post(address("refuse_request", asked), {"note": ""})
    assert "required" in page.content.decode()
    asked.refresh_from_db()
    assert asked.is_pending


def test_the_requester_takes_a_request_back(
    asked: AccessRequest, alice: User, sign_in: SignIn
) -> None:
    browser, url = sign_in(alice), address("cancel_request", asked)
    assert "wiki" in browser.get(url).content.decode()
    browser.post(url)
    asked.refresh_from_db()
    assert asked.state == "cancelled"
    page = browser.post(url, follow=True).content.decode()
    assert "Nothing was changed: this request is cancelled already" in page


@pytest.mark.parametrize(
    ("who", "status"),
    [("alice", 302), ("bob", 302), ("carol", 403), ("dave", 302), ("mallory", 404)],
)
def test_who_may_approve_may_end_early(
    who: str,
    status: int,
    asked: AccessRequest,
    cast: dict[str, User],
    sign_in: SignIn,
    clock: datetime,
) -> None:
    approve(asked, cast["bob"], now=clock)
    browser, url = sign_in(cast[who]), address("end_request", asked)
    response = confirm(browser, url) if who == "dave" else browser.post(url)
    assert response.status_code == status
    assert (Grant.objects.get().ended_at is not None) is (status == 302)


def test_the_page_that_ends_names_what_is_cut_and_leaves_what_is_over(
    asked: AccessRequest, bob: User, sign_in: SignIn, clock: datetime
) -> None:
    browser, url = sign_in(bob), address("end_request", asked)
    assert browser.get(url)["Location"] == address("request", asked)
    approve(asked, bob, now=clock)
    page = browser.get(url).content.decode()
    for expected in ("Alice", "wiki", "10.1.0.0/24 tcp/443"):
        assert expected in page


def test_the_inbox_holds_what_waits_for_oneself(
    asked: AccessRequest, cast: dict[str, User], sign_in: SignIn
) -> None:
    link = address("approve_request", asked)
    found = {
        name: link in sign_in(user).get("/requests/inbox/").content.decode()
        for name, user in cast.items()
    }
    assert [name for name, is_there in found.items() if is_there] == ["bob", "dave"]


def test_what_one_has_approved_leaves_the_inbox(
    asked: AccessRequest, bob: User, sign_in: SignIn, clock: datetime
) -> None:
    open_for_requests(asked.application, owner=bob, needs_two_approvals=True)
    approve(asked, bob, now=clock)
    page = sign_in(bob).get("/requests/inbox/").content.decode()
    assert "Nothing waits for you" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", True),
        ("state=pending", True),
        ("state=approved", False),
        ("q=alice", True),
        ("q=call", True),
        ("q=bob", False),
        ("application={pk}", True),
        ("application=0", True),
        ("state=nonsense&page=x", True),
    ],
)
def test_readers_filter_all_requests(
    query: str, found: bool, asked: AccessRequest, carol: User, sign_in: SignIn
) -> None:
    url = f"/manage/requests/?{query.format(pk=asked.application_id)}"
    page = sign_in(carol).get(url).content.decode()
    assert (address("request", asked) in page) is found


def test_administrators_say_who_answers(
    wiki: Application, dave: User, bob: User, sign_in: SignIn
) -> None:
    group = group_of(bob)
    url = reverse("console:edit_request_rules", args=(wiki.pk,))
    data = {"is_requestable": "on", "person": "Bob", "approver_group": group.pk}
    assert sign_in(dave).post(url, data).status_code == 302
    wiki.refresh_from_db()
    assert (wiki.is_requestable, wiki.needs_two_approvals) == (True, False)
    assert (wiki.owner, wiki.approver_group) == (bob, group)
    page = sign_in(dave).get(url).content.decode()
    assert f'value="{bob.ref.id}"' in page


@pytest.mark.parametrize(
    ("name", "says"), [("Carol", "auditor"), ("Nobody", "Nobody is called")]
)
def test_an_owner_who_cannot_answer_is_refused(
    name: str,
    says: str,
    wiki: Application,
    carol: User,
    dave: User,
    sign_in: SignIn,
) -> None:
    url = reverse("console:edit_request_rules", args=(wiki.pk,))
    page = sign_in(dave).post(url, {"person": name}).content.decode()
    assert says in page
    wiki.refresh_from_db()
    assert wiki.owner is None


LISTS = {
    "/requests/": ("erin", 6),
    "/requests/inbox/": ("bob", 4),
    "/requests/new/": ("erin", 4),
    "/manage/requests/": ("carol", 5),
}


@pytest.mark.parametrize("url", LISTS)
def test_lists_cost_the_same_for_many(
    url: str,
    vault: Application,
    bob: User,
    carol: User,
    make_user: MakeUser,
    clock: datetime,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    erin = make_user("erin")
    for number in range(4):
        refuse(ask(vault, erin, now=clock), bob, now=clock)
        ask(vault, make_user(f"p{number}"), now=clock)
    name, queries = LISTS[url]
    browser = sign_in({"erin": erin, "bob": bob, "carol": carol}[name])
    with django_assert_num_queries(queries):
        browser.get(url)


def test_a_group_that_approves_is_shown_to_readers(
    vault: Application, alice: User, carol: User, sign_in: SignIn
) -> None:
    group = Group.objects.get(users=alice)
    open_for_requests(vault, approver_group=group, needs_two_approvals=True)
    url = reverse("console:application", args=(vault.pk,))
    page = sign_in(carol).get(url).content.decode()
    assert "two people must approve" in page
    assert "engineering" in page

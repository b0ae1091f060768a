"""Grants: to a person or a group, for a time, ended on purpose."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from audit.events import EventCode
from audit.models import AuditEvent
from policies.models import Application, Grant
from portal.accounts.models import Group, User
from tests.conftest import MakeUser, SignIn
from tests.policies.makers import make_grant
from tests.portal.console.confirming import confirm

pytestmark = pytest.mark.django_db
ADD = "/manage/grants/add/"


def granting(wiki: Application, **changed: object) -> dict[str, Any]:
    return {"person": "", "group": "", "application": wiki.pk, **changed}


@pytest.mark.parametrize("typed", ["Alice", "alice@example.test", "Alice (us_{pk})"])
def test_a_person_is_found_by_name_address_or_id(
    typed: str, alice: User, wiki: Application, dave: User, sign_in: SignIn
) -> None:
    person = typed.format(pk=alice.pk)
    response = confirm(sign_in(dave), ADD, granting(wiki, person=person))
    assert response["Location"] == "/manage/grants/"
    assert Grant.objects.get().user == alice
    assert AuditEvent.objects.get(code=EventCode.GRANT_CREATE).actor_label == "Dave"


def test_a_group_is_granted_until_a_moment_in_utc(
    bob: User, wiki: Application, dave: User, clock: datetime, sign_in: SignIn
) -> None:
    group = Group.objects.get(users=bob)
    ends = (clock + timedelta(days=2)).replace(second=0, microsecond=0)
    data = granting(wiki, group=group.pk, expires_at=f"{ends:%Y-%m-%dT%H:%M}")
    confirm(sign_in(dave), ADD, data)
    made = Grant.objects.get()
    assert (made.group, made.user, made.expires_at) == (group, None, ends)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, "one person or one group"),
        ({"person": "Nobody"}, "Nobody is called"),
        ({"person": "Twin"}, "more than one person"),
        ({"person": "us_999999"}, "Nobody is called"),
        ({"person": "Alice", "group": "any"}, "one person or one group"),
        ({"person": "Alice", "expires_at": "2020-01-01T00:00"}, "is past"),
        ({"person": "Alice", "reason": "x" * 300}, "at most 255"),
        ({"person": "Alice", "application": "99999"}, "not one of the available"),
    ],
)
def test_a_wrong_grant_is_refused_and_nothing_changes(
    changed: dict[str, str],
    says: str,
    alice: User,
    wiki: Application,
    dave: User,
    make_user: MakeUser,
    sign_in: SignIn,
) -> None:
    make_user("twin")
    User.objects.filter(pk=make_user("other").pk).update(name="Twin")
    if changed.get("group"):
        changed = {**changed, "group": str(Group.objects.get(users=alice).pk)}
    page = sign_in(dave).post(ADD, granting(wiki, **changed)).content.decode()
    assert says in page
    assert not Grant.objects.exists()


def test_a_disabled_person_is_not_found(
    alice: User, wiki: Application, dave: User, sign_in: SignIn
) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    page = sign_in(dave).post(ADD, granting(wiki, person="Alice")).content.decode()
    assert "Nobody is called" in page


def test_links_fill_the_form(
    alice: User, wiki: Application, dave: User, sign_in: SignIn
) -> None:
    url = f"{ADD}?person={alice.ref.id}&application={wiki.pk}"
    page = sign_in(dave).get(url).content.decode()
    assert f'value="{alice.ref.id}"' in page
    assert f'<option value="{wiki.pk}" selected>' in page


def test_the_confirm_page_names_who_loses_what(
    alices_grant: Grant, dave: User, sign_in: SignIn
) -> None:
    url = reverse("console:end_grant", args=(alices_grant.pk,))
    page = sign_in(dave).get(url).content.decode()
    for expected in ("Alice", "wiki", "10.1.0.0/24 tcp/443"):
        assert expected in page
    alices_grant.refresh_from_db()
    assert alices_grant.ended_at is None


def test_ending_is_recorded_and_done_once(
    alices_grant: Grant, dave: User, sign_in: SignIn
) -> None:
    url = reverse("console:end_grant", args=(alices_grant.pk,))
    browser = sign_in(dave)
    assert confirm(browser, url)["Location"] == "/manage/grants/"
    alices_grant.refresh_from_db()
    ended_at = alices_grant.ended_at
    assert ended_at is not None
    browser.post(url)
    alices_grant.refresh_from_db()
    assert alices_grant.ended_at == ended_at
    assert AuditEvent.objects.filter(code=EventCode.GRANT_END).count() == 1


@pytest.mark.parametrize(
    ("state", "found"), [("", False), ("ended", True), ("all", True)]
)
def test_the_list_shows_live_grants_unless_asked_for_more(
    state: str,
    found: bool,
    alices_grant: Grant,
    carol: User,
    clock: datetime,
    sign_in: SignIn,
) -> None:
    Grant.objects.filter(pk=alices_grant.pk).update(ended_at=clock)
    page = sign_in(carol).get(f"/manage/grants/?state={state}").content.decode()
    assert (f"/manage/users/{alices_grant.user_id}/" in page) is found


def test_the_list_costs_the_same_for_many(
    alice: User,
    wiki: Application,
    carol: User,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(5):
        make_grant(wiki, user=alice)
    browser = sign_in(carol)
    with django_assert_num_queries(6):
        browser.get("/manage/grants/")

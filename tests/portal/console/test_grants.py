"""Grants: to a person or a group, for a time, ended on purpose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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


def conditional(wiki: Application, **changed: object) -> dict[str, Any]:
    return granting(
        wiki,
        person="Alice",
        time_zone="Europe/Berlin",
        hours="mon-fri 08:00-18:00\nsat 09:00-12:00",
        max_auth_age="8",
        amr="mfa, pwd",
        acr="gold",
        needs_approved_device="on",
        **changed,
    )


SAID = (
    "Mondays to Fridays 08:00–18:00, Saturdays 09:00–12:00 Europe/Berlin;"
    " sign-in not older than 8 hours; approved device;"
    " strong sign-in mfa and pwd, of class gold"
)


def test_conditions_are_granted_and_said_wherever_the_grant_is(
    alice: User, wiki: Application, dave: User, sign_in: SignIn
) -> None:
    confirm(sign_in(dave), ADD, conditional(wiki))
    made = Grant.objects.get()
    assert (made.max_auth_age_seconds, made.needs_approved_device) == (28_800, True)
    for who, url in (
        (dave, "/manage/grants/"),
        (dave, f"/manage/users/{alice.pk}/"),
        (dave, f"/manage/applications/{wiki.pk}/"),
        (alice, "/access/"),
    ):
        assert SAID in sign_in(who).get(url).content.decode()


def test_the_end_is_on_the_clocks_of_the_zone(
    alice: User, wiki: Application, dave: User, sign_in: SignIn
) -> None:
    year = datetime.now(UTC).year + 1  # noqa: TID251 -- a test's edge
    data = granting(
        wiki,
        person=alice.ref.id,
        time_zone="Europe/Berlin",
        expires_at=f"{year}-07-01T12:00",
    )
    confirm(sign_in(dave), ADD, data)
    made = Grant.objects.get()
    assert made.expires_at == datetime(year, 7, 1, 10, tzinfo=UTC)
    assert made.time_zone == ""


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"hours": "mon-fri 8-18", "time_zone": "UTC"}, "is not a time of day"),
        ({"hours": "mon 08:00-18:00\nmoon 1"}, "Line 2: &#x27;moon 1&#x27; is not"),
        ({"hours": "mon 18:00-08:00", "time_zone": "UTC"}, "are empty"),
        ({"hours": "mon 08:00-18:00"}, "hours need a time zone"),
        ({"hours": "mon 08:00-18:00", "time_zone": "Mars/Base"}, "is not the name"),
        (
            {"expires_at": "2027-03-28T02:30", "time_zone": "Europe/Berlin"},
            "02:30 on 2027-03-28 never comes in Europe/Berlin",
        ),
        ({"expires_at": "2027-03-28T12:00", "time_zone": "Mars/Base"}, "is not the"),
        ({"max_auth_age": "0"}, "0 seconds are no age"),
        ({"max_auth_age": "9999"}, "are no age from 60"),
        ({"max_auth_age": "nan"}, "Enter a number"),
        ({"amr": "m" * 65}, "is not a method or class"),
    ],
)
def test_a_condition_that_is_wrong_comes_back_with_a_reason(
    changed: dict[str, str],
    says: str,
    alice: User,
    wiki: Application,
    dave: User,
    sign_in: SignIn,
) -> None:
    data = granting(wiki, person=alice.ref.id, **changed)
    assert says in sign_in(dave).post(ADD, data).content.decode()
    assert not Grant.objects.exists()

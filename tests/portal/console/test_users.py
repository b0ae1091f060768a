"""People: the list, one person, the end of their access and its return."""

from __future__ import annotations

import pytest
from allauth.usersessions.models import UserSession
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import Device, Gateway
from policies.models import Grant, Revocation
from portal.accounts.models import User
from tests.conftest import MakeUser, SignIn

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", True),
        ("q=ali", True),
        ("q=alice@example", True),
        ("q=engineer", True),
        ("q=zzz", False),
        ("state=active", True),
        ("state=disabled", False),
    ],
)
def test_readers_search_people(
    query: str, found: bool, alice: User, carol: User, sign_in: SignIn
) -> None:
    page = sign_in(carol).get(f"/manage/users/?{query}").content.decode()
    assert (f"/manage/users/{alice.pk}/" in page) is found


def test_the_list_counts_live_devices_only(
    alice: User, laptop: Device, carol: User, sign_in: SignIn
) -> None:
    page = sign_in(carol).get("/manage/users/?q=alice").content.decode()
    assert '<td data-label="Devices" class="number">1</td>' in page


def test_the_list_costs_the_same_for_many_people(
    carol: User,
    make_user: MakeUser,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(60):
        make_user(f"person{number}", groups="a b")
    browser = sign_in(carol)
    with django_assert_num_queries(5):
        page = browser.get("/manage/users/").content.decode()
    assert "Page 1 of 2" in page


def test_a_person_is_shown_with_groups_devices_and_grants(
    alice: User, laptop: Device, alices_grant: Grant, carol: User, sign_in: SignIn
) -> None:
    page = sign_in(carol).get(f"/manage/users/{alice.pk}/").content.decode()
    for expected in ("engineering", "laptop", "wiki", alice.issuer, "Not signed in"):
        assert expected in page
    assert "Revoke everywhere" not in page


def test_looking_at_a_persons_connections_is_recorded(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    sign_in(carol).get(f"/manage/users/{alice.pk}/")
    event = AuditEvent.objects.get(code=EventCode.AUDIT_QUERY)
    assert event.actor_label == "Carol"
    assert event.details["filter"] == {"person": alice.ref.id}


def test_the_confirm_page_lists_everything_that_is_lost(
    alice: User, laptop: Device, alices_grant: Grant, dave: User, sign_in: SignIn
) -> None:
    UserSession.objects.create(user=alice, ip="192.0.2.9", session_key="k")
    url = reverse("console:revoke_user", args=(alice.pk,))
    page = sign_in(dave).get(url).content.decode()
    for expected in ("laptop", "wiki", "192.0.2.9", "1 device", "1 session"):
        assert expected in page
    alice.refresh_from_db()
    assert alice.is_active


def test_revoking_cuts_everything_and_leads_to_its_progress(
    alice: User, laptop: Device, gw1: Gateway, dave: User, sign_in: SignIn
) -> None:
    url = reverse("console:revoke_user", args=(alice.pk,))
    response = sign_in(dave).post(url, {"reason": "left"})
    revocation = Revocation.objects.get()
    assert response["Location"] == f"/manage/revocations/{revocation.pk}/"
    alice.refresh_from_db()
    laptop.refresh_from_db()
    assert (alice.is_active, laptop.is_active) == (False, False)
    assert (revocation.reason, revocation.actor_label) == ("left", "Dave")
    assert AuditEvent.objects.filter(code=EventCode.REVOCATION_REQUEST).exists()


def test_revoking_demands_a_reason(alice: User, dave: User, sign_in: SignIn) -> None:
    url = reverse("console:revoke_user", args=(alice.pk,))
    assert "This field is required" in sign_in(dave).post(url).content.decode()
    alice.refresh_from_db()
    assert alice.is_active


def test_the_session_of_a_revoked_person_is_nobodys(
    alice: User, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(alice)
    url = reverse("console:revoke_user", args=(alice.pk,))
    sign_in(dave).post(url, {"reason": "left"})
    assert browser.get("/devices/").status_code == 302


def test_an_administrator_enables_a_person_again(
    alice: User, dave: User, sign_in: SignIn
) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    url = reverse("console:reactivate_user", args=(alice.pk,))
    browser = sign_in(dave)
    assert "enrolled anew" in browser.get(url).content.decode()
    response = browser.post(url, {"reason": "came back"})
    assert response["Location"] == f"/manage/users/{alice.pk}/"
    alice.refresh_from_db()
    assert alice.is_active
    event = AuditEvent.objects.get(code=EventCode.USER_REACTIVATE)
    assert event.reason == "came back"


def test_suggestions_are_options_with_ids_and_nothing_else(
    make_user: MakeUser, carol: User, sign_in: SignIn
) -> None:
    eve = make_user("eve")
    User.objects.filter(pk=eve.pk).update(name='<b>"Eve"</b>')
    page = sign_in(carol).get("/manage/users/suggest/?person=eve").content.decode()
    assert page == (
        f'<option value="&lt;b&gt;&quot;Eve&quot;&lt;/b&gt; ({eve.ref.id})">'
        "eve@example.test</option>"
    )


def test_an_empty_search_suggests_nobody(carol: User, sign_in: SignIn) -> None:
    assert sign_in(carol).get("/manage/users/suggest/?person=").content == b""

"""Signing in through the running identity provider, over real connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client

from audit.models import AuditEvent
from portal.accounts.models import Authentication, Membership, Role, User
from tests.idp.running import Browser

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("single_sign_on")]

Walk = Callable[..., "Response"]
HOUR: Final = timedelta(hours=1)


@pytest.fixture
def window() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def walk(client: Client, window: Browser) -> Walk:
    """Sign somebody in and return the portal's answer at the end."""

    def sign_in(username: str, **form: str) -> Response:
        leaving = client.post("/accounts/sso/login/", form)
        assert leaving.status_code == 302, leaving.content
        back = urlsplit(window.answer(leaving["Location"], username))
        return client.get(f"{back.path}?{back.query}")

    return sign_in


def test_first_sign_in_provisions_the_person_with_groups(walk: Walk, idp: str) -> None:
    response = walk("alice")
    assert (response.status_code, response["Location"]) == (302, "/")
    alice = User.objects.get_by_identity(issuer=idp, subject="alice")
    assert (alice.name, alice.email) == ("Alice Archer", "alice@example.test")
    assert [group.name for group in alice.groups.all()] == ["engineering"]
    assert alice.role == Role.EMPLOYEE


@pytest.mark.parametrize(
    ("username", "role"), [("carol", Role.AUDITOR), ("dave", Role.ADMINISTRATOR)]
)
def test_role_comes_from_the_groups(walk: Walk, username: str, role: Role) -> None:
    walk(username)
    assert User.objects.get(subject=username).role == role


def test_sign_in_is_recorded_with_its_proof(walk: Walk) -> None:
    walk("alice")
    alice = User.objects.get()
    event = AuditEvent.objects.get(code="ID001")
    assert (event.person_id, event.actor_id, event.outcome) == (
        alice.ref.id,
        alice.ref.id,
        "I",
    )
    assert event.details["amr"] == ["pwd"]
    assert event.details["auth_time"] > 0


def test_session_remembers_the_proof(walk: Walk, client: Client) -> None:
    walk("alice")
    assert client.session["sso"]["sub"] == "alice"
    assert isinstance(client.session["sso"]["auth_time"], int)


def test_session_remembers_the_event_of_its_last_sign_in(
    walk: Walk, client: Client
) -> None:
    for fresh in ({}, {"fresh": "1"}):
        walk("alice", **fresh)
        event = AuditEvent.objects.filter(code="ID001").latest("id")
        assert client.session["sign_in"] == str(event.uid)


def test_the_person_keeps_the_proof_and_step_up_renews_it(
    walk: Walk, client: Client
) -> None:
    walk("alice")
    first = Authentication.objects.get()
    assert first.user == User.objects.get()
    assert first.amr
    assert first.proven_at
    Authentication.objects.update(proven_at=first.proven_at - HOUR, amr=["old"])
    walk("alice", fresh="1")
    renewed = Authentication.objects.get()
    assert renewed.proven_at
    assert renewed.proven_at >= first.proven_at
    assert renewed.amr == first.amr


def test_sign_in_leads_back_to_the_page_asked_for(walk: Walk) -> None:
    assert (
        walk("alice", next="/accounts/sessions/")["Location"] == "/accounts/sessions/"
    )


def test_group_lost_at_the_provider_is_lost_here(walk: Walk, idp: str) -> None:
    walk("alice")
    alice = User.objects.get()
    Membership.objects.all().delete()
    walk("alice")
    assert list(alice.groups.values_list("issuer", "name")) == [(idp, "engineering")]


def test_deactivated_person_gets_no_session(walk: Walk, client: Client) -> None:
    walk("alice")
    client.post("/accounts/logout/")
    User.objects.update(is_active=False)
    response = walk("alice")
    assert response.status_code == 401
    assert "disabled" in response.content.decode()
    assert "_auth_user_id" not in client.session
    refused = AuditEvent.objects.filter(code="ID001", outcome="W").get()
    assert refused.person_id == User.objects.get().ref.id


def test_step_up_asks_the_provider_for_a_fresh_proof(
    walk: Walk, client: Client
) -> None:
    walk("alice")
    leaving = client.post("/accounts/sso/login/", {"fresh": "1"})
    query = parse_qs(urlsplit(leaving["Location"]).query)
    assert (query["prompt"], query["max_age"]) == (["login"], ["0"])
    response = walk("alice", fresh="1", next="/accounts/sessions/")
    assert response["Location"] == "/accounts/sessions/"
    assert AuditEvent.objects.filter(code="ID002").count() == 0


def test_ending_ones_other_sessions_is_recorded(walk: Walk, client: Client) -> None:
    walk("alice")
    UserSession.objects.create(
        user=User.objects.get(), ip="192.0.2.1", session_key="phone", user_agent="x"
    )
    client.post("/accounts/sessions/")
    event = AuditEvent.objects.get(code="ID002")
    assert event.details == {"sessions": 1}
    assert client.get("/accounts/sessions/").status_code == 200
    assert UserSession.objects.get().session_key == client.session.session_key


def test_every_sign_in_has_its_own_nonce_and_challenge(client: Client) -> None:
    queries = [
        parse_qs(urlsplit(client.post("/accounts/sso/login/")["Location"]).query)
        for _ in range(2)
    ]
    for name in ("nonce", "state", "code_challenge"):
        assert queries[0][name] != queries[1][name]
    assert queries[0]["code_challenge_method"] == ["S256"]


def test_nothing_in_the_request_reaches_the_provider(client: Client) -> None:
    leaving = client.post(
        "/accounts/sso/login/?scope=admin&auth_params=prompt%3Dnone&process=connect",
        {"scope": "admin", "auth_params": "prompt=none", "process": "connect"},
    )
    query = parse_qs(urlsplit(leaving["Location"]).query)
    assert set(query["scope"][0].split()) == {"openid", "profile", "email", "groups"}
    assert "prompt" not in query


def test_link_cannot_start_a_sign_in(client: Client) -> None:
    response = client.get("/accounts/sso/login/?next=/accounts/sessions/")
    assert response["Location"].startswith("/accounts/login/?next=")


def test_replayed_callback_is_refused_and_recorded(
    client: Client, window: Browser
) -> None:
    leaving = client.post("/accounts/sso/login/")
    back = urlsplit(window.answer(leaving["Location"], "alice"))
    client.get(f"{back.path}?{back.query}")
    again = client.get(f"{back.path}?{back.query}")
    assert again.status_code == 401
    assert AuditEvent.objects.filter(code="ID001", outcome="W").count() == 1


def test_another_browser_cannot_finish_a_sign_in(
    client: Client, window: Browser
) -> None:
    leaving = client.post("/accounts/sso/login/")
    back = urlsplit(window.answer(leaving["Location"], "alice"))
    stranger = Client()
    assert stranger.get(f"{back.path}?{back.query}").status_code == 401
    assert User.objects.count() == 0

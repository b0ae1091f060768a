"""The token endpoint: client credentials, as published clients ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from django.core.cache import cache
from django.test import Client

from audit.actor import Actor
from audit.events import EventCode
from audit.models import AuditEvent, RefusalCount
from portal.accounts import credentials
from portal.accounts.api.oauth import LONGEST_FORM, TRIES_PER_MINUTE
from portal.accounts.models import ApiCredential, ApiToken, CredentialKind, Scope, User
from tests.portal.credentials import MakeKey, basic, make_key

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

__all__ = ["make_key"]
pytestmark = pytest.mark.django_db
TOKEN = "/api/v2/oauth/token"
GRANT = {"grant_type": "client_credentials"}
Made = tuple[ApiCredential, str]


@pytest.fixture(autouse=True)
def calm() -> None:
    """Begin with no tries counted."""
    cache.clear()


@pytest.fixture
def made(dave: User, make_key: MakeKey) -> Made:
    """Dave's OAuth client."""
    return make_key(dave, kind=CredentialKind.OAUTH_CLIENT)


def ask(form: dict[str, str], *, authorization: str = "", **extra: str) -> Answer:
    """Ask for a token as a form."""
    return Client().post(
        TOKEN,
        urlencode(form),
        content_type="application/x-www-form-urlencoded",
        headers={"Authorization": authorization, **extra},
    )


def in_form(made: Made, **more: str) -> dict[str, str]:
    client, secret = made
    return {"client_id": client.ref.id, "client_secret": secret, **more}


def test_a_client_gets_a_token_as_go_asks_for_it(made: Made) -> None:
    client, secret = made
    answer = ask(
        GRANT,
        authorization=basic(client.ref.id, secret),
    )
    told = answer.json()
    assert answer.status_code == 200, told
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 3600)
    assert told["scope"] == "policy:read policy:write"
    assert "no-store" in answer["Cache-Control"]
    assert answer["Content-Type"] == "application/json"
    now = ApiToken.objects.get().created_at
    assert credentials.caller_of(told["access_token"], now=now) is not None


def test_the_secret_may_stand_in_the_form_and_the_grant_be_left_out(made: Made) -> None:
    assert ask(in_form(made)).json()["token_type"] == "Bearer"


def test_a_token_may_be_narrower_never_wider(dave: User, make_key: MakeKey) -> None:
    kind = CredentialKind.OAUTH_CLIENT
    both = make_key(dave, kind=kind)
    narrow = make_key(dave, Scope.POLICY_READ, kind=kind)
    assert ask(in_form(both, scope="policy:read")).json()["scope"] == "policy:read"
    for scope in ("policy:write", "policy:read policy:write", "all"):
        answer = ask(in_form(narrow, scope=scope))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


def test_a_token_is_an_event_of_its_client(made: Made) -> None:
    client, _ = made
    ask(in_form(made))
    event = AuditEvent.objects.filter(code=EventCode.API_TOKEN_CREATE).latest("pk")
    assert (event.actor_kind, event.actor_id) == ("credential", client.ref.id)
    assert event.details["kind"] == "access_token"
    client.refresh_from_db()
    assert client.last_used_at is not None


def test_a_wrong_secret_gets_nothing_and_is_recorded(made: Made) -> None:
    client, secret = made
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for form, authorization in (
        (GRANT, ""),
        (GRANT, "Basic !!!"),
        (GRANT, basic(client.ref.id, wrong)),
        (GRANT, basic("ac_999", secret)),
        (GRANT, basic("", secret)),
        ({"client_secret": secret}, ""),
        ({"client_id": client.ref.id, "client_secret": wrong}, ""),
        ({"client_id": "ac_999", "client_secret": secret}, ""),
    ):
        answer = ask(form, authorization=authorization)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert not ApiToken.objects.exists()
    refused = AuditEvent.objects.filter(code=EventCode.API_TOKEN_CREATE, outcome="W")
    assert refused.count() == 8


def test_an_api_key_gets_no_token(dave: User, make_key: MakeKey) -> None:
    assert ask(in_form(make_key(dave))).status_code == 401


def test_a_revoked_client_gets_no_token(made: Made, actor: Actor) -> None:
    client, _ = made
    credentials.revoke_credential(
        credential=client, reason="", actor=actor, now=client.created_at
    )
    assert ask(in_form(made)).status_code == 401


def test_no_other_grant_is_given(made: Made) -> None:
    for grant in ("password", "authorization_code", "refresh_token", ""):
        answer = ask(in_form(made, grant_type=grant))
        assert answer.status_code in {400, 401}
        assert "access_token" not in answer.json()
    assert not ApiToken.objects.exists()


def test_what_stands_twice_or_in_the_address_is_refused(made: Made) -> None:
    client, secret = made
    body = urlencode([("client_id", client.ref.id), *[("client_secret", secret)] * 2])
    answer = Client().post(
        TOKEN, body, content_type="application/x-www-form-urlencoded"
    )
    assert answer.json()["error"] == "invalid_request"
    answer = Client().post(
        f"{TOKEN}?{urlencode(in_form(made))}",
        "",
        content_type="application/x-www-form-urlencoded",
    )
    assert answer.json()["error"] == "invalid_request"


def test_only_forms_of_a_sane_size_are_read(made: Made) -> None:
    answer = Client().post(TOKEN, in_form(made), content_type="application/json")
    assert answer.status_code == 400
    long = ask(in_form(made, scope="x" * LONGEST_FORM))
    assert (long.status_code, long.json()["error"]) == (413, "invalid_request")


def test_other_methods_are_refused() -> None:
    assert Client().get(TOKEN).status_code == 405


def test_whoever_tries_too_often_waits(made: Made) -> None:
    for _ in range(TRIES_PER_MINUTE):
        assert ask(GRANT).status_code == 401
    answer = ask(in_form(made))
    assert (answer.status_code, answer.json()) == (429, {"error": "slow_down"})
    code = EventCode.API_TOKEN_CREATE.value
    assert RefusalCount.objects.filter(code=code, suppressed__gt=0).exists()


def test_a_machines_token_opens_nothing_of_a_persons(made: Made) -> None:
    token = ask(in_form(made)).json()["access_token"]
    answer = Client(headers={"Authorization": f"Bearer {token}"}).get("/api/v1/me/")
    assert answer.status_code == 401

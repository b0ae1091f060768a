"""How the API knows people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from allauth.idp.oidc.adapter import get_adapter
from allauth.idp.oidc.models import Client as OidcClient
from allauth.idp.oidc.models import Token
from django.test import Client

from audit.actor import Actor
from portal.accounts import services
from portal.accounts.models import User
from tests.conftest import NOW, SignIn

pytestmark = pytest.mark.django_db


def issue(user: User, *, scope: str = "devices", minutes: int = 5) -> dict[str, str]:
    """Hand out a token and return the header that carries it."""
    text = f"token-of-{user.subject}-{scope}"
    moment = datetime.now(UTC)  # noqa: TID251 -- the library reads the clock too
    token = Token(
        type=Token.Type.ACCESS_TOKEN,
        hash=get_adapter().hash_token(text),
        client=OidcClient.objects.get(id="peerage-cli"),
        user=user,
        expires_at=moment + timedelta(minutes=minutes),
    )
    token.set_scopes([scope])
    token.save()
    return {"Authorization": f"Bearer {text}"}


def test_token_with_the_scope_opens_the_api(alice: User, client: Client) -> None:
    response = client.get("/api/v1/me/", headers=issue(alice))
    assert (response.status_code, response.json()["id"]) == (200, alice.pk)


def test_session_opens_the_api(alice: User, sign_in: SignIn) -> None:
    assert sign_in(alice).get("/api/v1/me/").status_code == 200


def test_anonymous_is_told_which_proof_is_missing(client: Client) -> None:
    response = client.get("/api/v1/me/")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="peerage"'


def test_token_without_the_scope_is_forbidden(alice: User, client: Client) -> None:
    headers = issue(alice, scope="openid")
    assert client.get("/api/v1/me/", headers=headers).status_code == 403


@pytest.mark.parametrize("value", ["Bearer unknown", "Bearer", "bearer \u00e9"])
def test_unknown_token_is_401_even_with_a_session(
    alice: User, sign_in: SignIn, value: str
) -> None:
    response = sign_in(alice).get("/api/v1/me/", headers={"Authorization": value})
    assert response.status_code == 401


def test_expired_token_is_401(alice: User, client: Client) -> None:
    headers = issue(alice, minutes=-1)
    assert client.get("/api/v1/me/", headers=headers).status_code == 401


def test_token_of_a_disabled_person_is_401(
    alice: User, client: Client, actor: Actor
) -> None:
    headers = issue(alice)
    services.deactivate_user(user=alice, reason="left", actor=actor, now=NOW)
    assert client.get("/api/v1/me/", headers=headers).status_code == 401


def test_revoked_token_is_401(alice: User, client: Client) -> None:
    headers = issue(alice)
    services.revoke_tokens(users=[alice], now=NOW)
    assert client.get("/api/v1/me/", headers=headers).status_code == 401


def test_session_cannot_change_anything_without_a_csrf_token(
    alice: User, sign_in: SignIn
) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = sign_in(alice).cookies
    assert browser.post("/api/v1/challenges/").status_code == 403


def test_token_in_the_address_is_no_token(alice: User, client: Client) -> None:
    text = issue(alice)["Authorization"].partition(" ")[2]
    assert client.get("/api/v1/me/", {"access_token": text}).status_code == 401

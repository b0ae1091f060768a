"""Which answers of an identity provider are believed, over real connections."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from jwt.algorithms import RSAAlgorithm
from pytest_django import Settings

from audit.models import AuditEvent
from portal.accounts.models import User
from portal.accounts.sso.adapter import check_configuration
from portal.accounts.sso.errors import SignInError
from tests.portal.accounts.sso.test_tokens import claims

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

ISSUER = "https://idp.example.test"
GOOD = {
    "issuer": ISSUER,
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
    "userinfo_endpoint": f"{ISSUER}/userinfo",
}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_good_configuration_is_accepted() -> None:
    check_configuration(GOOD, issuer=ISSUER, extra_hosts=[])


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example.test"},
        {"issuer": None},
        {"jwks_uri": "https://evil.example.test/jwks"},
        {"jwks_uri": "http://idp.example.test/jwks"},
        {"jwks_uri": "https://idp.example.test:8443/jwks"},
        {"jwks_uri": None},
        {"token_endpoint": "https://idp.example.test.evil.test/token"},
        {"userinfo_endpoint": "https://idp.example.test@evil.test/userinfo"},
    ],
    ids=str,
)
def test_configuration_that_leads_elsewhere_is_refused(
    changes: dict[str, str | None],
) -> None:
    with pytest.raises(SignInError):
        check_configuration(GOOD | changes, issuer=ISSUER, extra_hosts=[])


def test_host_named_in_the_settings_is_accepted() -> None:
    found = GOOD | {"jwks_uri": "https://keys.example.test/jwks"}
    check_configuration(found, issuer=ISSUER, extra_hosts=["keys.example.test"])


def test_named_host_is_accepted_by_https_only() -> None:
    found = GOOD | {"jwks_uri": "http://keys.example.test/jwks"}
    with pytest.raises(SignInError):
        check_configuration(found, issuer=ISSUER, extra_hosts=["keys.example.test"])


class RogueProvider(ThreadingHTTPServer):
    """A provider that answers as each test wants; small, but a real server."""

    def __init__(self) -> None:
        """Listen on a free loopback port."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {"sub": "alice"}
        self.configuration: dict[str, Any] = {}
        self.algorithm = "RS256"
        self.status = 200
        self.asked: list[str] = []

    def answer(self, path: str) -> dict[str, Any] | None:
        """Return what lies at a path."""
        documents = {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
            }
            | self.configuration,
            "/jwks": {
                "keys": [json.loads(RSAAlgorithm.to_jwk(KEY.public_key()))],
            },
            "/userinfo": self.userinfo,
            "/token": {"access_token": "at", "id_token": self._id_token()},
        }
        return documents.get(path)

    def _id_token(self) -> str:
        payload = claims(iss=self.issuer) | self.claims
        key = KEY if self.algorithm == "RS256" else ""
        return jwt.encode(payload, key, algorithm=self.algorithm)


class _Handler(BaseHTTPRequestHandler):
    server: RogueProvider

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = json.dumps(self.server.answer(self.path)).encode()
        self.send_response(self.server.status if self.path == "/token" else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def rogue(settings: Settings) -> Iterator[RogueProvider]:
    with RogueProvider() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        settings.PEERAGE_OIDC_ISSUER = server.issuer
        yield server
        server.shutdown()
        thread.join()


def finish(rogue: RogueProvider, client: Client, extra: str = "") -> Response:
    """Leave for the provider, and come back with whatever it answers."""
    leaving = client.post("/accounts/sso/login/")
    query = parse_qs(urlsplit(leaving["Location"]).query)
    rogue.claims = {"nonce": query["nonce"][0]} | rogue.claims
    state = query["state"][0]
    return client.get(f"/accounts/sso/login/callback/?code=c&state={state}{extra}")


def refused(response: Response, client: Client, reason: str) -> None:
    """Check that nobody was signed in, nobody was made, and it was recorded."""
    assert response.status_code == 401
    assert "_auth_user_id" not in client.session
    assert User.objects.count() == 0
    event = AuditEvent.objects.get()
    assert (event.code, event.outcome) == ("ID001", "W")
    assert reason in event.reason


@pytest.mark.django_db
def test_honest_answer_signs_in(rogue: RogueProvider, client: Client) -> None:
    assert finish(rogue, client).status_code == 302
    assert User.objects.get().subject == "alice"


@pytest.mark.django_db
def test_unsigned_answer_is_refused(rogue: RogueProvider, client: Client) -> None:
    rogue.algorithm = "none"
    refused(finish(rogue, client), client, "algorithm")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nonce": "of another sign-in"}, "nonce"),
        ({"aud": "another client"}, "InvalidAudienceError"),
        ({"iss": "https://evil.example.test"}, "InvalidIssuerError"),
        ({"exp": 1}, "ExpiredSignatureError"),
        ({"name": "Alice\nroot signed in"}, "control characters"),
        ({"groups": 7}, "not a list"),
    ],
    ids=["nonce", "audience", "issuer", "expiry", "name", "groups"],
)
def test_wrong_claim_is_refused(
    rogue: RogueProvider, client: Client, changes: dict[str, Any], reason: str
) -> None:
    rogue.claims = changes
    refused(finish(rogue, client), client, reason)


@pytest.mark.django_db
def test_userinfo_of_somebody_else_is_refused(
    rogue: RogueProvider, client: Client
) -> None:
    rogue.userinfo = {"sub": "dave", "groups": ["peerage-administrators"]}
    refused(finish(rogue, client), client, "somebody else")


@pytest.mark.django_db
def test_signed_groups_beat_those_of_userinfo(
    rogue: RogueProvider, client: Client
) -> None:
    rogue.claims = {"groups": ["sales"]}
    rogue.userinfo = {"sub": "alice", "groups": ["peerage-administrators"]}
    finish(rogue, client)
    assert [group.name for group in User.objects.get().groups.all()] == ["sales"]


@pytest.mark.django_db
def test_answer_of_another_provider_is_refused(
    rogue: RogueProvider, client: Client
) -> None:
    response = finish(rogue, client, "&iss=https://evil.example.test")
    refused(response, client, "another identity provider")


@pytest.mark.django_db
def test_provider_that_claims_another_issuer_is_refused(
    rogue: RogueProvider, client: Client
) -> None:
    rogue.configuration = {"issuer": "https://evil.example.test"}
    response = client.post("/accounts/sso/login/")
    refused(response, client, "another issuer")


@pytest.mark.django_db
def test_error_of_the_provider_is_recorded_by_its_code(
    rogue: RogueProvider, client: Client
) -> None:
    leaving = client.post("/accounts/sso/login/")
    state = parse_qs(urlsplit(leaving["Location"]).query)["state"][0]
    response = client.get(
        f"/accounts/sso/login/callback/?error=server_error&state={state}"
    )
    assert rogue.issuer in leaving["Location"]
    refused(response, client, "server_error")


@pytest.mark.django_db
def test_provider_that_cannot_be_reached_is_recorded(
    client: Client, settings: Settings
) -> None:
    settings.PEERAGE_OIDC_ISSUER = "http://127.0.0.1:9"
    refused(client.post("/accounts/sso/login/"), client, "could not be asked")


@pytest.mark.django_db
@pytest.mark.parametrize("status", [302, 307, 308])
def test_token_endpoint_leads_nobody_elsewhere(
    rogue: RogueProvider, client: Client, status: int
) -> None:
    rogue.status = status
    refused(finish(rogue, client), client, "could not be asked")
    assert "/elsewhere" not in rogue.asked


@pytest.mark.django_db
def test_log_never_quotes_what_the_provider_answered(
    rogue: RogueProvider, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    rogue.status = 418
    assert finish(rogue, client).status_code == 401
    assert "sign-in refused" in caplog.text
    assert '"access_token"' not in caplog.text

"""Letting a command line in: codes, consent, tokens."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from allauth.idp.oidc.models import Client as OidcClient
from allauth.idp.oidc.models import Token
from django.core.cache import cache
from django.test import Client

from audit.actor import Actor
from audit.models import AuditEvent
from portal.accounts import device_grant, services
from portal.accounts.models import User
from portal.accounts.views import CODES_PER_MINUTE
from tests.conftest import NOW, SignIn

pytestmark = pytest.mark.django_db

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
APPROVE = "/identity/o/device"


@pytest.fixture(autouse=True)
def _forget_codes() -> None:
    cache.clear()


def post(client: Client, path: str, **form: str) -> tuple[int, dict[str, str]]:
    """Post a form as OAuth wants it: URL-encoded."""
    kind = "application/x-www-form-urlencoded"
    response = client.post(path, urlencode(form), content_type=kind)
    return response.status_code, response.json()


def ask(client: Client, scope: str = "devices") -> tuple[int, dict[str, str]]:
    """Ask for a code."""
    path = "/identity/o/api/device/code"
    return post(client, path, client_id="peerage-cli", scope=scope)


@dataclass
class Terminal:
    """A command line, as the portal sees it."""

    client: Client
    user_code: str
    device_code: str

    def poll(self, *, patience: float = 1) -> tuple[int, dict[str, str]]:
        """Ask for the token once, as patiently as was demanded."""
        time.sleep(patience)
        return post(
            self.client,
            "/identity/o/api/token",
            grant_type=GRANT,
            client_id="peerage-cli",
            device_code=self.device_code,
        )

    def token(self) -> str:
        """Return the access token of a consent that was given."""
        status, answer = self.poll()
        assert status == 200, answer
        return answer["access_token"]


@pytest.fixture
def terminal() -> Terminal:
    client = Client(REMOTE_ADDR="203.0.113.9")
    _, answer = ask(client)
    assert answer["verification_uri"] == f"http://testserver{APPROVE}"
    return Terminal(client, answer["user_code"], answer["device_code"])


def agree(browser: Client, terminal: Terminal, action: str = "confirm") -> str:
    """Type the code and decide; return the page."""
    form = {"code": terminal.user_code, "action": action}
    return browser.post(APPROVE, form).content.decode()


def test_client_is_public_and_made_for_this_grant_alone() -> None:
    client = OidcClient.objects.get(id="peerage-cli")
    assert client.type == OidcClient.Type.PUBLIC
    assert client.get_grant_types() == [GRANT, "refresh_token"]
    assert client.get_redirect_uris() == []
    assert not client.check_secret("")


def test_consent_gives_a_token_that_opens_the_api(
    alice: User, sign_in: SignIn, terminal: Terminal
) -> None:
    assert "Connected" in agree(sign_in(alice), terminal)
    token = terminal.token()
    me = Client().get("/api/v1/me/", headers={"Authorization": f"Bearer {token}"})
    assert (me.status_code, me.json()["id"]) == (200, alice.pk)


def test_consent_is_recorded_with_who_asked(
    alice: User, sign_in: SignIn, terminal: Terminal
) -> None:
    agree(sign_in(alice), terminal)
    event = AuditEvent.objects.get()
    assert (event.code, event.outcome, event.target_id) == ("ID014", "I", "peerage-cli")
    assert event.person_id == alice.ref.id
    assert event.details["requester_address"] == "203.0.113.9"


def test_page_says_who_asks_for_what_before_consent(
    alice: User, sign_in: SignIn, terminal: Terminal
) -> None:
    page = sign_in(alice).post(APPROVE, {"code": terminal.user_code}).content.decode()
    for text in ("203.0.113.9", "Peerage command line", "enrol your devices"):
        assert text in page
    assert AuditEvent.objects.count() == 0


def test_refusal_reaches_the_terminal_and_the_log(
    alice: User, sign_in: SignIn, terminal: Terminal
) -> None:
    assert "Refused" in agree(sign_in(alice), terminal, "deny")
    assert terminal.poll()[1]["error"] == "access_denied"
    assert AuditEvent.objects.get().outcome == "W"


def test_link_with_a_code_does_not_fill_it_in(
    alice: User, sign_in: SignIn, terminal: Terminal
) -> None:
    page = sign_in(alice).get(APPROVE, {"code": terminal.user_code}).content.decode()
    assert terminal.user_code not in page


def test_foreign_form_cannot_agree(
    alice: User, sign_in: SignIn, terminal: Terminal
) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = sign_in(alice).cookies
    form = {"code": terminal.user_code, "action": "confirm"}
    response = browser.post(APPROVE, form, headers={"Origin": "https://evil.test"})
    assert response.status_code == 403
    assert terminal.poll()[1]["error"] == "authorization_pending"


def test_anonymous_must_sign_in_first(client: Client, terminal: Terminal) -> None:
    response = client.post(APPROVE, {"code": terminal.user_code, "action": "confirm"})
    assert response["Location"].startswith("/accounts/login/")


def test_unknown_code_is_an_error_on_the_page(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice).post(APPROVE, {"code": "BBBB-BBBB"}).content.decode()
    assert "alert-danger" in page


def test_code_is_answered_once(
    alice: User, bob: User, sign_in: SignIn, terminal: Terminal
) -> None:
    agree(sign_in(alice), terminal)
    assert "alert-danger" in agree(sign_in(bob), terminal)
    assert AuditEvent.objects.get().person_id == alice.ref.id


def test_code_is_redeemed_once(
    alice: User, sign_in: SignIn, terminal: Terminal
) -> None:
    agree(sign_in(alice), terminal)
    terminal.token()
    assert terminal.poll()[1]["error"] == "invalid_grant"


def test_polling_too_fast_is_slowed_down(terminal: Terminal) -> None:
    terminal.poll()
    assert terminal.poll(patience=0)[1]["error"] == "slow_down"


def test_unknown_scope_is_refused(client: Client) -> None:
    status, answer = ask(client, "devices admin")
    assert (status, answer["error"]) == (400, "invalid_scope")


def test_guessing_codes_is_slowed_down(
    alice: User, sign_in: SignIn, terminal: Terminal
) -> None:
    browser = sign_in(alice)
    for _ in range(10):
        browser.post(APPROVE, {"code": "BBBB-BBBB"})
    assert "Connected" not in agree(browser, terminal)


def test_consent_of_a_person_disabled_since_is_worth_nothing(
    alice: User, sign_in: SignIn, terminal: Terminal, actor: Actor
) -> None:
    agree(sign_in(alice), terminal)
    services.deactivate_user(user=alice, reason="left", actor=actor, now=NOW)
    assert terminal.poll()[0] == 400
    assert Token.objects.count() == 0


def test_asking_for_codes_is_slowed_down(client: Client) -> None:
    # One minute more than fit into it: it may end once in between.
    answers = {ask(client)[0] for _ in range(2 * CODES_PER_MINUTE + 1)}
    assert answers == {200, 429}


def test_many_codes_push_nobody_out(terminal: Terminal) -> None:
    for number in range(400):
        cache.set(f"another-{number}", 1)
    assert terminal.poll()[1]["error"] == "authorization_pending"


def test_secret_is_redeemed_by_one_at_a_time(
    terminal: Terminal, alice: User, sign_in: SignIn
) -> None:
    agree(sign_in(alice), terminal)
    with device_grant.redeeming(terminal.device_code) as alone:
        assert alone
        assert terminal.poll() == (400, {"error": "slow_down"})
    assert terminal.poll()[0] == 200

"""Waiting for a person's consent (RFC 8628). No database, no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from client import login
from client.errors import ClientError, PortalError
from client.http import Portal
from client.login import Invitation, Tokens

INVITATION = Invitation(
    device_code="d",
    user_code="BCDF-GHJK",
    address="https://portal.example.test/identity/o/device",
    expires_seconds=60,
    interval_seconds=5,
)
PENDING = PortalError("later", status=400, code="authorization_pending")
SLOWER = PortalError("slower", status=400, code="slow_down")
GOOD = {"access_token": "a", "refresh_token": "r"}


class FakePortal(Portal):
    """A portal that gives prepared answers, one after the other."""

    def __init__(self, *answers: PortalError | dict[str, Any]) -> None:
        """Prepare."""
        super().__init__("https://portal.example.test")
        self.answers = list(answers)
        self.asked: list[Mapping[str, str]] = []

    def post_form(self, path: str, fields: Mapping[str, str]) -> dict[str, Any]:
        assert path.startswith("/identity/o/api/")
        self.asked.append(fields)
        answer = self.answers.pop(0)
        if isinstance(answer, PortalError):
            raise answer
        return answer


def wait(*answers: PortalError | dict[str, Any]) -> tuple[Tokens, list[float]]:
    """Wait for consent; return the tokens and how long was slept."""
    slept: list[float] = []
    portal = FakePortal(*answers)
    tokens = login.wait_for_consent(portal, INVITATION, sleep=slept.append)
    return tokens, slept


def test_consent_ends_the_waiting() -> None:
    tokens, slept = wait(PENDING, PENDING, GOOD)
    assert tokens == Tokens(access="a", refresh="r")
    assert slept == [5, 5, 5]


def test_portal_can_slow_us_down() -> None:
    _, slept = wait(SLOWER, PENDING, SLOWER, GOOD)
    assert slept == [5, 10, 10, 15]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("access_denied", "refused in the browser"),
        ("expired_token", "expired"),
        ("invalid_grant", "expired"),
        ("invalid_client", "nonsense"),
    ],
)
def test_other_answers_end_the_waiting(code: str, words: str) -> None:
    with pytest.raises(ClientError, match=words):
        wait(PENDING, PortalError("nonsense", status=400, code=code))


def test_nobody_waits_for_ever() -> None:
    with pytest.raises(ClientError, match="expired"):
        wait(*[PENDING] * 50)


def test_invitation_is_read() -> None:
    portal = FakePortal(
        {
            "device_code": "d",
            "user_code": "BCDF-GHJK",
            "verification_uri": INVITATION.address,
            "expires_in": 60,
            "interval": 5,
        }
    )
    assert login.invite(portal) == INVITATION
    assert portal.asked == [{"client_id": "peerage-cli", "scope": "devices"}]


@pytest.mark.parametrize("answer", [{}, {"device_code": "d"}])
def test_answer_that_invites_nobody_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="does not speak like"):
        login.invite(FakePortal(answer))

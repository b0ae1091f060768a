"""Requests asked and answered at the same time: one request, one grant."""

from __future__ import annotations

import time

import pytest

from audit.actor import SYSTEM
from policies import request_selectors, services
from policies.errors import PolicyError, RequestConflictError
from policies.models import AccessRequest, Application, Grant, RequestState
from policies.services import reviews
from portal import revocation
from portal.accounts.models import User
from tests.conftest import MakeUser
from tests.peers.makers import codes
from tests.policies.makers import NOW
from tests.policies.requests import DAY, approve, ask, group_of, open_for_requests
from tests.policies.services.test_publishing_races import THREADS, at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def slow_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave time between reading and deciding; without locks these tests then fail."""

    def may_review(user: User, request: AccessRequest) -> bool:
        time.sleep(0.02)
        return request_selectors.may_review(user, request)

    monkeypatch.setattr(reviews, "may_review", may_review)


@pytest.fixture
def reviewers(make_user: MakeUser) -> list[User]:
    """One approver a thread."""
    return [make_user(f"reviewer{number}") for number in range(THREADS)]


@pytest.fixture
def vault(wiki: Application, reviewers: list[User]) -> Application:
    """An application they approve."""
    return open_for_requests(wiki, approver_group=group_of(*reviewers))


def test_approvals_at_once_give_one_grant(
    vault: Application, alice: User, reviewers: list[User]
) -> None:
    asked = ask(vault, alice)
    raised = at_once(lambda number: approve(asked, reviewers[number]))
    assert [type(error) for error in raised] == [RequestConflictError] * (THREADS - 1)
    asked.refresh_from_db()
    assert (asked.state, asked.grant) == (RequestState.APPROVED, Grant.objects.get())
    assert codes().count("RQ002I") == 1


def test_two_approvals_at_once_are_both_counted(
    vault: Application, alice: User, reviewers: list[User]
) -> None:
    vault.needs_two_approvals = True
    vault.save()
    asked = ask(vault, alice)
    raised = at_once(lambda number: approve(asked, reviewers[number]))
    assert [type(error) for error in raised] == [RequestConflictError] * (THREADS - 2)
    assert Grant.objects.count() == 1
    assert asked.reviews.count() == 2


def test_one_approver_at_once_is_one_approval(
    vault: Application, alice: User, reviewers: list[User]
) -> None:
    vault.needs_two_approvals = True
    vault.save()
    asked = ask(vault, alice)
    assert len(at_once(lambda _: approve(asked, reviewers[0]))) == THREADS - 1
    assert (asked.reviews.count(), Grant.objects.count()) == (1, 0)


def test_requests_at_once_are_one_request(vault: Application, alice: User) -> None:
    raised = at_once(lambda _: ask(vault, alice))
    assert [type(error) for error in raised] == [RequestConflictError] * (THREADS - 1)
    assert AccessRequest.objects.count() == 1


def test_approval_and_cancellation_at_once_have_one_winner(
    vault: Application, alice: User, reviewers: list[User]
) -> None:
    asked = ask(vault, alice)

    def act(number: int) -> None:
        if number % 2:
            approve(asked, reviewers[number])
        else:
            services.cancel_request(request=asked, actor=SYSTEM, now=NOW)

    assert len(at_once(act)) == THREADS - 1
    asked.refresh_from_db()
    assert (asked.state == RequestState.APPROVED) is Grant.objects.exists()


def test_approval_and_expiry_at_once_have_one_winner(
    vault: Application, alice: User, reviewers: list[User]
) -> None:
    asked = ask(vault, alice)

    def act(number: int) -> None:
        if number % 2:
            approve(asked, reviewers[number], now=NOW + 7 * DAY - DAY)
        else:
            services.expire_requests(now=NOW + 7 * DAY)

    at_once(act)
    asked.refresh_from_db()
    assert (asked.state == RequestState.APPROVED) is Grant.objects.exists()
    assert codes().count("RQ002I") + codes().count("RQ003I") == 1


def test_nobody_is_granted_anything_while_being_revoked(
    vault: Application, alice: User, reviewers: list[User]
) -> None:
    asked = ask(vault, alice)

    def act(number: int) -> None:
        if number:
            approve(asked, reviewers[number])
        else:
            revocation.revoke_user(
                user=alice, reason="left", actor=SYSTEM, requested_at=NOW, now=NOW
            )

    raised = at_once(act)
    assert all(isinstance(error, PolicyError) for error in raised)
    asked.refresh_from_db()
    assert asked.state in {RequestState.APPROVED, RequestState.CANCELLED}
    assert (asked.state == RequestState.APPROVED) is Grant.objects.exists()

"""Requests: asked for within bounds, once, taken back, and run out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import Settings

from audit.actor import SYSTEM
from policies import services
from policies.errors import (
    ApplicationInUseError,
    InvalidNameError,
    InvalidRequestError,
    PolicyError,
    RequestConflictError,
)
from policies.models import AccessRequest, Application, Grant, RequestState
from portal.accounts.models import User
from tests.conftest import MakeUser
from tests.peers.makers import codes
from tests.policies.makers import NOW
from tests.policies.requests import DAY, HOUR, approve, ask, open_for_requests, refuse

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


@pytest.fixture
def vault(wiki: Application) -> Application:
    """An application that people may ask for."""
    return open_for_requests(wiki)


def test_a_request_grants_nothing(vault: Application, alice: User) -> None:
    made = ask(vault, alice)
    assert (made.state, made.grant) == (RequestState.PENDING, None)
    assert made.answer_by == NOW + 7 * DAY
    assert not Grant.objects.exists()
    assert codes()[-1] == "RQ001I"


OUT_OF_BOUNDS = {
    "zero": timedelta(0),
    "negative": -HOUR,
    "under the least": timedelta(minutes=5) - SECOND,
    "over the most": 30 * DAY + SECOND,
    "ten years": 3650 * DAY,
    "longest there is": timedelta.max,
    "shortest there is": timedelta.min,
}


@pytest.mark.parametrize("time", OUT_OF_BOUNDS.values(), ids=OUT_OF_BOUNDS.keys())
def test_a_time_out_of_bounds_is_refused_with_one_event(
    vault: Application, alice: User, time: timedelta
) -> None:
    """Attack C12: a request carries no date, and no time beyond the setting."""
    before = len(codes())
    with pytest.raises(InvalidRequestError, match="at least 5 minutes and at most 30"):
        ask(vault, alice, duration=time)
    assert not AccessRequest.objects.exists()
    assert codes()[before:] == ["RQ001W"]


@pytest.mark.parametrize("time", [timedelta(minutes=5), 30 * DAY])
def test_the_bounds_themselves_are_allowed(
    vault: Application, alice: User, time: timedelta
) -> None:
    assert ask(vault, alice, duration=time).duration == time


def test_the_longest_time_is_a_setting(
    vault: Application, alice: User, settings: Settings
) -> None:
    settings.PEERAGE_REQUEST_MAXIMUM_DAYS = 1
    with pytest.raises(InvalidRequestError, match="at most 1 day"):
        ask(vault, alice, duration=DAY + SECOND)


@pytest.mark.parametrize("reason", ["", "  ", "on\ncall", "x" * 256, "a\u202eb"])
def test_a_request_needs_a_printable_reason(
    vault: Application, alice: User, reason: str
) -> None:
    with pytest.raises(InvalidNameError):
        ask(vault, alice, reason=reason)
    assert codes()[-1] == "RQ001W"


def test_what_is_not_given_on_request_is_refused(
    wiki: Application, alice: User
) -> None:
    with pytest.raises(InvalidRequestError, match="not given on request"):
        ask(wiki, alice)


def test_a_disabled_person_asks_for_nothing(vault: Application, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    with pytest.raises(InvalidRequestError, match="is disabled"):
        ask(vault, alice)


def test_a_second_pending_request_for_one_application_is_refused(
    vault: Application, alice: User, bob: User
) -> None:
    ask(vault, alice)
    with pytest.raises(RequestConflictError, match="waiting for an answer"):
        ask(vault, alice)
    assert ask(vault, bob).pk
    assert codes()[-2:] == ["RQ001W", "RQ001I"]


def test_what_was_answered_can_be_asked_again(
    vault: Application, alice: User, dave: User
) -> None:
    refuse(ask(vault, alice), dave)
    assert ask(vault, alice).is_pending


def test_one_that_ran_out_is_not_in_the_way(vault: Application, alice: User) -> None:
    late = NOW + 7 * DAY
    first = ask(vault, alice)
    assert ask(vault, alice, now=late).is_pending
    first.refresh_from_db()
    assert first.state == RequestState.EXPIRED
    assert codes()[-2:] == ["RQ003I", "RQ001I"]


def test_the_requester_takes_a_request_back_once(
    vault: Application, alice: User
) -> None:
    made = ask(vault, alice)
    services.cancel_request(request=made, actor=SYSTEM, now=NOW)
    assert made.state == RequestState.CANCELLED
    with pytest.raises(RequestConflictError, match="is cancelled already"):
        services.cancel_request(request=made, actor=SYSTEM, now=NOW)
    assert codes().count("RQ004I") == 1


def test_unanswered_requests_run_out(
    vault: Application, alice: User, bob: User
) -> None:
    old, new = ask(vault, alice), ask(vault, bob, now=NOW + SECOND)
    assert services.expire_requests(now=NOW + 7 * DAY) == 1
    assert services.expire_requests(now=NOW + 7 * DAY) == 0
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.state, new.state) == (RequestState.EXPIRED, RequestState.PENDING)
    assert codes().count("RQ003I") == 1


def test_the_wait_for_an_answer_is_a_setting(
    vault: Application, alice: User, settings: Settings
) -> None:
    settings.PEERAGE_REQUEST_ANSWER_DAYS = 2
    assert ask(vault, alice).answer_by == NOW + 2 * DAY


def test_access_ends_early_once(vault: Application, alice: User, dave: User) -> None:
    done = approve(ask(vault, alice), dave)
    for later in (HOUR, 2 * HOUR):
        services.end_requested_access(request=done, actor=SYSTEM, now=NOW + later)
    assert Grant.objects.get().ended_at == NOW + HOUR
    assert codes()[-2:] == ["PL006I", "RQ004I"]
    done.refresh_from_db()
    assert done.state == RequestState.APPROVED


def test_access_that_was_never_granted_cannot_end(
    vault: Application, alice: User
) -> None:
    with pytest.raises(RequestConflictError, match="nothing to end"):
        services.end_requested_access(request=ask(vault, alice), actor=SYSTEM, now=NOW)


def test_access_that_is_over_is_not_ended_again(
    vault: Application, alice: User, dave: User
) -> None:
    done = approve(ask(vault, alice), dave)
    services.end_requested_access(request=done, actor=SYSTEM, now=NOW + DAY)
    assert Grant.objects.get().ended_at is None


def test_only_the_persons_own_pending_requests_are_taken_back(
    vault: Application, alice: User, bob: User, dave: User, make_user: MakeUser
) -> None:
    granted = approve(ask(vault, make_user("erin")), dave)
    own, others = ask(vault, alice), ask(vault, bob)
    for _ in range(2):
        services.cancel_requests_of(users=[alice], reason="left", actor=SYSTEM, now=NOW)
    states = [AccessRequest.objects.get(pk=r.pk).state for r in (own, others, granted)]
    assert states == ["cancelled", "pending", "approved"]
    assert codes().count("RQ004I") == 1


def test_an_application_somebody_asked_for_stays(
    vault: Application, alice: User
) -> None:
    ask(vault, alice)
    with pytest.raises(ApplicationInUseError, match="asked for"):
        services.delete_application(application=vault, actor=SYSTEM, now=NOW)
    assert codes()[-1] == "PL003W"


@pytest.mark.parametrize("who", ["carol", "mallory"])
def test_an_owner_can_approve_or_is_refused(
    who: str, wiki: Application, carol: User, mallory: User
) -> None:
    User.objects.filter(pk=mallory.pk).update(is_active=False)
    owner = User.objects.get(pk={"carol": carol, "mallory": mallory}[who].pk)
    with pytest.raises(PolicyError, match=r"auditor|disabled"):
        open_for_requests(wiki, owner=owner)
    wiki.refresh_from_db()
    assert (wiki.owner, wiki.is_requestable) == (None, False)
    assert codes()[-1] == "PL002W"

"""Answers: by those who may, never one's own; the last approval grants."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.models import AuditEvent
from policies.errors import (
    InvalidGrantError,
    InvalidNameError,
    InvalidRequestError,
    RequestConflictError,
    ReviewRefusedError,
)
from policies.models import AccessRequest, Application, Grant, Publication, RequestState
from portal.accounts.models import Membership, User
from tests.peers.makers import codes
from tests.policies.makers import NOW
from tests.policies.requests import (
    DAY,
    HOUR,
    approve,
    ask,
    group_of,
    open_for_requests,
    refuse,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(wiki: Application, alice: User, bob: User) -> AccessRequest:
    """Alice asks for what bob owns."""
    return ask(open_for_requests(wiki, owner=bob), alice)


@pytest.fixture
def guarded(wiki: Application, alice: User, bob: User, mallory: User) -> AccessRequest:
    """Alice asks for what two of bob, mallory and herself must approve."""
    approvers = group_of(alice, bob, mallory)
    rules = {"approver_group": approvers, "needs_two_approvals": True}
    return ask(open_for_requests(wiki, **rules), alice)


def test_time_begins_at_approval_and_the_grant_is_personal(
    asked: AccessRequest, alice: User, bob: User
) -> None:
    later = NOW + 3 * DAY + timedelta(microseconds=7)
    done = approve(asked, bob, now=later)
    grant = Grant.objects.get()
    assert (done.state, done.grant, done.decided_at) == ("approved", grant, later)
    assert (grant.user, grant.application) == (alice, asked.application)
    assert (grant.not_before, grant.expires_at) == (later, NOW + 4 * DAY)
    assert grant.reason == "on call"


def test_an_approval_is_recorded_with_the_end_it_sets(
    asked: AccessRequest, bob: User
) -> None:
    approve(asked, bob, note="for the release")
    event = AuditEvent.objects.get(code="RQ002")
    assert codes()[-2:] == ["PL004I", "RQ002I"]
    assert (event.reason, event.target_id) == ("for the release", asked.ref.id)
    assert event.details["expires_at"] == (NOW + DAY).isoformat()


def test_an_approval_marks_the_gateways_stale(asked: AccessRequest, bob: User) -> None:
    Publication.objects.update(stale_since=None)
    approve(asked, bob)
    assert Publication.objects.get().stale_since == NOW


def test_owner_group_and_administrators_approve(
    wiki: Application, alice: User, bob: User, mallory: User, dave: User
) -> None:
    open_for_requests(wiki, owner=bob, approver_group=group_of(mallory))
    for reviewer in (bob, mallory, dave):
        assert approve(ask(wiki, alice), reviewer).state == RequestState.APPROVED


@pytest.mark.parametrize("who", ["mallory", "carol", "alice"])
def test_others_do_not_answer(
    who: str, asked: AccessRequest, mallory: User, carol: User, alice: User
) -> None:
    # An auditor changes nothing, even as a member of the approvers.
    open_for_requests(asked.application, approver_group=group_of(alice, carol))
    reviewer = {"mallory": mallory, "carol": carol, "alice": alice}[who]
    for answer in (approve, refuse):
        with pytest.raises(ReviewRefusedError):
            answer(asked, reviewer)
    assert not Grant.objects.exists()
    assert codes()[-2:] == ["RQ002W", "RQ002W"]


def test_an_administrator_does_not_answer_their_own_request(
    wiki: Application, dave: User
) -> None:
    with pytest.raises(ReviewRefusedError, match="their own"):
        approve(ask(open_for_requests(wiki, owner=dave), dave), dave)


def test_an_approver_who_left_the_group_is_refused(
    wiki: Application, alice: User, bob: User
) -> None:
    asked = ask(open_for_requests(wiki, approver_group=group_of(bob)), alice)
    Membership.objects.filter(user=bob, group__name="approvers").delete()
    with pytest.raises(ReviewRefusedError):
        approve(asked, bob)


def test_a_disabled_approver_is_refused(asked: AccessRequest, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    with pytest.raises(ReviewRefusedError):
        approve(asked, bob)


def test_a_disabled_requester_is_granted_nothing(
    asked: AccessRequest, alice: User, bob: User
) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    with pytest.raises(InvalidGrantError, match="is disabled"):
        approve(asked, bob)
    asked.refresh_from_db()
    assert (asked.is_pending, asked.reviews.count()) == (True, 0)
    assert codes()[-1] == "RQ002W"


def test_two_approvals_come_from_two_people(
    guarded: AccessRequest, bob: User, mallory: User
) -> None:
    assert approve(guarded, bob).is_pending
    with pytest.raises(RequestConflictError, match="answered this request already"):
        approve(guarded, bob)
    assert not Grant.objects.exists()
    assert approve(guarded, mallory).state == RequestState.APPROVED
    assert Grant.objects.count() == 1
    assert codes()[-4:] == ["RQ002I", "RQ002W", "PL004I", "RQ002I"]


def test_the_requester_is_neither_of_the_two(
    guarded: AccessRequest, alice: User, bob: User
) -> None:
    approve(guarded, bob)
    with pytest.raises(ReviewRefusedError, match="their own"):
        approve(guarded, alice)
    assert not Grant.objects.exists()


def test_an_approval_by_somebody_who_may_no_longer_is_not_counted(
    guarded: AccessRequest, bob: User, mallory: User, dave: User
) -> None:
    approve(guarded, bob)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert approve(guarded, mallory).is_pending
    assert approve(guarded, dave).state == RequestState.APPROVED


def test_one_refusal_is_enough(
    guarded: AccessRequest, bob: User, mallory: User, dave: User
) -> None:
    approve(guarded, bob)
    assert refuse(guarded, mallory, note="use the copy").state == RequestState.REFUSED
    with pytest.raises(RequestConflictError, match="is refused already"):
        approve(guarded, dave)
    assert not Grant.objects.exists()


@pytest.mark.parametrize("note", ["", "  "])
def test_a_refusal_says_why(asked: AccessRequest, bob: User, note: str) -> None:
    with pytest.raises((InvalidRequestError, InvalidNameError)):
        refuse(asked, bob, note=note)
    asked.refresh_from_db()
    assert asked.is_pending


def test_a_request_that_ran_out_is_not_answered_before_any_sweep(
    asked: AccessRequest, bob: User
) -> None:
    for answer in (approve, refuse):
        with pytest.raises(RequestConflictError, match="out of time"):
            answer(asked, bob, now=NOW + 7 * DAY)
    assert approve(asked, bob, now=NOW + 7 * DAY - HOUR).state == "approved"


def test_a_second_approval_grants_nothing_more(
    asked: AccessRequest, bob: User, dave: User
) -> None:
    approve(asked, bob)
    with pytest.raises(RequestConflictError, match="is approved already"):
        approve(asked, dave)
    assert Grant.objects.count() == 1

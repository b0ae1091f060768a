"""Who decides, about what, how often, until when; every decision is an event."""

from __future__ import annotations

import pytest

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers.models import Gateway
from policies import access_reviews
from policies.errors import (
    CampaignOverError,
    InvalidCampaignError,
    InvalidNameError,
    NotReviewerError,
    PolicyError,
)
from policies.models import Application, Decision, Grant, ReviewCampaign, ReviewItem
from portal.accounts.models import Role, User
from portal.accounts.services import deactivate_user
from tests.policies.campaigns import decide, finish, keep, remove, review
from tests.policies.makers import NOW, make_application, make_grant
from tests.policies.requests import open_for_requests

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(wiki: Application, alices_grant: Grant, bob: User) -> ReviewCampaign:
    """Bob reviews alice's access to the wiki."""
    return review(wiki, by=(bob,))


def item() -> ReviewItem:
    return ReviewItem.objects.get()


def events() -> list[AuditEvent]:
    return [*AuditEvent.objects.filter(code="RQ007").order_by("pk")]


def test_a_decision_is_kept_with_who_when_and_why(
    campaign: ReviewCampaign, alice: User, wiki: Application, bob: User
) -> None:
    assert remove(campaign, by=bob).count == 1
    found = item()
    assert (found.decision, found.note) == ("remove", "not needed")
    assert (found.decided_by, found.decided_at, found.revision) == (bob, NOW, 1)
    (event,) = events()
    assert (event.outcome, event.person_id) == ("I", alice.ref.id)
    assert (event.application_id, event.target_id) == (wiki.ref.id, campaign.ref.id)
    assert event.reason == "not needed"
    assert event.details == {
        "decision": "remove",
        "item": found.ref.id,
        "held": found.held.id,
    }


def test_nothing_ends_by_a_decision(
    campaign: ReviewCampaign, alices_grant: Grant, bob: User
) -> None:
    remove(campaign, by=bob)
    alices_grant.refresh_from_db()
    assert alices_grant.ended_at is None


def test_a_decision_may_be_changed_until_the_finish(
    campaign: ReviewCampaign, bob: User
) -> None:
    remove(campaign, by=bob)
    keep(campaign, by=bob)
    assert (item().decision, item().revision) == ("keep", 2)
    assert events()[-1].details["before"] == "remove"
    finish(campaign)
    with pytest.raises(CampaignOverError, match="finished already"):
        remove(campaign, by=bob)
    assert item().decision == "keep"
    assert (events()[-1].outcome, events()[-1].details["error"]) == (
        "W",
        "CampaignOverError",
    )


def test_the_same_again_changes_nothing(campaign: ReviewCampaign, bob: User) -> None:
    remove(campaign, by=bob)
    again = remove(campaign, by=bob)
    assert (again.count, again.overtaken, len(events())) == (0, [], 1)


def test_what_somebody_else_decided_meanwhile_is_not_overwritten_unseen(
    campaign: ReviewCampaign, bob: User, dave: User
) -> None:
    stale = dict(campaign.items.values_list("pk", "revision"))
    keep(campaign, by=dave)
    done = access_reviews.decide_items(
        campaign=campaign,
        seen=stale,
        decision=Decision.REMOVE,
        note="gone",
        reviewer=bob,
        actor=SYSTEM,
        now=NOW,
    )
    assert (done.count, [*done.overtaken]) == (0, [item()])
    assert (item().decision, item().decided_by) == ("keep", dave)


@pytest.mark.parametrize("note", ["", "  "], ids=["empty", "blank"])
def test_what_is_removed_is_removed_for_a_reason(
    note: str, campaign: ReviewCampaign, bob: User
) -> None:
    with pytest.raises(InvalidCampaignError, match="say why"):
        decide(campaign, Decision.REMOVE, by=bob, note=note)
    assert item().decision == ""


def test_a_note_nobody_can_read_is_refused(campaign: ReviewCampaign, bob: User) -> None:
    with pytest.raises(InvalidNameError):
        decide(campaign, Decision.KEEP, by=bob, note="a\x00b")


def test_nobody_decides_about_themselves(
    wiki: Application, alices_grant: Grant, alice: User, bob: User, dave: User
) -> None:
    make_grant(wiki, user=dave)
    campaign = review(wiki, by=(alice, bob))
    for who in (alice, dave):
        with pytest.raises(NotReviewerError, match="their own access"):
            keep(campaign, by=who)
    # All or nothing: alice's decision about dave went with it.
    assert not ReviewItem.objects.exclude(decision="").exists()
    assert keep(campaign, dave, by=alice).count == 1


@pytest.mark.parametrize("who", ["mallory", "carol", "alice"])
def test_who_does_not_review_decides_nothing(
    who: str, campaign: ReviewCampaign, mallory: User, carol: User
) -> None:
    with pytest.raises(NotReviewerError):
        keep(campaign, by=User.objects.get(subject=who))
    assert events()[-1].outcome == "W"


def test_an_administrator_stands_in_for_any_reviewer(
    campaign: ReviewCampaign, dave: User
) -> None:
    assert keep(campaign, by=dave).count == 1


@pytest.mark.parametrize("became", ["disabled", "auditor"])
def test_who_may_not_any_more_is_judged_anew(
    became: str, campaign: ReviewCampaign, bob: User
) -> None:
    if became == "disabled":
        deactivate_user(user=bob, reason="left", actor=SYSTEM, now=NOW)
    else:
        User.objects.filter(pk=bob.pk).update(role=Role.AUDITOR)
    with pytest.raises(NotReviewerError):
        keep(campaign, by=bob)


def test_an_owner_decides_about_their_own_application_only(
    wiki: Application, alices_grant: Grant, gw1: Gateway, bob: User, dave: User
) -> None:
    git = make_application("git", "10.2.0.0/24", gateways=[gw1])
    make_grant(git, user=alices_grant.user)
    open_for_requests(wiki, owner=bob)
    campaign = review(wiki, git)
    with pytest.raises(NotReviewerError, match="all of this"):
        keep(campaign, by=bob)
    rows = campaign.items.filter(grant__application=wiki)
    done = access_reviews.decide_items(
        campaign=campaign,
        seen=dict(rows.values_list("pk", "revision")),
        decision=Decision.KEEP,
        reviewer=bob,
        actor=SYSTEM,
        now=NOW,
    )
    assert done.count == 1


def test_items_of_another_review_are_not_decided(
    campaign: ReviewCampaign, wiki: Application, bob: User
) -> None:
    other = review(wiki, by=(bob,), title="other")
    with pytest.raises(PolicyError):
        access_reviews.decide_items(
            campaign=other,
            seen=dict(campaign.items.values_list("pk", "revision")),
            decision=Decision.KEEP,
            reviewer=bob,
            actor=SYSTEM,
            now=NOW,
        )

"""Who sees which review, and who may do what in it."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404

from peers.models import Gateway
from policies import review_selectors as selectors
from policies.models import Application, Grant, ReviewCampaign
from portal.accounts.models import User
from tests.policies.campaigns import keep, review
from tests.policies.makers import make_application, make_grant
from tests.policies.requests import open_for_requests

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(wiki: Application, alices_grant: Grant, bob: User) -> ReviewCampaign:
    """Bob reviews alice's access to the wiki."""
    return review(wiki, by=(bob,))


def test_to_others_a_review_does_not_exist(
    campaign: ReviewCampaign, alice: User, mallory: User
) -> None:
    for who in (alice, mallory):
        for gate in (
            selectors.get_campaign_for,
            selectors.get_campaign_to_decide_for,
            selectors.get_campaign_to_change_for,
        ):
            with pytest.raises(Http404):
                gate(who, campaign.pk)
        assert not selectors.list_campaigns_for(who).exists()
        assert not selectors.list_items_for(who).exists()


def test_an_auditor_reads_and_changes_nothing(
    campaign: ReviewCampaign, carol: User
) -> None:
    assert selectors.get_campaign_for(carol, campaign.pk) == campaign
    assert selectors.list_items_for(carol).count() == 1
    assert not selectors.decidable_by(carol).exists()
    for gate in (
        selectors.get_campaign_to_decide_for,
        selectors.get_campaign_to_change_for,
    ):
        with pytest.raises(PermissionDenied):
            gate(carol, campaign.pk)


def test_a_reviewer_decides_and_does_not_finish(
    campaign: ReviewCampaign, bob: User, dave: User
) -> None:
    assert selectors.get_campaign_to_decide_for(bob, campaign.pk) == campaign
    with pytest.raises(PermissionDenied):
        selectors.get_campaign_to_change_for(bob, campaign.pk)
    assert selectors.get_campaign_to_change_for(dave, campaign.pk) == campaign
    assert selectors.get_campaign_to_decide_for(dave, campaign.pk) == campaign


def test_a_reviewer_sees_the_items_of_their_application_only(
    wiki: Application, alices_grant: Grant, gw1: Gateway, bob: User, dave: User
) -> None:
    git = make_application("git", "10.2.0.0/24", gateways=[gw1])
    make_grant(git, user=alices_grant.user)
    open_for_requests(wiki, owner=bob)
    found = review(wiki, git)
    assert [str(row.grant) for row in selectors.list_items_for(bob)] == ["Alice → wiki"]
    assert selectors.progress_for(bob, [found])[found.pk].items == 1
    assert selectors.progress_for(dave, [found])[found.pk].items == 2


def test_what_waits_is_what_somebody_was_asked_and_nobody_decided(
    campaign: ReviewCampaign, bob: User, dave: User
) -> None:
    assert selectors.waiting_for(bob).count() == 1
    # May stand in, was not asked.
    assert not selectors.waiting_for(dave).exists()
    keep(campaign, by=dave)
    assert not selectors.waiting_for(bob).exists()


def test_progress_counts_people_decisions_and_what_was_never_used(
    campaign: ReviewCampaign, wiki: Application, bob: User
) -> None:
    keep(campaign, by=bob)
    found = selectors.progress_for(bob, [campaign])[campaign.pk]
    assert (found.items, found.people, found.unused) == (1, 1, 1)
    assert (found.decided, found.removed, found.undecided, found.kept) == (1, 0, 0, 1)

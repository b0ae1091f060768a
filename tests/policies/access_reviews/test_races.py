"""Reviewers, a finish and a revocation at the same time: one winner, nothing lost."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

import pytest
from django.core import mail

from audit.actor import SYSTEM
from audit.parts import parts
from policies import access_reviews, services
from policies.access_reviews import deciding, finishing
from policies.access_reviews.settling import Settlement, settlement
from policies.errors import CampaignOverError
from policies.models import (
    Application,
    CampaignState,
    Decision,
    Grant,
    Label,
    ReviewCampaign,
    ReviewItem,
)
from portal import revocation
from portal.accounts.models import Group, User
from tests.conftest import MakeUser
from tests.peers.makers import codes
from tests.policies.campaigns import DUE, finish, keep, remove, review
from tests.policies.makers import NOW, make_grant
from tests.policies.requests import group_of
from tests.policies.services.test_publishing_races import THREADS, at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def slow_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave time between reading and writing; without locks these tests then fail."""

    def slow_parts(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
        time.sleep(0.02)
        yield from parts(numbers, size)

    def slow_settlement(
        removed: Collection[ReviewItem], *, now: datetime
    ) -> Settlement:
        found = settlement(removed, now=now)
        time.sleep(0.05)
        return found

    monkeypatch.setattr(deciding, "parts", slow_parts)
    monkeypatch.setattr(finishing, "settlement", slow_settlement)


@pytest.fixture
def reviewers(make_user: MakeUser) -> list[User]:
    """One reviewer a thread."""
    return [make_user(f"reviewer{number}") for number in range(THREADS)]


@pytest.fixture
def campaign(
    wiki: Application, alices_grant: Grant, reviewers: list[User]
) -> ReviewCampaign:
    """They review alice's access to the wiki."""
    return review(wiki, by=tuple(reviewers))


def test_of_reviewers_at_once_one_decides_and_the_others_are_told(
    campaign: ReviewCampaign, reviewers: list[User]
) -> None:
    seen = dict(campaign.items.values_list("pk", "revision"))
    told: list[access_reviews.Decided] = []

    def decide(number: int) -> None:
        told.append(
            access_reviews.decide_items(
                campaign=campaign,
                seen=seen,
                decision=Decision.REMOVE,
                note=f"said {number}",
                reviewer=reviewers[number],
                actor=SYSTEM,
                now=NOW,
            )
        )

    assert at_once(decide) == []
    assert sorted((done.count, len(done.overtaken)) for done in told) == [
        *[(0, 1)] * (THREADS - 1),
        (1, 0),
    ]
    assert ReviewItem.objects.get().revision == 1
    assert codes().count("RQ007I") == 1


def test_finishes_at_once_are_one_finish(
    campaign: ReviewCampaign, reviewers: list[User]
) -> None:
    remove(campaign, by=reviewers[0])
    raised = at_once(lambda _: finish(campaign))
    assert [type(error) for error in raised] == [CampaignOverError] * (THREADS - 1)
    assert (codes().count("RQ006I"), codes().count("PL006I")) == (1, 1)


def test_no_decision_comes_after_the_finish_it_was_not_part_of(
    campaign: ReviewCampaign, alices_grant: Grant, reviewers: list[User]
) -> None:
    keep(campaign, by=reviewers[0])

    def act(number: int) -> None:
        if number % 2:
            remove(campaign, by=reviewers[number])
        else:
            finish(campaign)

    at_once(act)
    alices_grant.refresh_from_db()
    found = ReviewItem.objects.get()
    is_removed = found.decision == Decision.REMOVE
    assert is_removed is (alices_grant.ended_at is not None)
    assert found.outcome == ("ended" if is_removed else "kept")
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.FINISHED


def test_a_grant_that_is_ended_meanwhile_ends_once(
    campaign: ReviewCampaign, alices_grant: Grant, reviewers: list[User]
) -> None:
    remove(campaign, by=reviewers[0])

    def act(number: int) -> None:
        if number:
            services.end_grant(
                grant=Grant.objects.get(pk=alices_grant.pk), actor=SYSTEM, now=NOW
            )
        else:
            finish(campaign)

    assert at_once(act) == []
    assert codes().count("PL006I") == 1
    assert ReviewItem.objects.get().outcome in {"ended", "gone"}


def test_of_workers_at_once_one_writes_and_one_records(
    campaign: ReviewCampaign,
) -> None:
    def tend(_: int) -> None:
        access_reviews.report_overdue(now=DUE)
        access_reviews.remind_reviewers(now=DUE)

    assert at_once(tend) == []
    assert codes().count("RQ008A") == 1
    assert len(mail.outbox) == THREADS


def test_a_revocation_and_a_finish_never_wait_for_each_other_in_a_circle(
    wiki: Application, alice: User, bob: User, reviewers: list[User], dave: User
) -> None:
    group = group_of(alice, bob, *reviewers)
    tag = services.create_label(name="db", actor=SYSTEM, now=NOW)
    services.label_application(application=wiki, labels=[tag], actor=SYSTEM, now=NOW)
    for user in (alice, bob):
        make_grant(wiki, user=user)
        services.create_label_grant(label=tag, user=user, actor=SYSTEM, now=NOW)
    found = [
        review(wiki, by=(dave,), title="wiki"),
        review(group, by=(dave,), title="group"),
    ]
    for one in found:
        remove(one, by=dave)

    def act(number: int) -> None:
        if number < len(found):
            finish(found[number])
        else:
            revocation.revoke_user(
                user=(alice, bob)[number % 2],
                reason="left",
                actor=SYSTEM,
                requested_at=NOW,
                now=NOW,
            )

    assert at_once(act) == []
    assert not Grant.objects.filter(ended_at=None).exists()
    assert not Label.objects.exclude(pk=tag.pk).exists()
    assert not Group.objects.get(pk=group.pk).users.filter(is_active=True).exists()
    assert not ReviewItem.objects.exclude(outcome__in=["ended", "gone"]).exists()

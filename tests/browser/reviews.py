"""Access reviews in every state, for tests and pictures."""

from __future__ import annotations

from datetime import datetime, timedelta

from policies import access_reviews
from policies.access_reviews import Scope
from policies.models import Application, Decision, ReviewCampaign
from portal.accounts.models import Group, User
from tests.browser.world import World, actor_named

NOTE = "left the team in October; agreed with the head of payroll"


def make_reviews(world: World, now: datetime) -> tuple[str, ...]:
    """Make reviews in every state; return the pages about them."""
    wiki = world.applications["wiki"]
    rest = [world.applications[name] for name in ("payroll", "database")]
    running = started(world, "Wiki and shop, autumn", [wiki, *rest], now)
    decided(world, running, Decision.REMOVE, [world.people["bob"]])
    early = now - timedelta(days=30)
    overdue = started(world, "Payroll, quarterly", rest[:1], early)
    engineering = world.people["alice"].groups.get()
    done = started(world, "Engineering", [engineering], early)
    decided(world, done, Decision.REMOVE, [world.people["alice"]])
    access_reviews.finish_review(
        campaign=done, actor=actor_named(world.people["dave"]), now=now
    )
    ready = started(world, "All of the wiki", [wiki], now)
    decided(world, ready, Decision.REMOVE, [world.people["alice"]])
    partly = started(world, "The shop", rest[1:], early)
    decided(world, partly, Decision.REMOVE, [world.people["alice"]])
    return (
        "/reviews/",
        "/reviews/?state=called_off",
        f"/reviews/{running.pk}/",
        f"/reviews/{running.pk}/?q=nobody",
        f"/reviews/{overdue.pk}/",
        f"/reviews/{done.pk}/",
        "/manage/reviews/start/",
        f"/manage/reviews/start/?applications={wiki.pk}",
        f"/manage/reviews/{ready.pk}/finish/",
        f"/manage/reviews/{partly.pk}/finish/",
        f"/manage/reviews/{running.pk}/call-off/",
    )


def started(
    world: World, title: str, what: list[Application] | list[Group], now: datetime
) -> ReviewCampaign:
    """Start a review of dave's, due in two weeks."""
    return access_reviews.start_review(
        title=title,
        scope=Scope(
            applications=tuple(row for row in what if isinstance(row, Application)),
            groups=tuple(row for row in what if isinstance(row, Group)),
        ),
        reviewers=[world.people["dave"]],
        due_at=now + timedelta(days=14),
        actor=actor_named(world.people["dave"]),
        now=now,
    )


def decided(
    world: World, campaign: ReviewCampaign, decision: Decision, people: list[User]
) -> None:
    """Let dave decide about people."""
    rows = campaign.items.filter(person__in=people)
    access_reviews.decide_items(
        campaign=campaign,
        seen=dict(rows.values_list("pk", "revision")),
        decision=decision,
        note=NOTE,
        reviewer=world.people["dave"],
        actor=actor_named(world.people["dave"]),
        now=campaign.started_at,
    )

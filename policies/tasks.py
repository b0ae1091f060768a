"""Jobs of policies: each takes the clock, calls one service, and may run twice."""

from __future__ import annotations

from datetime import UTC, datetime

from celery import shared_task

from policies import access_reviews, services


@shared_task(name="policies.republish_due_snapshots")
def republish_due_snapshots() -> None:
    """Publish where a grant began or ended since the last snapshot."""
    services.republish_due_snapshots(now=_now())


@shared_task(name="policies.report_lost_agents")
def report_lost_agents() -> None:
    """Report agents that have gone silent, and those that speak again."""
    now = _now()
    services.report_lost_agents(now=now)
    services.report_agents_back(now=now)


@shared_task(name="policies.tend_requests")
def tend_requests() -> None:
    """Let requests run out, and write to those who should know."""
    now = _now()
    services.expire_requests(now=now)
    services.remind_approvers(now=now)
    services.tell_requesters(now=now)
    services.remind_of_ends(now=now)


@shared_task(name="policies.tend_reviews")
def tend_reviews() -> None:
    """Record which access reviews are overdue, and write to their reviewers."""
    now = _now()
    access_reviews.report_overdue(now=now)
    access_reviews.remind_reviewers(now=now)


@shared_task(name="policies.watch_for_alarms")
def watch_for_alarms() -> None:
    """Look for revocations that are late, and devices that come back."""
    now = _now()
    services.watch_revocations(now=now)
    services.watch_sightings(now=now)


@shared_task(name="policies.clean_up")
def clean_up() -> None:
    """Delete challenges and tokens past their use."""
    services.clean_up(now=_now())


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- a task is an edge

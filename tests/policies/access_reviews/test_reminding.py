"""Reviewers are written to at the start, before the end, and daily when it is late."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from pytest_django import Settings

from audit.alarms.models import Alarm
from audit.alarms.watching import watch_events
from audit.models import AuditEvent
from policies import access_reviews, tasks
from policies.models import Application, Grant, ReviewCampaign
from portal.accounts.models import Role, User
from tests.policies.campaigns import DAY, DUE, finish, keep, review
from tests.policies.makers import NOW, make_grant
from tests.policies.requests import open_for_requests

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(wiki: Application, alices_grant: Grant, bob: User) -> ReviewCampaign:
    """Bob reviews alice's access to the wiki, in two weeks."""
    return review(wiki, by=(bob,), title="<autumn> & more")


def remind(*days: float) -> list[int]:
    return [
        access_reviews.remind_reviewers(now=NOW + timedelta(days=day)) for day in days
    ]


def test_a_reviewer_reads_how_much_waits_and_until_when(
    campaign: ReviewCampaign,
) -> None:
    assert remind(0) == [1]
    (letter,) = mail.outbox
    assert letter.to == ["bob@example.test"]
    assert letter.subject == "1 item waits for you in the access review <autumn> & more"
    assert "due on 2026-12-07 12:00 UTC, in 14 days" in letter.body
    assert f"http://testserver/reviews/{campaign.pk}/" in letter.body


def test_reviewers_are_reminded_before_the_end_and_daily_after_it(
    campaign: ReviewCampaign,
) -> None:
    assert remind(0, 0.1, 10.9, 11.1, 12, 13.9, 14, 14.5, 15, 15.5, 16.1) == (
        [1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 1]
    )
    assert mail.outbox[-1].subject.startswith("Overdue: ")
    assert "recorded as undecided" in mail.outbox[-1].body


def test_nobody_is_reminded_of_what_is_decided_or_over(
    campaign: ReviewCampaign, bob: User
) -> None:
    keep(campaign, by=bob)
    assert remind(0, 14) == [0, 0]
    finish(campaign)
    assert remind(20) == [0]


def test_a_reviewer_is_not_reminded_of_their_own_access(
    wiki: Application, alices_grant: Grant, alice: User, bob: User
) -> None:
    review(wiki, by=(alice, bob))
    assert remind(0) == [1]
    assert [letter.to for letter in mail.outbox] == [["bob@example.test"]]


def test_owners_are_reminded_of_their_application_only(
    wiki: Application, alices_grant: Grant, alice: User, bob: User, mallory: User
) -> None:
    make_grant(wiki, user=mallory)
    open_for_requests(wiki, owner=bob)
    review(wiki)
    remind(0)
    (letter,) = mail.outbox
    assert letter.subject.startswith("2 items wait for you")


def test_who_may_not_decide_any_more_is_not_written_to(
    campaign: ReviewCampaign, bob: User
) -> None:
    User.objects.filter(pk=bob.pk).update(role=Role.AUDITOR)
    assert remind(0) == [0]


def test_what_could_not_be_mailed_at_all_is_tried_again(
    campaign: ReviewCampaign, settings: Settings
) -> None:
    # Nobody listens on the port of discard.
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert remind(0) == [0]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert remind(0) == [1]


def test_an_overdue_review_is_an_event_once(campaign: ReviewCampaign) -> None:
    found = [
        access_reviews.report_overdue(now=NOW + day * DAY)
        for day in (0, 13, 14, 15, 30)
    ]
    assert found == [0, 0, 1, 0, 0]
    (event,) = AuditEvent.objects.filter(code="RQ008")
    assert (event.outcome, event.target_id) == ("A", campaign.ref.id)
    assert event.details == {"due_at": DUE.isoformat(), "undecided": 1}


def test_a_finished_review_is_never_overdue(
    campaign: ReviewCampaign, bob: User
) -> None:
    keep(campaign, by=bob)
    finish(campaign)
    assert access_reviews.report_overdue(now=NOW + 30 * DAY) == 0


def test_the_job_reports_and_reminds(campaign: ReviewCampaign) -> None:
    ReviewCampaign.objects.update(started_at=NOW - 300 * DAY, due_at=NOW - 200 * DAY)
    tasks.tend_reviews()
    assert AuditEvent.objects.filter(code="RQ008").count() == 1
    assert len(mail.outbox) == 1


def test_an_overdue_review_is_an_alarm_with_its_name(campaign: ReviewCampaign) -> None:
    watch_events(now=NOW)
    access_reviews.report_overdue(now=DUE)
    watch_events(now=DUE)
    alarm = Alarm.objects.get(rule="review-overdue")
    assert (alarm.key, alarm.count) == (campaign.ref.id, 1)
    assert "<autumn> & more is overdue" in alarm.sentence

"""Mail about requests: to those who can act on it, once, and again when it failed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from pytest_django import DjangoAssertNumQueries, Settings

from audit.actor import SYSTEM
from policies import services, tasks
from policies.models import AccessRequest, Application
from portal.accounts.models import User
from tests.conftest import MakeUser
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
def vault(wiki: Application, bob: User) -> Application:
    """An application of bob's that people may ask for."""
    return open_for_requests(wiki, owner=bob)


def readers() -> list[str]:
    return sorted(address for letter in mail.outbox for address in letter.to)


def test_an_approver_reads_who_wants_what_why_and_for_how_long(
    vault: Application, alice: User
) -> None:
    made = ask(vault, alice, reason="<on call> & more", duration=DAY + HOUR)
    assert services.remind_approvers(now=NOW) == 1
    (letter,) = mail.outbox
    assert (letter.to, letter.subject) == (
        ["bob@example.test"],
        "1 request is waiting for your answer",
    )
    assert letter.extra_headers == {"Auto-Submitted": "auto-generated"}
    for words in ("Alice asks for wiki, for 1 day 1 hour", "<on call> & more"):
        assert words in letter.body
    assert f"http://testserver/requests/{made.pk}/\n" in letter.body


def test_approvers_are_reminded_daily_until_somebody_answers(
    vault: Application, alice: User, bob: User
) -> None:
    made = ask(vault, alice)
    for hours in (0, 1, 23, 24, 25, 48):
        services.remind_approvers(now=NOW + hours * HOUR)
    assert len(mail.outbox) == 3
    approve(made, bob, now=NOW + 49 * HOUR)
    assert services.remind_approvers(now=NOW + 80 * HOUR) == 0


def test_many_requests_are_one_mail(
    vault: Application, alice: User, mallory: User
) -> None:
    ask(vault, alice)
    ask(vault, mallory)
    assert services.remind_approvers(now=NOW) == 1
    assert mail.outbox[0].subject.startswith("2 requests are")


def test_only_those_are_reminded_who_can_still_answer(
    wiki: Application, alice: User, bob: User, carol: User, mallory: User, dave: User
) -> None:
    approvers = group_of(alice, bob, carol, mallory)
    open_for_requests(wiki, approver_group=approvers, needs_two_approvals=True)
    made = ask(wiki, alice)
    services.remind_approvers(now=NOW)
    assert readers() == ["bob@example.test", "mallory@example.test"]
    approve(made, bob)
    mail.outbox.clear()
    services.remind_approvers(now=NOW + DAY)
    assert readers() == ["mallory@example.test"]


def test_administrators_are_reminded_where_too_few_are_named(
    vault: Application, alice: User, bob: User, dave: User
) -> None:
    open_for_requests(vault, owner=bob, needs_two_approvals=True)
    ask(vault, alice)
    services.remind_approvers(now=NOW)
    assert readers() == ["bob@example.test", "dave@example.test"]


def test_the_requester_reads_the_answer_once(
    vault: Application, alice: User, mallory: User, bob: User
) -> None:
    approve(ask(vault, alice), bob)
    refuse(ask(vault, mallory), bob, note="use the copy")
    assert [services.tell_requesters(now=NOW) for _ in range(2)] == [2, 0]
    approved, refused = sorted(mail.outbox, key=lambda letter: letter.to)
    assert "until 2026-11-24 12:00 UTC" in approved.body
    assert refused.subject == "Your request for wiki: refused"
    assert "Bob: use the copy" in refused.body


def test_the_requester_reads_that_nobody_answered(
    vault: Application, alice: User
) -> None:
    ask(vault, alice)
    services.expire_requests(now=NOW + 7 * DAY)
    services.tell_requesters(now=NOW + 7 * DAY)
    assert "Nobody answered it in time" in mail.outbox[0].body


@pytest.mark.parametrize(
    ("duration", "told_at"),
    [(10 * DAY, 9 * DAY), (4 * HOUR, 3 * HOUR)],
    ids=["a day before", "a quarter before"],
)
def test_an_end_is_announced_once_before_it_comes(
    duration: timedelta,
    told_at: timedelta,
    vault: Application,
    alice: User,
    bob: User,
) -> None:
    approve(ask(vault, alice, duration=duration), bob)
    minute = timedelta(minutes=1)
    moments = (told_at - minute, told_at, told_at + minute, duration)
    told = [services.remind_of_ends(now=NOW + moment) for moment in moments]
    assert told == [0, 1, 0, 0]
    assert mail.outbox[0].subject == "Your access to wiki ends soon"


def test_an_end_that_came_early_is_not_announced(
    vault: Application, alice: User, bob: User
) -> None:
    done = approve(ask(vault, alice), bob)
    services.end_requested_access(request=done, actor=SYSTEM, now=NOW)
    assert services.remind_of_ends(now=NOW + DAY - HOUR) == 0


def test_what_could_not_be_sent_is_tried_again(
    vault: Application, alice: User, bob: User, settings: Settings
) -> None:
    approve(ask(vault, alice), bob)
    # Nobody listens on the port of discard.
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert services.tell_requesters(now=NOW) == 0
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert services.tell_requesters(now=NOW) == 1


@pytest.mark.parametrize("address", ["", "a@example.test\nBcc: b@example.test"])
def test_a_person_without_a_proper_address_holds_up_nobody(
    address: str, vault: Application, alice: User, mallory: User, bob: User
) -> None:
    User.objects.filter(pk=alice.pk).update(email=address)
    for person in (alice, mallory):
        approve(ask(vault, person), bob)
    services.tell_requesters(now=NOW)
    assert readers() == ["mallory@example.test"]


def test_reminding_costs_the_same_for_many_people(
    vault: Application,
    make_user: MakeUser,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(5):
        ask(vault, make_user(f"p{number}"))
    # Requests, reviews, administrators, approvers, and one claim each.
    with django_assert_num_queries(4 + 5):
        services.remind_approvers(now=NOW)


def test_the_job_lets_requests_run_out_and_may_run_twice(
    vault: Application, alice: User
) -> None:
    ask(vault, alice)
    AccessRequest.objects.update(answer_by=NOW - 9 * DAY)
    for _ in range(2):
        tasks.tend_requests()
    assert AccessRequest.objects.get().state == "expired"
    assert readers() == ["alice@example.test"]

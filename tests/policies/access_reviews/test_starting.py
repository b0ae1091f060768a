"""A review freezes who holds what, with what they did, and never asks the wrong one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers.models import Gateway
from policies import access_reviews, services
from policies.access_reviews import starting
from policies.errors import InvalidCampaignError, PolicyError
from policies.models import Application, Grant, Label, ReviewCampaign, ReviewItem, Way
from policies.policy_files.applying import apply_policy
from portal.accounts.models import Group, GroupSource, User
from portal.accounts.services import deactivate_user
from tests.conftest import MakeUser
from tests.policies.campaigns import DAY, DUE, review, scope_of
from tests.policies.makers import NOW, make_application, make_grant
from tests.policies.policy_files.makers import grant, source
from tests.policies.requests import approve, ask, group_of, open_for_requests
from tests.policies.test_usage import reach

pytestmark = pytest.mark.django_db


def listed(campaign: ReviewCampaign) -> set[tuple[str, str, str]]:
    rows = ReviewItem.objects.filter(campaign=campaign)
    return {(str(row.person), str(row.grant or row.group), row.way) for row in rows}


@pytest.fixture
def tag(wiki: Application) -> Label:
    """A label that the wiki bears."""
    made = services.create_label(name="db", actor=SYSTEM, now=NOW)
    services.label_application(application=wiki, labels=[made], actor=SYSTEM, now=NOW)
    return made


def test_everybody_is_listed_once_with_each_grant_they_hold(
    alices_grant: Grant,
    wiki: Application,
    tag: Label,
    engineering: Group,
    mallory: User,
    bob: User,
    dave: User,
) -> None:
    make_grant(wiki, group=engineering)
    services.create_label_grant(label=tag, user=mallory, actor=SYSTEM, now=NOW)
    found = review(wiki, by=(dave,))
    assert listed(found) == {
        ("Alice", "Alice → wiki", "portal"),
        ("Alice", "engineering → wiki", "provider"),
        ("Bob", "engineering → wiki", "provider"),
        ("Mallory", "Mallory → wiki (tag:db)", "portal"),
    }


def test_what_is_over_and_who_is_disabled_is_not_listed(
    wiki: Application, alices_grant: Grant, bob: User, mallory: User, dave: User
) -> None:
    make_grant(wiki, user=bob, expires_at=NOW + timedelta(hours=1))
    services.end_grant(grant=alices_grant, actor=SYSTEM, now=NOW)
    make_grant(wiki, user=mallory, not_before=NOW + 30 * DAY)
    make_grant(wiki, user=dave)
    deactivate_user(user=dave, reason="left", actor=SYSTEM, now=NOW)
    found = review(wiki, by=(bob,), now=NOW + DAY)
    # What has yet to begin is held already.
    assert listed(found) == {("Mallory", "Mallory → wiki", "portal")}


def test_members_of_a_group_are_listed_once_whatever_it_is_granted(
    wiki: Application, gw1: Gateway, alice: User, bob: User, dave: User
) -> None:
    local = group_of(alice, bob, name="on call")
    make_grant(wiki, group=local)
    make_grant(make_application("git", "10.2.0.0/24", gateways=[gw1]), group=local)
    reach(wiki, alice, NOW - DAY)
    found = review(local, by=(dave,))
    assert listed(found) == {
        ("Alice", "on call", "portal"),
        ("Bob", "on call", "portal"),
    }
    used = {str(row.person): row.connections for row in found.items.all()}
    assert used == {"Alice": 1, "Bob": 0}


def test_members_of_a_providers_group_leave_it_there(
    engineering: Group, bob: User, dave: User
) -> None:
    found = review(engineering, by=(dave,))
    assert {way for _, _, way in listed(found)} == {"provider"}


def test_what_was_done_in_ninety_days_stands_beside_it(
    wiki: Application, alices_grant: Grant, bob: User, dave: User
) -> None:
    make_grant(wiki, user=bob)
    reach(wiki, alices_grant.user or dave, NOW - DAY)
    reach(wiki, bob, NOW - 91 * DAY, number=2)
    rows = {str(row.person): row for row in review(wiki, by=(dave,)).items.all()}
    assert (rows["Alice"].connections, rows["Alice"].last_used_at) == (1, NOW - DAY)
    assert (rows["Bob"].connections, rows["Bob"].last_used_at) == (0, None)


def test_what_a_label_gives_beyond_the_review_is_not_the_portals_to_end(
    wiki: Application, tag: Label, gw1: Gateway, alice: User, dave: User
) -> None:
    git = make_application("git", "10.2.0.0/24", gateways=[gw1])
    services.label_application(application=git, labels=[tag], actor=SYSTEM, now=NOW)
    services.create_label_grant(label=tag, user=alice, actor=SYSTEM, now=NOW)
    assert {way for _, _, way in listed(review(wiki, by=(dave,)))} == {Way.LABEL}
    both = review(wiki, git, by=(dave,))
    assert {way for _, _, way in listed(both)} == {Way.PORTAL}


def test_what_the_policy_file_makes_is_removed_in_the_file(
    alice: User, bob: User, mallory: User, dave: User, gw1: Gateway
) -> None:
    text = source(grant("alice@example.test", "git"))
    apply_policy(text, actor=SYSTEM, now=NOW)
    git = Application.objects.get()
    make_grant(git, user=bob)
    open_for_requests(git, owner=dave)
    approve(ask(git, mallory), dave)
    assert {(who, way) for who, _, way in listed(review(git, by=(dave,)))} == {
        ("Alice", Way.FILE),
        # The next file would end this one; a request is no file's to manage.
        ("Bob", Way.PORTAL),
        ("Mallory", Way.PORTAL),
    }


def test_a_file_that_nobody_can_apply_any_more_may_make_anything(
    alice: User, bob: User, dave: User, engineering: Group, gw1: Gateway
) -> None:
    apply_policy(source(grant("group:engineering", "git")), actor=SYSTEM, now=NOW)
    git = Application.objects.get()
    make_grant(git, user=bob)
    Group.objects.filter(pk=engineering.pk).update(name="was renamed")
    found = {
        way for who, what, way in listed(review(git, by=(dave,))) if "→ git" in what
    }
    assert found == {Way.PROVIDER, Way.FILE}


@pytest.mark.parametrize("people", [3, 30], ids=["few", "many"])
def test_the_number_of_queries_does_not_grow_with_people(
    people: int,
    wiki: Application,
    make_user: MakeUser,
    dave: User,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    group = group_of(*(make_user(f"member{n}") for n in range(people)), name="many")
    make_grant(wiki, group=group)
    for number in range(people):
        make_grant(wiki, user=make_user(f"own{number}"))
    with django_assert_num_queries(13):
        review(wiki, by=(dave,))
    assert ReviewItem.objects.count() == 2 * people


def test_owner_and_approvers_review_what_is_theirs_and_nothing_else(
    wiki: Application, alices_grant: Grant, gw1: Gateway, bob: User, mallory: User
) -> None:
    git = make_application("git", "10.2.0.0/24", gateways=[gw1])
    make_grant(git, user=alices_grant.user)
    open_for_requests(wiki, owner=bob)
    open_for_requests(git, approver_group=group_of(mallory))
    found = review(wiki, git)
    assert {(str(a.reviewer), str(a.application)) for a in found.assignments.all()} == {
        ("Bob", "wiki"),
        ("Mallory", "git"),
    }


def test_an_owner_with_access_of_their_own_is_joined_by_administrators(
    wiki: Application, bob: User, dave: User
) -> None:
    make_grant(wiki, user=bob)
    open_for_requests(wiki, owner=bob)
    assert {str(a.reviewer) for a in review(wiki).assignments.all()} == {"Bob", "Dave"}


def test_administrators_review_where_nobody_answers(
    alices_grant: Grant, wiki: Application, carol: User, dave: User
) -> None:
    assert [str(a.reviewer) for a in review(wiki).assignments.all()] == ["Dave"]


def test_an_auditor_who_owns_an_application_does_not_review_it(
    alices_grant: Grant, wiki: Application, carol: User, dave: User
) -> None:
    Application.objects.filter(pk=wiki.pk).update(owner=carol)
    wiki.refresh_from_db()
    assert [str(a.reviewer) for a in review(wiki).assignments.all()] == ["Dave"]


REFUSED = {
    "alone": "the only one to review their own access",
    "auditor": "is an auditor",
    "disabled": "is disabled",
    "nobody": "nothing to review",
    "past": "is past",
    "far": "within a year",
    "both": "applications or groups",
    "group": "name a reviewer",
    "untitled": "name",
    "many": "a review has 0 at most",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_stored_nowhere_and_logged(
    case: str,
    alices_grant: Grant,
    wiki: Application,
    alice: User,
    bob: User,
    carol: User,
    engineering: Group,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = Group.objects.create(source=GroupSource.LOCAL, name="g", created_at=NOW)
    made = {
        "alone": lambda: review(wiki, by=(alice,)),
        "auditor": lambda: review(wiki, by=(carol,)),
        "disabled": lambda: review(wiki, by=(bob,)),
        "nobody": lambda: review(group, by=(alice,)),
        "past": lambda: review(wiki, by=(carol,), due=NOW),
        "far": lambda: review(wiki, by=(bob,), due=NOW + 400 * DAY),
        "both": lambda: review(wiki, engineering, by=(bob,)),
        "group": lambda: review(engineering),
        "untitled": lambda: review(wiki, by=(bob,), title=" "),
        "many": lambda: review(wiki, by=(bob,)),
    }
    if case == "disabled":
        deactivate_user(user=bob, reason="left", actor=SYSTEM, now=NOW)
        bob.refresh_from_db()
    if case == "many":
        monkeypatch.setattr(starting, "MAX_ITEMS", 0)
    with pytest.raises(PolicyError, match=REFUSED[case]):
        made[case]()
    assert not ReviewCampaign.objects.exists()
    event = AuditEvent.objects.latest("pk")
    assert (event.code, event.outcome) == ("RQ005", "W")


def test_the_only_administrator_cannot_review_their_own_access_alone(
    wiki: Application, dave: User
) -> None:
    make_grant(wiki, user=dave)
    with pytest.raises(InvalidCampaignError, match="Dave would be the only one"):
        review(wiki)


def test_nobody_left_to_review_is_refused(
    wiki: Application, alices_grant: Grant
) -> None:
    with pytest.raises(InvalidCampaignError, match="nobody could review this"):
        review(wiki)


def test_the_start_is_an_event_with_its_size(
    alices_grant: Grant, wiki: Application, dave: User
) -> None:
    found = review(wiki, by=(dave,))
    event = AuditEvent.objects.get(code="RQ005")
    assert (event.outcome, event.target_id) == ("I", found.ref.id)
    assert event.details == {
        "scope": "applications",
        "applications": [wiki.ref.id],
        "groups": [],
        "reviewers": [dave.ref.id],
        "items": 1,
        "people": 1,
        "due_at": DUE.isoformat(),
    }


def test_a_preview_says_how_large_it_would_be_and_starts_nothing(
    alices_grant: Grant, wiki: Application, engineering: Group, bob: User, dave: User
) -> None:
    make_grant(wiki, group=engineering)
    found = access_reviews.preview(scope=scope_of(wiki), reviewers=(dave,), now=NOW)
    assert (found.items, found.people, found.unused, found.not_ours) == (3, 2, 3, 2)
    assert [*found.reviewers] == [dave]
    assert not ReviewCampaign.objects.exists()
    assert not AuditEvent.objects.filter(code="RQ005").exists()

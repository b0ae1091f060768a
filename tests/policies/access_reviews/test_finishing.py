"""What a finished review ends, what it leaves to a human, and what it says of both."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.actor import SYSTEM
from audit.models import AuditEvent, Log, Prune
from peers.models import Gateway
from policies import access_reviews, services
from policies.access_reviews.results import is_as_logged, still_held, still_reached
from policies.errors import CampaignOverError, InvalidCampaignError
from policies.models import (
    Application,
    Grant,
    Label,
    LabelGrant,
    ReviewCampaign,
    ReviewItem,
)
from policies.policy_files.applying import apply_policy
from policies.whatif import outlook
from portal import revocation
from portal.accounts.models import Group, Membership, User
from tests.conftest import MakeUser
from tests.peers.makers import Machine
from tests.policies.campaigns import (
    DAY,
    DUE,
    finish,
    keep,
    outcomes,
    remove,
    review,
)
from tests.policies.makers import NOW, content, make_application, make_grant, publish
from tests.policies.policy_files.makers import grant, source
from tests.policies.requests import group_of

pytestmark = pytest.mark.django_db


def codes(code: str) -> list[AuditEvent]:
    return [*AuditEvent.objects.filter(code=code).order_by("pk")]


@pytest.fixture
def git(gw1: Gateway) -> Application:
    """A second application."""
    return make_application("git", "10.2.0.0/24", gateways=[gw1])


@pytest.fixture
def tag(wiki: Application, git: Application) -> Label:
    """A label that both applications bear."""
    made = services.create_label(name="db", actor=SYSTEM, now=NOW)
    for application in (wiki, git):
        services.label_application(
            application=application, labels=[made], actor=SYSTEM, now=NOW
        )
    return made


def test_what_is_removed_ends_at_the_finish_and_gateways_hear_of_it(
    wiki: Application,
    alices_grant: Grant,
    alice: User,
    bob: User,
    dave: User,
    gw1: Gateway,
) -> None:
    Machine().enroll(alice)
    make_grant(wiki, user=bob)
    publish()
    campaign = review(wiki, by=(dave,))
    remove(campaign, alice, by=dave)
    keep(campaign, bob, by=dave)
    finish(campaign)
    publish()
    alices_grant.refresh_from_db()
    assert alices_grant.ended_at == NOW
    assert alices_grant.pk not in {found.id for found in content(gw1).grants}
    assert outcomes(campaign) == {
        "Alice": ("ended", "portal"),
        "Bob": ("kept", "portal"),
    }
    assert [event.target_id for event in codes("PL006")] == [alices_grant.ref.id]


def test_a_groups_grant_ends_when_all_of_its_members_are_to_lose_it(
    wiki: Application, engineering: Group, alice: User, bob: User, dave: User
) -> None:
    made = make_grant(wiki, group=engineering)
    campaign = review(wiki, by=(dave,))
    remove(campaign, by=dave)
    finish(campaign)
    made.refresh_from_db()
    assert made.ended_at == NOW
    assert {*outcomes(campaign).values()} == {("ended", "portal")}


def test_who_is_kept_keeps_the_groups_grant_and_the_rest_is_told(
    wiki: Application, engineering: Group, alice: User, bob: User, dave: User
) -> None:
    made = make_grant(wiki, group=engineering)
    campaign = review(wiki, by=(dave,))
    remove(campaign, alice, by=dave)
    keep(campaign, bob, by=dave)
    finish(campaign)
    made.refresh_from_db()
    assert made.ended_at is None
    assert outcomes(campaign)["Alice"] == ("follow_up", "provider")


def test_who_joined_meanwhile_was_not_asked_about_and_loses_nothing(
    wiki: Application, alice: User, mallory: User, dave: User
) -> None:
    group = group_of(alice)
    made = make_grant(wiki, group=group)
    campaign = review(wiki, by=(dave,))
    remove(campaign, by=dave)
    Membership.objects.create(user=mallory, group=group, since=NOW)
    finish(campaign)
    made.refresh_from_db()
    assert made.ended_at is None
    assert outcomes(campaign)["Alice"] == ("follow_up", "group")


def test_the_grant_of_a_label_ends_when_all_it_gives_was_reviewed(
    wiki: Application, git: Application, tag: Label, alice: User, dave: User
) -> None:
    services.create_label_grant(label=tag, user=alice, actor=SYSTEM, now=NOW)
    one = review(wiki, by=(dave,), title="one")
    remove(one, by=dave)
    finish(one)
    assert outcomes(one)["Alice"] == ("follow_up", "label")
    assert LabelGrant.objects.get().ended_at is None
    both = review(wiki, git, by=(dave,), title="both")
    remove(both, by=dave)
    finish(both)
    assert {row.outcome for row in both.items.all()} == {"ended"}
    assert LabelGrant.objects.get().ended_at == NOW
    assert not Grant.objects.filter(ended_at=None).exists()


def test_what_the_policy_file_would_grant_again_is_not_said_to_be_removed(
    alice: User, dave: User, gw1: Gateway
) -> None:
    apply_policy(source(grant("alice@example.test", "git")), actor=SYSTEM, now=NOW)
    campaign = review(Application.objects.get(), by=(dave,))
    remove(campaign, by=dave)
    finish(campaign)
    assert outcomes(campaign)["Alice"] == ("follow_up", "file")
    assert Grant.objects.get().ended_at is None
    assert codes("RQ006")[0].details["follow_up"] == 1
    assert codes("RQ006")[0].details["ended"] == 0


def test_members_leave_a_local_group_and_stay_in_a_providers(
    wiki: Application, engineering: Group, alice: User, bob: User, dave: User
) -> None:
    local = group_of(alice, bob, name="on call")
    campaign = review(local, by=(dave,))
    remove(campaign, alice, by=dave)
    keep(campaign, bob, by=dave)
    other = review(engineering, by=(dave,), title="other")
    remove(other, by=dave)
    finish(campaign)
    finish(other)
    assert [*local.users.all()] == [bob]
    assert {*engineering.users.all()} == {alice, bob}
    assert {*outcomes(other).values()} == {("follow_up", "provider")}
    (event,) = codes("ID010")
    assert event.details["removed"] == [{"id": local.ref.id, "name": "on call"}]


def test_what_is_gone_by_then_is_not_said_to_be_removed(
    wiki: Application, alices_grant: Grant, mallory: User, dave: User
) -> None:
    group = group_of(mallory)
    make_grant(wiki, group=group)
    campaign = review(wiki, by=(dave,))
    members = review(group, by=(dave,), title="members")
    for some in (campaign, members):
        remove(some, by=dave)
    services.end_grant(grant=alices_grant, actor=SYSTEM, now=NOW)
    Membership.objects.filter(group=group).delete()
    for some in (campaign, members):
        finish(some)
        assert {outcome for outcome, _ in outcomes(some).values()} == {"gone"}


def test_before_its_due_date_everything_is_decided(
    wiki: Application, alices_grant: Grant, bob: User, dave: User
) -> None:
    campaign = review(wiki, by=(dave,))
    with pytest.raises(CampaignOverError, match="1 items are undecided"):
        finish(campaign)
    (event,) = codes("RQ006")
    assert event.outcome == "W"
    keep(campaign, by=dave)
    assert finish(campaign).finished_at == NOW


def test_what_nobody_decided_is_kept_and_recorded_as_undecided(
    wiki: Application, alices_grant: Grant, dave: User
) -> None:
    campaign = review(wiki, by=(dave,))
    finish(campaign, now=DUE)
    alices_grant.refresh_from_db()
    assert alices_grant.ended_at is None
    assert outcomes(campaign)["Alice"] == ("undecided", "portal")
    (event,) = codes("RQ006")
    assert (event.details["undecided"], event.details["kept"]) == (1, 0)


def test_a_review_is_finished_once(
    wiki: Application, alices_grant: Grant, dave: User
) -> None:
    campaign = review(wiki, by=(dave,))
    remove(campaign, by=dave)
    finish(campaign)
    with pytest.raises(CampaignOverError):
        finish(campaign)
    with pytest.raises(CampaignOverError):
        access_reviews.call_off_review(
            campaign=campaign, reason="late", actor=SYSTEM, now=NOW
        )
    assert [event.outcome for event in codes("RQ006")] == ["I", "W", "W"]


def test_a_review_that_is_called_off_applies_nothing_and_forgets_nothing(
    wiki: Application, alices_grant: Grant, dave: User
) -> None:
    campaign = review(wiki, by=(dave,))
    remove(campaign, by=dave)
    with pytest.raises(InvalidCampaignError, match="say why"):
        access_reviews.call_off_review(
            campaign=campaign, reason=" ", actor=SYSTEM, now=NOW
        )
    access_reviews.call_off_review(
        campaign=campaign, reason="wrong application", actor=SYSTEM, now=NOW
    )
    alices_grant.refresh_from_db()
    assert alices_grant.ended_at is None
    found = ReviewItem.objects.get()
    assert (found.decision, found.outcome) == ("remove", "not_applied")
    event = codes("RQ006")[-1]
    assert (event.reason, event.details["is_called_off"]) == ("wrong application", True)


def test_the_event_holds_a_digest_that_tells_a_later_change(
    wiki: Application, alices_grant: Grant, dave: User
) -> None:
    campaign = review(wiki, by=(dave,))
    remove(campaign, by=dave)
    finish(campaign)
    told = codes("RQ006")[0].details["result_sha256"]
    campaign = ReviewCampaign.objects.get()
    assert campaign.result_sha256 == told
    assert access_reviews.result_digest(campaign.items.all()) == told
    campaign.items.update(note="(forgotten)")
    assert access_reviews.result_digest(campaign.items.all()) == told
    campaign.items.update(decided_by=alices_grant.user)
    assert access_reviews.result_digest(campaign.items.all()) != told


def test_a_review_whose_event_was_pruned_is_not_called_changed(
    wiki: Application, alices_grant: Grant, dave: User
) -> None:
    campaign = review(wiki, by=(dave,))
    ReviewCampaign.objects.update(state="finished", finished_at=NOW)
    campaign.refresh_from_db()
    # Without a prune, somebody finished it in the database.
    assert is_as_logged(campaign) is False
    prune = Prune.objects.create(
        log=Log.CONTROL,
        begin=0,
        below=1,
        root=b"",
        hashes=b"",
        reason="old",
        proposer_id="us_1",
        proposed_at=NOW + DAY,
    )
    assert is_as_logged(campaign) is False
    Prune.objects.filter(pk=prune.pk).update(done_at=NOW + 2 * DAY)
    assert is_as_logged(campaign) is None
    ReviewCampaign.objects.update(finished_at=NOW + 3 * DAY)
    campaign.refresh_from_db()
    assert is_as_logged(campaign) is False


def test_the_effect_is_shown_before_and_nothing_of_it_stays(
    wiki: Application, alices_grant: Grant, alice: User, dave: User
) -> None:
    Machine().enroll(alice)
    campaign = review(wiki, by=(dave,))
    remove(campaign, by=dave)
    seen = outlook(lambda: finish(campaign), now=NOW)
    assert seen.effect.losers == {alice.pk}
    assert ReviewCampaign.objects.get().is_open
    assert outcomes(campaign)["Alice"][0] == ""


def test_who_is_disabled_meanwhile_does_not_get_it_back_when_enabled(
    wiki: Application, alices_grant: Grant, alice: User, mallory: User, dave: User
) -> None:
    group = group_of(alice, mallory)
    shared = make_grant(wiki, group=group)
    campaign = review(wiki, by=(dave,))
    remove(campaign, by=dave)
    revocation.revoke_user(
        user=alice, reason="left", actor=SYSTEM, requested_at=NOW, now=NOW
    )
    finish(campaign, now=NOW + DAY)
    assert {row.outcome for row in campaign.items.all()} == {"ended"}
    for found in (alices_grant, shared):
        found.refresh_from_db()
        assert found.ended_at == NOW + DAY


def test_gateways_are_held_once_and_last_however_much_ends(
    wiki: Application,
    tag: Label,
    alices_grant: Grant,
    alice: User,
    bob: User,
    dave: User,
) -> None:
    for user in (alice, bob):
        services.create_label_grant(label=tag, user=user, actor=SYSTEM, now=NOW)
    few = review(wiki, Application.objects.get(name="git"), by=(dave,))
    remove(few, by=dave)
    with CaptureQueriesContext(connection) as captured:
        finish(few)
    told = [query["sql"] for query in captured]
    held = [n for n, sql in enumerate(told) if "policies_publication" in sql]
    logged = [n for n, sql in enumerate(told) if "audit_auditevent" in sql]
    ended = [n for n, sql in enumerate(told) if 'UPDATE "policies_grant"' in sql]
    assert len(ended) == 1
    assert sum("FOR UPDATE" in told[n] for n in held) <= 1
    assert [n for n in logged if n < held[0]]
    assert max(ended) < held[0]
    assert len(codes("PL006")) == 5


def test_the_number_of_statements_does_not_grow_with_what_ends(
    wiki: Application, bob: User, dave: User, make_user: MakeUser
) -> None:
    counts = []
    for number in (2, 6):
        people = [make_user(f"p{number}-{n}") for n in range(number)]
        for user in people:
            make_grant(wiki, user=user)
        group = group_of(*people, name=f"group {number}")
        counted = []
        for what in (wiki, group):
            campaign = review(what, by=(dave,))
            remove(campaign, by=dave)
            with CaptureQueriesContext(connection) as captured:
                finish(campaign)
            counted.append(len(captured))
        counts.append(counted)
    assert counts[0] == counts[1]


def test_what_has_expired_since_is_not_said_to_be_held_or_reached(
    wiki: Application, alice: User, bob: User, dave: User
) -> None:
    group = group_of(alice, bob)
    make_grant(wiki, group=group, expires_at=NOW + DAY)
    campaign = review(wiki, by=(dave,))
    remove(campaign, alice, by=dave)
    keep(campaign, bob, by=dave)
    finish(campaign)
    items = [*campaign.items.all()]
    every = {item.pk for item in items}
    assert still_held(items, now=NOW) == still_reached(items, now=NOW) == every
    later = NOW + 2 * DAY
    assert still_held(items, now=later) == still_reached(items, now=later) == set()


def test_what_another_grant_gives_still_is_told(
    wiki: Application,
    alices_grant: Grant,
    alice: User,
    bob: User,
    mallory: User,
    dave: User,
) -> None:
    local, other = group_of(alice, bob, mallory), group_of(bob, name="other")
    campaign = review(local, by=(dave,))
    remove(campaign, by=dave)
    for group in (local, other):
        make_grant(wiki, group=group)
    finish(campaign)
    items = [*campaign.items.select_related("person", "grant")]
    assert {*outcomes(campaign).values()} == {("ended", "portal")}
    assert not still_held(items, now=NOW)
    reached = still_reached(items, now=NOW)
    by_name = {str(item.person) for item in items if item.pk in reached}
    assert by_name == {"Alice", "Bob"}
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert len(still_reached([*campaign.items.all()], now=NOW)) == 1

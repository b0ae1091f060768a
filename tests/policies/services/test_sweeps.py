"""What time changes is found: due grants, silent agents, dead publishers, tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.models import AuditEvent
from peers import services as peers_services
from peers.models import EnrolmentChallenge, Gateway, GatewayEnrolmentToken
from policies import services, tasks
from policies.models import AgentState, Application, Publication
from portal.accounts.models import User
from tests.peers.makers import Machine, codes
from tests.policies.makers import NOW, content, make_grant, publish

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def test_grant_that_begins_is_published_when_it_begins(
    gw1: Gateway, wiki: Application, alice: User
) -> None:
    Machine().enroll(alice)
    make_grant(wiki, user=alice, not_before=NOW + HOUR)
    publish()
    assert Publication.objects.get().next_change_at == NOW + HOUR
    assert services.republish_due_snapshots(now=NOW + HOUR / 2) == []
    assert len(services.republish_due_snapshots(now=NOW + HOUR)) == 1
    assert len(content(gw1).peers) == 1


def test_grant_that_ends_leaves_when_it_ends(
    gw1: Gateway, wiki: Application, alice: User
) -> None:
    Machine().enroll(alice)
    make_grant(wiki, user=alice, expires_at=NOW + HOUR)
    publish()
    assert content(gw1).peers[0].expires_at == NOW + HOUR
    assert len(services.republish_due_snapshots(now=NOW + HOUR)) == 1
    assert content(gw1).peers == ()
    assert Publication.objects.get().next_change_at is None


def test_fault_44_without_a_sweep_an_ended_grant_is_told_as_ended_and_never_again(
    gw1: Gateway, wiki: Application, alice: User, bob: User
) -> None:
    """The kernel's half is in `tests/faults/test_ends.py`."""
    Machine().enroll(alice)
    ended = make_grant(wiki, user=alice, expires_at=NOW + HOUR)
    publish()
    # What gateways hold says when it ends, whoever is dead by then.
    assert [g.expires_at for g in content(gw1).grants] == [NOW + HOUR]
    # Nobody swept; somebody else's change compiles.
    make_grant(wiki, user=bob)
    publish(now=NOW + 2 * HOUR)
    assert ended.pk not in {g.id for g in content(gw1).grants}
    assert content(gw1).peers == ()


def test_change_whose_publisher_died_is_published(
    gw1: Gateway, wiki: Application, alice: User
) -> None:
    publish()
    make_grant(wiki, user=alice)
    assert Publication.objects.get().stale_since == NOW
    assert len(services.republish_due_snapshots(now=NOW)) == 1
    assert Publication.objects.get().stale_since is None
    assert content(gw1).generation == 2


def test_sweep_with_nothing_due_changes_nothing(gw1: Gateway) -> None:
    assert len(services.republish_due_snapshots(now=NOW)) == 1
    before = codes()
    assert services.republish_due_snapshots(now=NOW + HOUR) == []
    assert codes() == before
    assert gw1.publication.generation == 1


def test_silent_agent_is_reported_once(gw1: Gateway) -> None:
    for seconds in (80, 100, 200):
        services.report_lost_agents(now=NOW + timedelta(seconds=seconds))
    assert codes() == ["GW003A"]
    assert AuditEvent.objects.get().gateway_id == gw1.ref.id


def test_agent_that_spoke_and_went_silent_again_is_reported_again(gw1: Gateway) -> None:
    services.report_lost_agents(now=NOW + HOUR)
    Gateway.objects.update(seen_at=NOW + 2 * HOUR)
    assert services.report_lost_agents(now=NOW + 2 * HOUR) == []
    assert services.report_lost_agents(now=NOW + 3 * HOUR) == [gw1]
    assert codes() == ["GW003A", "GW003A"]


def test_agent_that_speaks_again_is_told_of_once(gw1: Gateway) -> None:
    services.report_lost_agents(now=NOW + HOUR)
    assert services.report_agents_back(now=NOW + HOUR) == []
    Gateway.objects.update(seen_at=NOW + 2 * HOUR)
    assert services.report_agents_back(now=NOW + 2 * HOUR) == [gw1]
    assert services.report_agents_back(now=NOW + 3 * HOUR) == []
    assert codes() == ["GW003A", "GW002I"]


def test_agent_that_never_enrolled_is_not_missed(gw1: Gateway) -> None:
    Gateway.objects.update(state="pending")
    assert services.report_lost_agents(now=NOW + HOUR) == []
    assert not AgentState.objects.filter(gateway=gw1).exists()


def test_challenges_and_old_tokens_are_deleted(gw1: Gateway, alice: User) -> None:
    peers_services.create_challenge(user=alice, now=NOW)
    GatewayEnrolmentToken.objects.create(
        gateway=gw1, token_sha256="0" * 64, created_at=NOW, expires_at=NOW
    )
    assert services.clean_up(now=NOW) == 0
    assert services.clean_up(now=NOW + HOUR) == 1
    assert services.clean_up(now=NOW + timedelta(days=31)) == 1
    assert not EnrolmentChallenge.objects.exists()


@pytest.mark.parametrize(
    "task",
    [tasks.republish_due_snapshots, tasks.report_lost_agents, tasks.clean_up],
    ids=lambda task: task.name,
)
def test_every_job_may_run_twice(task: object, gw1: Gateway) -> None:
    assert gw1.pk
    task()  # type: ignore[operator]
    before = codes()
    task()  # type: ignore[operator]
    assert codes() == before

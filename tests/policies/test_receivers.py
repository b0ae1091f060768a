"""News of people and peers is published; a new proof only where it is judged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest

from audit.actor import SYSTEM
from peers.models import Device, Gateway
from policies import services
from policies.conditions import ConditionsInput
from policies.models import Application, Publication
from portal.accounts.models import Group, User
from portal.accounts.services import keep_authentication
from tests.peers.makers import Machine, make_gateway
from tests.policies.makers import content, make_application, make_grant, publish

pytestmark = pytest.mark.django_db
Commit = Callable[[], AbstractContextManager[object]]


@pytest.fixture
def clock() -> datetime:
    """Return the time: a signal carries none."""
    return datetime.now(UTC)  # noqa: TID251 -- a test's edge


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


def demand(application: Application, now: datetime, **subject: User | Group) -> None:
    services.create_grant(
        application=application,
        conditions=ConditionsInput(max_auth_age_seconds=3600, amr=("mfa",)),
        actor=SYSTEM,
        now=now,
        **subject,  # type: ignore[arg-type]
    )


def prove(user: User, now: datetime, *amr: str) -> None:
    claims = {"auth_time": int(now.timestamp()), "amr": [*amr]}
    keep_authentication(user=user, claims=claims, now=now)


def generations() -> dict[int, int]:
    return dict(Publication.objects.values_list("pk", "generation"))


def test_a_sign_in_opens_what_demands_it_and_a_weaker_one_closes_it(
    gw1: Gateway,
    wiki: Application,
    laptop: Device,
    alice: User,
    clock: datetime,
    commit: Commit,
) -> None:
    with commit():
        demand(wiki, clock, user=alice)
    assert content(gw1).peers == ()
    with commit():
        prove(alice, clock, "mfa", "pwd")
    assert [peer.device_id for peer in content(gw1).peers] == [laptop.pk]
    with commit():
        prove(alice, clock, "pwd")
    assert content(gw1).peers == ()


@pytest.mark.usefixtures("laptop")
def test_only_gateways_that_judge_a_proof_hear_of_it(
    gw1: Gateway,
    wiki: Application,
    alice: User,
    engineering: Group,
    clock: datetime,
    commit: Commit,
) -> None:
    gw2 = make_gateway("gw2")
    Gateway.objects.filter(pk=gw2.pk).update(state="enrolled")
    make_grant(make_application("docs", "10.2.0.0/24", gateways=[gw2]), user=alice)
    demand(wiki, clock, group=engineering)
    publish(now=clock)
    Publication.objects.update(stale_since=None)
    prove(alice, clock, "mfa")
    stale = Publication.objects.filter(stale_since__isnull=False)
    assert [*stale.values_list("pk", flat=True)] == [gw1.pk]


def test_where_nothing_demands_a_proof_nobody_hears_of_it(
    wiki: Application, mallory: User, alice: User, clock: datetime
) -> None:
    make_grant(wiki, user=alice)
    demand(wiki, clock, user=mallory)
    Publication.objects.update(stale_since=None)
    prove(alice, clock, "mfa")
    assert not Publication.objects.filter(stale_since__isnull=False).exists()


def test_who_is_granted_nothing_that_demands_it_changes_no_generation(
    wiki: Application, alice: User, clock: datetime, commit: Commit
) -> None:
    make_grant(wiki, user=alice)
    publish(now=clock)
    before = generations()
    with commit():
        prove(alice, clock, "mfa")
    assert generations() == before

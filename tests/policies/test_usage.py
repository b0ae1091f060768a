"""Who could beside who did: what was never used is found, and nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_address

import pytest

from audit.actor import SYSTEM, Ref
from audit.flows import AttributedFlow
from audit.models import FlowKind
from audit.services import record_flows
from peers.models import Gateway
from policies.models import Application, Grant
from policies.services import end_grant
from policies.usage import Finding, Usage, usage_of_application, usage_of_person
from portal.accounts.models import User
from tests.peers.makers import Machine, make_pools
from tests.policies.makers import make_application, make_grant, publish

pytestmark = pytest.mark.django_db
WEEK = timedelta(days=7)


@pytest.fixture
def wiki(gw1: Gateway) -> Application:
    """An application behind gw1."""
    return make_application("wiki", "10.1.0.0/24", gateways=[gw1])


@pytest.fixture
def granted(
    wiki: Application, alice: User, bob: User, now: datetime
) -> dict[str, Grant]:
    """Alice and bob may reach it, and have a machine each."""
    make_pools()
    made = {user.name: make_grant(wiki, user=user) for user in (alice, bob)}
    for user in (alice, bob):
        Machine().enroll(user, name=f"{user.name}'s laptop")
    publish()
    return made


def reach(application: Application, who: User, at: datetime, number: int = 1) -> None:
    """Let somebody reach it at a moment."""
    told = AttributedFlow(
        kind=FlowKind.OPEN,
        sequence=number,
        at=at,
        flow=f"f{number}",
        protocol=6,
        source=ip_address("100.64.0.7"),
        destination=ip_address("10.1.0.7"),
        person=who.ref,
        application=application.ref,
    )
    record_flows(gateway=Ref(id="gw_1", label="edge"), flows=[told], now=at)


def findings(usage: Usage) -> dict[str, Finding]:
    return {row.person: row.finding for row in usage.rows}


@pytest.mark.usefixtures("granted")
def test_who_could_and_never_did_is_a_candidate(
    wiki: Application, alice: User, now: datetime
) -> None:
    later = now + WEEK
    reach(wiki, alice, now + timedelta(days=1))
    found = usage_of_application(wiki, now + timedelta(hours=1), later, now=later)
    assert findings(found) == {"Alice": Finding.USED, "Bob": Finding.NEVER_USED}
    assert [row.person for row in found.candidates] == ["Bob"]
    assert found.rows[0].person == "Bob"


@pytest.mark.usefixtures("granted")
def test_use_outside_of_the_period_does_not_count(
    wiki: Application, alice: User, now: datetime
) -> None:
    later = now + 2 * WEEK
    reach(wiki, alice, now + timedelta(days=1))
    found = usage_of_application(wiki, now + WEEK, later, now=later)
    assert findings(found)["Alice"] is Finding.NEVER_USED


def test_access_that_began_in_the_period_is_new(
    wiki: Application, granted: dict[str, Grant], now: datetime
) -> None:
    later = now + WEEK
    found = usage_of_application(wiki, now - WEEK, later, now=later)
    assert set(findings(found).values()) == {Finding.NEW}
    assert found.candidates == ()


def test_access_that_ended_is_no_candidate(
    wiki: Application, granted: dict[str, Grant], alice: User, now: datetime
) -> None:
    later = now + WEEK
    reach(wiki, alice, now + timedelta(days=1))
    for grant in granted.values():
        end_grant(grant=grant, actor=SYSTEM, now=now + timedelta(days=2))
    found = usage_of_application(wiki, now + timedelta(hours=1), later, now=later)
    assert findings(found) == {"Alice": Finding.USED_AND_ENDED, "Bob": Finding.ENDED}


@pytest.mark.usefixtures("granted")
def test_the_same_is_told_of_a_person(
    wiki: Application, alice: User, now: datetime
) -> None:
    later = now + WEEK
    found = usage_of_person(alice, now + timedelta(hours=1), later, now=later)
    [row] = found.candidates
    assert (row.application, row.person_id) == ("wiki", alice.ref.id)
    assert row.grants

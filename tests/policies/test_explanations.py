"""Explanations from the tables and from stored snapshots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address

import pytest
from pytest_django import DjangoAssertNumQueries

from audit.actor import SYSTEM
from peers.models import Device, Gateway, GatewayState
from peers.services import retire_gateway, revoke_device
from policies import services
from policies.compiler.explanation import Condition, Question
from policies.destinations import DestinationInput
from policies.explanations import Answer, GatewayAnswer, answer
from policies.models import Application, Grant, Lockable, Publication, Snapshot
from policies.reports import parse_report
from policies.wording import answer_output, term_sentences
from portal.accounts.models import Group, User
from portal.accounts.services import deactivate_user
from tests.peers.makers import Machine
from tests.policies.makers import (
    NOW,
    agent,
    make_application,
    make_grant,
    moment,
    publish,
    report,
)

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
NOON = Question(destination=ip_address("10.1.0.7"), protocol=6, port=443, at=NOW)


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


def acknowledge(snapshot: Snapshot, *, seconds: int) -> None:
    services.record_acknowledgement(
        gateway=snapshot.gateway,
        report=parse_report(
            report(
                snapshot,
                received_at=moment(seconds=seconds),
                applied_at=moment(seconds=seconds),
            )
        ),
        actor=agent(snapshot.gateway),
        now=NOW + timedelta(seconds=seconds),
    )


def ask(
    person: User,
    device: Device | None = None,
    question: Question = NOON,
    *,
    now: datetime | None = None,
    with_others: bool = True,
) -> Answer:
    return answer(
        person,
        device,
        question,
        now=now or question.at,
        with_others=with_others,
    )


def then(person: User, *, seconds: int) -> Answer:
    """Ask a day later about a moment `seconds` after NOW."""
    asked = replace(NOON, at=NOW + timedelta(seconds=seconds))
    return ask(person, question=asked, now=NOW + timedelta(days=1))


def conditions(found: GatewayAnswer) -> Sequence[Sequence[Condition]]:
    assert found.explanation is not None
    return [
        [failure.condition for failure in candidate.failures]
        for candidate in found.explanation.candidates
    ]


def test_a_grant_in_force_allows_and_is_named(
    alice: User, alices_grant: Grant, laptop: Device, gw1: Gateway
) -> None:
    found = ask(alice)
    assert (found.is_allowed, found.is_past) == (True, False)
    [part] = found.gateways
    assert part.gateway == gw1
    assert part.explanation is not None
    assert [grant.id for grant in part.explanation.grants] == [alices_grant.pk]
    assert part.explanation.device_ids == (laptop.pk,)
    assert found.names[alices_grant.ref.id] == "Alice → wiki"


def test_every_condition_that_failed_is_listed(
    bob: User, alices_grant: Grant, pools: None
) -> None:
    [part] = ask(bob).gateways
    assert conditions(part) == [[Condition.NO_DEVICE, Condition.NOT_MEMBER]]


def test_a_grant_to_a_group_holds_its_members(
    wiki: Application, engineering: Group, bob: User, mallory: User
) -> None:
    make_grant(wiki, group=engineering)
    Machine().enroll(bob)
    Machine().enroll(mallory)
    assert ask(bob).is_allowed
    assert conditions(ask(mallory).gateways[0]) == [[Condition.NOT_MEMBER]]


def test_a_grant_that_was_ended_or_has_not_begun_says_when(
    alice: User, wiki: Application, alices_grant: Grant, laptop: Device
) -> None:
    make_grant(wiki, user=alice, not_before=NOW + HOUR, expires_at=NOW + 2 * HOUR)
    services.end_grant(grant=alices_grant, actor=SYSTEM, now=NOW)
    [part] = ask(alice).gateways
    assert conditions(part) == [[Condition.ENDED], [Condition.NOT_BEGUN]]
    later = replace(NOON, at=NOW + HOUR)
    assert ask(alice, question=later, now=NOW).is_allowed


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_disabled_person_is_told_so(alice: User) -> None:
    deactivate_user(user=alice, reason="left", actor=SYSTEM, now=NOW)
    alice.refresh_from_db()
    [part] = ask(alice).gateways
    assert Condition.USER_DISABLED in conditions(part)[0]


@pytest.mark.usefixtures("alices_grant")
def test_a_revoked_device_is_told_and_another_one_is_tried(
    alice: User, laptop: Device
) -> None:
    revoke_device(device=laptop, reason="lost", actor=SYSTEM, now=NOW)
    [part] = ask(alice).gateways
    assert conditions(part) == [[Condition.DEVICE_REVOKED]]
    phone = Machine().enroll(alice, name="phone")
    assert ask(alice).is_allowed
    assert ask(alice, phone).is_allowed
    laptop.refresh_from_db()
    assert not ask(alice, laptop).is_allowed


@pytest.mark.usefixtures("alices_grant")
def test_a_device_without_a_key_in_force_is_told(alice: User, laptop: Device) -> None:
    laptop.keys.update(state="pending")
    assert conditions(ask(alice).gateways[0]) == [[Condition.DEVICE_NOT_ENROLLED]]


def test_an_application_that_no_gateway_serves_says_so(
    alice: User, laptop: Device
) -> None:
    make_grant(make_application("attic", "10.9.0.0/24", gateways=[]), user=alice)
    attic = replace(NOON, destination=ip_address("10.9.0.1"))
    [part] = ask(alice, question=attic).gateways
    assert part.gateway is None
    assert conditions(part) == [[Condition.NOT_SERVED]]


@pytest.mark.usefixtures("laptop", "gw1")
def test_a_person_without_any_grant_is_denied(alice: User) -> None:
    [part] = ask(alice).gateways
    assert not part.is_allowed
    assert conditions(part) == []


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_gateway_that_does_not_enforce_the_policy_yet_says_so(alice: User) -> None:
    assert ask(alice).gateways[0].enforces is False
    [snapshot] = publish()
    assert ask(alice).gateways[0].enforces is False
    acknowledge(snapshot, seconds=0)
    assert ask(alice).gateways[0].enforces is None
    Publication.objects.update(stale_since=NOW)
    assert ask(alice).gateways[0].enforces is True


def test_the_past_is_what_the_gateway_had_acknowledged(
    alice: User, alices_grant: Grant, laptop: Device
) -> None:
    [first] = publish()
    acknowledge(first, seconds=10)
    services.end_grant(
        grant=alices_grant, actor=SYSTEM, now=NOW + timedelta(seconds=20)
    )
    [second] = publish(now=NOW + timedelta(seconds=20))
    acknowledge(second, seconds=40)
    during, after = then(alice, seconds=30), then(alice, seconds=50)
    assert (during.is_past, during.is_allowed, after.is_allowed) == (True, True, False)
    assert during.gateways[0].pending is not None
    assert during.gateways[0].pending.generation == second.generation
    assert after.gateways[0].pending is None
    [missed] = conditions(after.gateways[0])
    assert Condition.DEVICE_ABSENT in missed
    assert missed[1:] == [Condition.GRANT_ABSENT, Condition.ENDED]


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_what_was_published_and_never_acknowledged_is_told_as_that(
    alice: User,
) -> None:
    publish()
    [part] = then(alice, seconds=30).gateways
    assert (part.is_allowed, part.is_acknowledged) == (True, False)


def test_before_the_first_snapshot_there_is_no_gateway(
    alice: User, alices_grant: Grant, laptop: Device
) -> None:
    publish()
    [part] = then(alice, seconds=-60).gateways
    assert (part.gateway, part.explanation) == (None, None)


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_retired_gateway_answers_for_the_time_before(
    alice: User, gw1: Gateway
) -> None:
    publish()
    retire_gateway(gateway=gw1, actor=SYSTEM, now=NOW + timedelta(seconds=20))
    assert then(alice, seconds=10).is_allowed
    assert not then(alice, seconds=20).is_allowed


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_gateway_whose_retirement_was_pruned_answers_nothing(
    alice: User, gw1: Gateway
) -> None:
    """The log may forget when that was (ADR 0036), and not that it was."""
    publish()
    Gateway.objects.filter(pk=gw1.pk).update(state=GatewayState.RETIRED)
    assert not then(alice, seconds=10).is_allowed


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_snapshot_that_was_changed_answers_nothing(alice: User) -> None:
    [snapshot] = publish()
    Snapshot.objects.filter(pk=snapshot.pk).update(digest="0" * 64)
    [part] = then(alice, seconds=10).gateways
    assert part.explanation is None
    assert "not the one that was published" in part.problem
    Snapshot.objects.filter(pk=snapshot.pk).update(envelope="{}")
    assert "cannot be read" in then(alice, seconds=10).gateways[0].problem


@pytest.mark.usefixtures("alices_grant")
def test_a_device_that_came_later_was_not_enrolled_then(alice: User) -> None:
    Machine().enroll(alice, name="old")
    publish()
    new = Machine().enroll(alice, name="new", now=NOW + HOUR)
    asked = replace(NOON, at=NOW + timedelta(seconds=10))
    [part] = ask(alice, new, asked, now=NOW + 2 * HOUR).gateways
    assert conditions(part)[0][0] is Condition.DEVICE_NOT_ENROLLED


def test_without_others_nothing_is_told_of_their_access(
    alice: User, bob: User, alices_grant: Grant, laptop: Device, gw1: Gateway
) -> None:
    Machine().enroll(bob)
    publish()
    past = replace(NOON, at=NOW + timedelta(seconds=10))
    for found in (
        ask(bob, with_others=False),
        ask(bob, question=past, now=NOW + HOUR, with_others=False),
    ):
        told = json.dumps(answer_output(found))
        assert not found.is_allowed
        assert [name for name in ("wiki", "Alice", "gw1") if name in told] == []
    mine = ask(alice, question=past, now=NOW + HOUR, with_others=False)
    assert mine.is_allowed


def test_the_past_uses_the_names_of_then(
    alice: User, alices_grant: Grant, laptop: Device, wiki: Application
) -> None:
    publish()
    Application.objects.filter(pk=wiki.pk).update(name="Encyclopaedia")
    assert then(alice, seconds=10).names[wiki.ref.id] == "wiki"
    assert ask(alice).names[wiki.ref.id] == "Encyclopaedia"


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_an_answer_as_json_names_what_it_speaks_of(alice: User, bob: User) -> None:
    told = answer_output(ask(alice))
    assert (told["verdict"], told["source"]) == ("allowed", "policy")
    assert told["gateways"][0]["grants"][0]["application"]["name"] == "wiki"
    [candidate] = answer_output(ask(bob))["gateways"][0]["candidates"]
    assert [failure["sentence"] for failure in candidate["failures"]] == [
        "the person has no device",
        "it is for Alice, who is somebody else",
    ]


@pytest.mark.parametrize("extra", [0, 6])
def test_an_answer_costs_the_same_for_many(
    extra: int,
    alice: User,
    alices_grant: Grant,
    laptop: Device,
    gw1: Gateway,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(extra):
        found = make_application(f"a{number}", f"10.1.{number}.0/24", gateways=[gw1])
        make_grant(found, user=alice)
        Machine().enroll(alice, name=f"d{number}")
    [snapshot] = publish()
    acknowledge(snapshot, seconds=0)
    with django_assert_num_queries(23):
        ask(alice)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("user", Condition.LOCKED),
        ("device", Condition.LOCKED),
        ("group", Condition.LOCKED),
        ("application", Condition.APPLICATION_LOCKED),
        ("gateway", Condition.GATEWAY_LOCKED),
    ],
)
def test_a_lock_is_what_failed_until_it_ends(
    kind: str,
    says: Condition,
    alice: User,
    engineering: Group,
    alices_grant: Grant,
    laptop: Device,
    gw1: Gateway,
) -> None:
    targets: dict[str, Lockable] = {
        "user": alice,
        "device": laptop,
        "group": engineering,
        "application": alices_grant.application,
        "gateway": gw1,
    }
    services.create_lock(
        target=targets[kind],
        message="why",
        expires_at=NOW + HOUR,
        actor=SYSTEM,
        now=NOW,
    )
    [part] = ask(alice).gateways
    assert conditions(part) == [[says]]
    later = replace(NOON, at=NOW + HOUR)
    assert ask(alice, question=later, now=NOW).is_allowed


def test_locks_on_others_explain_nothing(
    bob: User, alice: User, alices_grant: Grant, laptop: Device
) -> None:
    assert (alices_grant.user, laptop.owner) == (alice, alice)
    elsewhere = Gateway.objects.create(
        name="gw2", endpoint_host="b.test", created_at=NOW
    )
    crm = make_application("crm", "10.9.0.0/24", gateways=[elsewhere])
    for target in (bob, Machine().enroll(bob), elsewhere, crm):
        services.create_lock(target=target, message="why", actor=SYSTEM, now=NOW)
    assert ask(alice).is_allowed


BY_NAME = Question(destination=ip_address("10.1.0.7"), protocol=6, port=5432, at=NOW)


@pytest.fixture
def database(gw1: Gateway, alice: User) -> Application:
    """An application by host name, granted to Alice."""
    made = services.create_application(
        name="database",
        destinations=[
            DestinationInput(
                host="db.example.com",
                prefix="10.1.0.0/24",
                protocol="tcp",
                port_first=5432,
            )
        ],
        gateways=[gw1],
        actor=SYSTEM,
        now=NOW,
    )
    make_grant(made, user=alice)
    return made


def tell(gateway: Gateway, *addresses: str) -> None:
    services.record_resolution(
        gateway=gateway,
        names={"db.example.com": [*addresses]},
        actor=agent(gateway),
        now=NOW,
    )


def sentences(found: Answer) -> list[str]:
    return [n["sentence"] for n in answer_output(found)["gateways"][0]["names"]]


def test_a_name_that_nobody_told_of_denies_and_says_so(
    laptop: Device, database: Application, alice: User
) -> None:
    found = ask(alice, question=BY_NAME)
    assert not found.is_allowed
    assert sentences(found) == [
        "it depends on what db.example.com resolves to at gw1, which is not known here"
    ]
    (candidate,) = answer_output(found)["gateways"][0]["candidates"]
    assert [f["sentence"] for f in candidate["failures"]] == [
        "db.example.com is not known to stand for this address there"
    ]


def test_what_the_gateway_told_decides_and_is_said(
    laptop: Device, database: Application, alice: User, gw1: Gateway
) -> None:
    tell(gw1, "10.1.0.7", "10.1.0.8")
    found = ask(alice, question=BY_NAME)
    assert found.is_allowed
    (sentence,) = sentences(found)
    assert (
        "at gw1: 10.1.0.7, 10.1.0.8, as it said at 2026-11-23 12:00:00 UTC" in sentence
    )
    tell(gw1)
    found = ask(alice, question=BY_NAME)
    assert not found.is_allowed
    assert "at gw1: nothing, as it said" in sentences(found)[0]


def test_what_a_name_stood_for_in_the_past_is_not_supposed(
    laptop: Device, database: Application, alice: User, gw1: Gateway
) -> None:
    (snapshot,) = publish()
    acknowledge(snapshot, seconds=1)
    tell(gw1, "10.1.0.7")
    past = replace(BY_NAME, at=NOW + timedelta(seconds=2))
    found = ask(alice, question=past, now=NOW + timedelta(minutes=1))
    assert not found.is_allowed
    assert "not known here" in sentences(found)[0]


def test_what_the_gateway_enforces_by_name_is_what_it_told(
    laptop: Device, database: Application, alice: User, gw1: Gateway
) -> None:
    (snapshot,) = publish()
    acknowledge(snapshot, seconds=0)
    tell(gw1, "10.1.0.7")
    found = ask(alice, question=BY_NAME)
    assert found.is_allowed
    assert found.gateways[0].enforces in {None, True}


def test_what_an_answer_supposes_of_an_application_is_said(
    wiki: Application, laptop: Device, alice: User, alices_grant: Grant
) -> None:
    assert alices_grant.pk
    Application.objects.filter(pk=wiki.pk).update(
        max_staleness=120, evidence="best_effort"
    )
    found = ask(alice)
    (part,) = found.gateways
    [said] = term_sentences(part, found.names)
    assert said == (
        "wiki closes after 2 minutes without word from the portal; access goes on"
        " while connections cannot be recorded"
    )
    assert laptop.pk

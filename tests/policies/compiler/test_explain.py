"""Rules of an explanation. Pure: no database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler.errors import InvalidValueError
from policies.compiler.evaluate import Packet, verdict
from policies.compiler.explain import (
    asker_of_facts,
    explain,
    holdings_in_snapshot,
    policy_of_facts,
    policy_of_snapshot,
    reaches_address,
)
from policies.compiler.explanation import (
    BEGINNING,
    Asker,
    Condition,
    Explanation,
    Failure,
    Question,
)
from policies.compiler.types import Facts, Grant, Resolved
from tests.policies.compiler.build import (
    NOW,
    application,
    destination,
    device,
    facts,
    grant,
    proof,
    resolved,
    snapshot,
    subject,
)
from tests.policies.compiler.examples import (
    EVENING,
    MFA,
    SESSION,
    TODAY,
    company,
    office,
)
from tests.policies.compiler.strategies import edge_packets, policies

TCP, UDP, ICMP = 6, 17, 1
LATER = NOW + timedelta(hours=1)


def question(
    target: str, protocol: int = TCP, port: int | None = 443, at: datetime = NOW
) -> Question:
    return Question(destination=ip_address(target), protocol=protocol, port=port, at=at)


def ask(
    given_facts: Facts, user: int, asked: Question, device_id: int | None = None
) -> Explanation:
    who = asker_of_facts(given_facts, user, device_id=device_id)
    return explain(policy_of_facts(given_facts), who, asked)


def failed(found: Explanation, grant_id: int) -> list[Condition]:
    [candidate] = [c for c in found.candidates if c.grant.id == grant_id]
    return [failure.condition for failure in candidate.failures]


def small(**changed: object) -> Facts:
    """Return one person, one device, one application, one grant; then changes."""
    parts: dict[str, Any] = {
        "devices": [device(1)],
        "applications": [application(1, "10.0.0.0/24 tcp 443")],
        "grants": [grant(9, "us_1", 1)],
    }
    return facts(**{**parts, **changed})


def test_the_primary_grant_is_the_one_the_kernel_names() -> None:
    found = ask(company(), 1, question("10.20.1.5"))
    assert [g.id for g in found.grants] == [10, 11]
    assert found.is_allowed
    assert found.device_ids == (1, 7)
    assert found.failures == ()


def test_every_condition_that_failed_is_listed() -> None:
    found = ask(
        small(
            memberships=[(2, 4)],
            grants=[grant(9, "gr_4", 1, not_before=LATER, expires_at=EVENING)],
        ),
        1,
        question("10.0.0.1", port=22),
    )
    assert not found.is_allowed
    assert failed(found, 9) == [
        Condition.NOT_MEMBER,
        Condition.NOT_BEGUN,
        Condition.WRONG_PORT,
    ]
    assert found.candidates[0].failures[1].at == LATER
    assert found.candidates[0].failures[2].nearest == destination("10.0.0.0/24 tcp 443")


@pytest.mark.parametrize(
    ("asked", "condition"),
    [
        (question("10.0.0.1", port=8443), Condition.WRONG_PORT),
        (question("10.0.0.1", protocol=UDP), Condition.WRONG_PROTOCOL),
        (question("10.0.0.1", protocol=ICMP, port=None), Condition.WRONG_PROTOCOL),
        (question("10.0.1.1"), Condition.WRONG_DESTINATION),
        (question("fd00::1"), Condition.WRONG_DESTINATION),
        (question("10.0.0.1", at=EVENING), Condition.ENDED),
        (question("10.0.0.1", at=NOW - timedelta(seconds=1)), Condition.NOT_BEGUN),
    ],
    ids=["port", "protocol", "icmp", "destination", "family", "ended", "early"],
)
def test_one_thing_wrong_is_one_condition(
    asked: Question, condition: Condition
) -> None:
    given_facts = small(grants=[grant(9, "us_1", 1, expires_at=EVENING)])
    assert failed(ask(given_facts, 1, asked), 9) == [condition]


def test_the_nearest_miss_is_named() -> None:
    many = application(
        1,
        "10.0.0.0/24 tcp 80",
        "10.0.0.0/24 tcp 440-442",
        "10.0.0.0/24 udp 443",
        "10.0.9.0/24 tcp 443",
        "fd00::/64 tcp 443",
    )
    found = ask(small(applications=[many]), 1, question("10.0.0.1"))
    [failure] = found.candidates[0].failures
    assert failure.condition is Condition.WRONG_PORT
    assert failure.nearest == destination("10.0.0.0/24 tcp 440-442")


def test_a_wrong_protocol_names_the_nearest_ports() -> None:
    many = application(1, "10.0.0.0/24 udp 53", "10.0.0.0/24 udp 400-500")
    found = ask(small(applications=[many]), 1, question("10.0.0.1"))
    assert found.candidates[0].failures == (
        Failure(
            condition=Condition.WRONG_PROTOCOL,
            nearest=destination("10.0.0.0/24 udp 400-500"),
        ),
    )


def test_an_application_without_destinations_reaches_nothing() -> None:
    found = ask(small(applications=[application(1)]), 1, question("10.0.0.1"))
    assert found.candidates[0].failures == (
        Failure(condition=Condition.WRONG_DESTINATION),
    )


def test_candidates_come_nearest_first() -> None:
    found = ask(
        small(
            applications=[
                application(1, "10.9.0.0/24 tcp 443"),
                application(2, "10.0.0.0/24 tcp 80"),
                application(3, "10.0.0.0/24 tcp 444"),
                application(4, "10.0.0.0/24 udp 443"),
            ],
            grants=[grant(number, "us_1", number) for number in (5, 4, 3, 2, 1)],
        ),
        1,
        question("10.0.0.1"),
    )
    assert [c.grant.id for c in found.candidates] == [3, 2, 4, 1, 5]


def test_an_application_that_is_not_served_is_told() -> None:
    found = ask(small(applications=[]), 1, question("10.0.0.1"))
    assert failed(found, 9) == [Condition.NOT_SERVED]


def test_an_application_that_is_locked_is_told() -> None:
    given_facts = small()
    policy = replace(policy_of_facts(given_facts), locked=frozenset({1}))
    who = asker_of_facts(given_facts, 1)
    found = explain(policy, who, question("10.0.0.1"))
    assert failed(found, 9) == [Condition.APPLICATION_LOCKED]


def test_a_person_without_a_device_reaches_nothing() -> None:
    found = ask(small(devices=[]), 1, question("10.0.0.1"))
    assert [f.condition for f in found.failures] == [Condition.NO_DEVICE]
    assert failed(found, 9) == [Condition.NO_DEVICE]
    assert found.candidates[0].device_id is None


def test_a_disabled_person_reaches_nothing() -> None:
    given_facts = small()
    who = asker_of_facts(given_facts, 1)
    disabled = Asker(
        user_id=1, is_enabled=False, subjects=who.subjects, holdings=who.holdings
    )
    found = explain(policy_of_facts(given_facts), disabled, question("10.0.0.1"))
    assert failed(found, 9) == [Condition.USER_DISABLED]


def test_a_revoked_device_reaches_nothing() -> None:
    mine = device(1)
    given_facts = small(devices=[mine], revoked_keys=[mine.public_key])
    found = ask(given_facts, 1, question("10.0.0.1"))
    assert failed(found, 9) == [Condition.DEVICE_REVOKED]


def test_the_device_that_comes_closest_is_judged() -> None:
    mine = [device(1), device(2, 1)]
    given_facts = small(devices=mine, revoked_keys=[mine[0].public_key])
    found = ask(given_facts, 1, question("10.0.0.1"))
    assert (found.is_allowed, found.device_ids, found.failures) == (True, (2,), ())
    missed = ask(given_facts, 1, question("10.0.0.1", port=22))
    assert missed.candidates[0].device_id == 2


def test_a_device_can_be_asked_about_alone() -> None:
    mine = [device(1), device(2, 1)]
    given_facts = small(devices=mine, revoked_keys=[mine[0].public_key])
    assert not ask(given_facts, 1, question("10.0.0.1"), device_id=1).is_allowed


def test_a_tunnel_session_ends() -> None:
    found = ask(company(), 3, question("fd30::1", at=SESSION))
    assert found.failures == (Failure(condition=Condition.SESSION_ENDED, at=SESSION),)


def test_a_device_without_an_address_of_the_family_cannot_send() -> None:
    given_facts = small(
        devices=[device(1, addresses=["100.64.0.1"])],
        applications=[application(1, "fd00::/64 tcp 443")],
    )
    found = ask(given_facts, 1, question("fd00::1"))
    assert failed(found, 9) == [Condition.NO_ADDRESS]


@pytest.mark.parametrize(
    ("asked", "condition"),
    [
        (question("100.64.0.2"), Condition.LATERAL),
        (question("169.254.169.254"), Condition.FORBIDDEN),
        (question("10.0.0.1", protocol=58, port=None), Condition.FORBIDDEN),
    ],
    ids=["another device", "metadata", "icmp of the other family"],
)
def test_what_nobody_may_reach_is_told_whoever_asks(
    asked: Question, condition: Condition
) -> None:
    everything = application(1, "0.0.0.0/0 any", "::/0 any")
    found = ask(small(applications=[everything]), 1, asked)
    assert [f.condition for f in found.failures] == [condition]
    assert failed(found, 9) == [condition]


@pytest.mark.parametrize(
    ("protocol", "port", "message"),
    [
        (0, None, "run from 1 to 255"),
        (256, None, "run from 1 to 255"),
        (TCP, None, "needs a port"),
        (ICMP, 443, "has no ports"),
        (TCP, 0, "ports run from 1"),
        (UDP, 65536, "ports run from 1"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    protocol: int, port: int | None, message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        question("10.0.0.1", protocol=protocol, port=port)


def past(
    user: int,
    asked: Question,
    refusals: dict[int, Failure | None],
    others: Iterable[Grant] = (),
) -> Explanation:
    then, known = snapshot(company()), frozenset({subject(f"us_{user}")})
    who = Asker(
        user_id=user,
        is_enabled=True,
        subjects=known,
        holdings=holdings_in_snapshot(then, known, refusals),
    )
    return explain(policy_of_snapshot(then, others=others), who, asked)


def test_a_snapshot_answers_for_the_past() -> None:
    found = past(1, question("10.20.1.5"), {1: None, 7: None})
    assert [g.id for g in found.grants] == [10, 11]
    assert found.grants[0].not_before == BEGINNING
    assert found.device_ids == (1, 7)


def test_a_grant_that_is_not_in_the_snapshot_says_so() -> None:
    early = grant(99, "us_1", 77, not_before=EVENING)
    found = past(1, question("10.20.1.5", port=99), {1: None}, others=[early])
    assert failed(found, 99) == [Condition.GRANT_ABSENT, Condition.NOT_BEGUN]
    assert found.candidates[-1].grant == early


def test_a_grant_that_is_in_the_snapshot_is_told_as_it_was_there() -> None:
    changed = grant(10, "us_3", 2)
    found = past(1, question("10.20.1.5"), {1: None}, others=[changed])
    assert found.grants[0].subject == subject("gr_4")


def test_a_device_that_is_no_peer_says_why() -> None:
    revoked = Failure(condition=Condition.DEVICE_REVOKED, at=NOW)
    found = past(1, question("10.20.1.5"), {8: revoked})
    assert found.failures == (revoked,)
    assert Condition.NOT_MEMBER in failed(found, 10)
    absent = past(1, question("10.20.1.5"), {8: None})
    assert absent.failures == (Failure(condition=Condition.DEVICE_ABSENT),)


def test_a_peer_is_believed_whatever_is_said_of_the_device_now() -> None:
    revoked = Failure(condition=Condition.DEVICE_REVOKED, at=NOW)
    assert past(1, question("10.20.1.5"), {1: revoked}).is_allowed


def test_an_application_reaches_the_addresses_of_its_prefixes() -> None:
    found = application(1, "10.0.0.0/24 tcp 443", "fd00::/64 any")
    assert reaches_address(found, ip_address("fd00::1"))
    assert not reaches_address(found, ip_address("10.0.1.0"))


@settings(max_examples=60, deadline=None)
@given(policies(), st.integers(0, 1000), st.integers(0, 3))
def test_the_verdict_is_that_of_the_compiled_snapshot(
    given_facts: Facts, seed: int, hours: int
) -> None:
    """By facts as by the snapshot compiled from them at any later moment, too."""
    at = NOW + timedelta(hours=hours)
    old, new = snapshot(given_facts), snapshot(given_facts, now=at)
    devices = {a: d for d in given_facts.devices for a in d.addresses}
    for packet in edge_packets(old, seed=seed, count=20):
        holder = devices.get(packet.source)
        if holder is None or packet.protocol == 0 or packet.port == 0:
            continue
        user, asked = holder.user_id, _asked(packet, at)
        now = ask(given_facts, user, asked, device_id=holder.id)
        who = Asker(
            user_id=user,
            is_enabled=True,
            subjects=frozenset(),
            holdings=holdings_in_snapshot(old, frozenset(), {holder.id: None}),
        )
        then = explain(policy_of_snapshot(old), who, asked)
        for told, compiled in ((now, new), (then, old)):
            judged = verdict(compiled, packet, now=at)
            assert [g.id for g in told.grants] == [g.id for g in judged.grants]
            assert told.is_allowed == judged.is_allowed
            assert all(c.failures for c in told.candidates)


@given(policies(), st.randoms())
def test_the_order_of_grants_never_matters(given_facts: Facts, chance: Random) -> None:
    policy, who = policy_of_facts(given_facts), asker_of_facts(given_facts, 1)
    shuffled = [*policy.grants]
    chance.shuffle(shuffled)
    asked = question("10.0.0.5")
    other = replace(policy, grants=tuple(shuffled))
    assert explain(other, who, asked) == explain(policy, who, asked)


def _asked(packet: Packet, at: datetime) -> Question:
    return Question(
        destination=packet.destination,
        protocol=packet.protocol,
        port=packet.port,
        at=at,
    )


def by_name(*also: str) -> Facts:
    """Return a person who is granted a database by its name, and perhaps prefixes."""
    return small(
        applications=[
            application(1, "db.example.com@10.0.0.0/24 tcp 443"),
            application(2, *also),
        ],
        grants=[grant(9, "us_1", 1), grant(8, "us_1", 2)],
    )


def ask_resolved(names: Resolved, given_facts: Facts) -> Explanation:
    policy = replace(policy_of_facts(given_facts), resolved=names)
    return explain(policy, asker_of_facts(given_facts, 1), question("10.0.0.1"))


def test_what_a_name_stands_for_decides_and_is_said() -> None:
    allowed = ask_resolved(resolved("db.example.com 10.0.0.1"), by_name())
    assert (allowed.is_allowed, allowed.hosts) == (True, ("db.example.com",))
    for names in ({}, resolved("db.example.com 10.0.0.2")):
        denied = ask_resolved(names, by_name())
        assert (denied.is_allowed, denied.hosts) == (False, ("db.example.com",))
        assert failed(denied, 9) == [Condition.NOT_RESOLVED]


def test_an_answer_that_has_ended_explains_nothing() -> None:
    names = resolved("db.example.com 10.0.0.1", end=NOW)
    assert failed(ask_resolved(names, by_name()), 9) == [Condition.NOT_RESOLVED]


def test_the_grant_by_name_is_the_primary_one() -> None:
    names = resolved("db.example.com 10.0.0.1")
    found = ask_resolved(names, by_name("10.0.0.0/8 any"))
    assert [g.id for g in found.grants] == [9, 8]


def test_on_a_name_that_is_beside_the_question_nothing_depends() -> None:
    found = ask(by_name("10.0.0.0/8 any"), 1, question("10.0.1.1"))
    assert found.hosts == ()
    assert failed(found, 9) == [Condition.WRONG_DESTINATION]


def conditions(
    found: Explanation, grant_id: int
) -> list[tuple[Condition, datetime | None]]:
    (candidate,) = (c for c in found.candidates if c.grant.id == grant_id)
    return [(failure.condition, failure.at) for failure in candidate.failures]


DATABASE = question("10.30.0.5", port=5432)


def test_every_demand_that_is_not_met_is_told() -> None:
    found = ask(office(), 3, DATABASE)
    assert conditions(found, 31) == [
        (Condition.PROOF_TOO_OLD, None),
        (Condition.NOT_APPROVED, None),
        (Condition.PROOF_TOO_WEAK, None),
    ]
    (database,) = (c for c in found.candidates if c.grant.id == 31)
    assert database.failures[0].requirement == TODAY
    assert database.failures[0].proof is None


def test_a_weak_proof_is_told_with_what_there_is_instead() -> None:
    found = ask(office(), 2, DATABASE)
    (failure,) = found.candidates[0].failures
    assert failure.condition == Condition.PROOF_TOO_WEAK
    assert failure.requirement == MFA
    assert failure.proof == proof(2, amr="pwd")


def test_an_old_proof_is_told_with_when_it_became_too_old() -> None:
    late = question("10.30.0.5", port=5432, at=NOW + timedelta(hours=20))
    assert conditions(ask(office(), 1, late, 1), 31) == [
        (Condition.PROOF_TOO_OLD, NOW + timedelta(hours=7)),
    ]


def test_closed_hours_are_told_with_the_next_opening() -> None:
    evening = question("10.20.0.5", at=NOW + timedelta(hours=6))
    assert conditions(ask(office(), 1, evening), 30) == [
        (Condition.OUTSIDE_HOURS, NOW + timedelta(hours=19)),
    ]


def test_one_of_several_devices_may_be_the_approved_one() -> None:
    found = ask(office(), 1, DATABASE)
    assert (found.is_allowed, found.device_ids) == (True, (1,))
    assert conditions(ask(office(), 1, DATABASE, 7), 31) == [
        (Condition.NOT_APPROVED, None)
    ]


def test_without_a_device_demands_on_it_are_not_asked() -> None:
    nobody = replace(office(), devices=())
    found = ask(nobody, 1, DATABASE)
    assert conditions(found, 31) == [(Condition.NO_DEVICE, None)]


def test_a_snapshot_tells_what_was_held() -> None:
    then = snapshot(office())
    policy = policy_of_snapshot(then)

    def asked(device_id: int, at: datetime = NOW) -> list[Condition]:
        holdings = holdings_in_snapshot(then, frozenset(), {device_id: None})
        asker = Asker(
            user_id=1, is_enabled=True, subjects=frozenset(), holdings=holdings
        )
        there = question("10.30.0.5", port=5432, at=at)
        found = explain(policy, asker, there)
        return [
            f.condition
            for c in found.candidates
            for f in c.failures
            if c.grant.id == 31
        ]

    assert asked(1) == []
    assert asked(2) == [Condition.PROOF_TOO_WEAK]
    assert asked(7) == [Condition.NOT_APPROVED]
    assert Condition.PROOF_TOO_OLD in asked(1, NOW + timedelta(hours=7))
    assert asked(9) == [Condition.DEVICE_ABSENT, Condition.NOT_MEMBER]


def test_of_a_grant_that_was_not_in_force_no_demand_is_guessed() -> None:
    evening = NOW + timedelta(hours=6)
    then = snapshot(office(), now=evening)
    missing = [g for g in office().grants if g.id == 31]
    holdings = holdings_in_snapshot(then, frozenset(), {2: None})
    asker = Asker(
        user_id=2,
        is_enabled=True,
        subjects=frozenset({subject("gr_4")}),
        holdings=holdings,
    )
    found = explain(
        policy_of_snapshot(then, others=missing),
        asker,
        question("10.30.0.5", port=5432, at=evening),
    )
    assert [c for c, _ in conditions(found, 31)] == [
        Condition.GRANT_ABSENT,
        Condition.OUTSIDE_HOURS,
    ]

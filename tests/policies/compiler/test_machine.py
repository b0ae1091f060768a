"""Rules of running a ruleset's texts. Real kernels agree in `test_differential`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from ipaddress import ip_address

import pytest

from policies.compiler.errors import InvalidValueError
from policies.compiler.leases import LIVE
from policies.compiler.machine import Arrival, Machine
from policies.compiler.nftables import ruleset
from policies.compiler.tables import Chain, Ruleset
from tests.policies.compiler.build import NOW, snapshot
from tests.policies.compiler.examples import (
    EVENING,
    answers,
    company,
    company_with_names,
)

TABLE = ruleset(snapshot(company()), interface="wg0")
BOB = Arrival(
    came_from="wg0",
    goes_to="lan",
    source=ip_address("100.64.0.2"),
    destination=ip_address("10.20.0.1"),
    protocol=6,
    port=443,
)
ANSWER = replace(
    BOB,
    came_from="lan",
    goes_to="wg0",
    source=BOB.destination,
    destination=BOB.source,
    state="established",
)


def said(
    packet: Arrival, *, closed: Collection[str] = (), hook: str = "forward"
) -> str:
    machine = Machine(TABLE, now=NOW, closed=closed)
    outcome = machine.outcome(packet, hook=hook)
    return " ".join((*outcome.logged, "accept" if outcome.is_accepted else "drop"))


def test_the_grant_that_accepts_is_logged_and_the_device_is_the_mark() -> None:
    assert said(BOB) == "gt_10/ap_1 accept"
    assert Machine(TABLE, now=NOW).outcome(BOB).mark == 2


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (replace(BOB, port=79), "no_grant drop"),
        (replace(BOB, protocol=50, port=None), "no_grant drop"),
        (replace(BOB, source=ip_address("100.64.0.99")), "no_device drop"),
        (replace(BOB, state="invalid"), "invalid drop"),
        (replace(BOB, flags=frozenset({"ack"})), "mid_stream drop"),
        (replace(BOB, state="established", flags=frozenset({"ack"})), "accept"),
        (replace(BOB, goes_to="wg0"), "lateral drop"),
        (replace(BOB, came_from="lan"), "spoofed drop"),
        (replace(ANSWER, goes_to="wan"), "drop"),
        (ANSWER, "accept"),
        (replace(ANSWER, state="new"), "unsolicited drop"),
    ],
)
def test_every_way_through_says_why(packet: Arrival, expected: str) -> None:
    assert said(packet) == expected


def test_without_a_lease_nothing_passes() -> None:
    assert said(BOB, closed={LIVE}) == "not_live drop"
    assert said(ANSWER, closed={LIVE}) == "not_live drop"


def test_the_gateway_itself_answers_nobody_in_the_tunnel() -> None:
    assert said(BOB, hook="input") == "input drop"
    assert said(replace(BOB, came_from="lan"), hook="input") == "accept"


def test_elements_that_ended_are_gone() -> None:
    alice = replace(
        BOB,
        source=ip_address("100.64.0.1"),
        destination=ip_address("10.20.1.5"),
        port=5432,
    )
    for now, expected in ((NOW, True), (EVENING, False)):
        assert Machine(TABLE, now=now).outcome(alice).is_accepted is expected


def test_a_chain_that_says_nothing_comes_back() -> None:
    forward = Chain(
        name="forward", hook="policy drop;", rules=("jump idle", "accept", "drop")
    )
    table = replace(TABLE, chains=(forward, Chain(name="idle", hook="", rules=())))
    assert Machine(table, now=NOW).outcome(BOB).is_accepted


@pytest.mark.parametrize("rule", ["accept all", "meta mark 1 accept", "queue"])
def test_a_rule_that_is_none_of_ours_is_refused(rule: str) -> None:
    odd = Chain(name="odd", hook="", rules=(rule,))
    table: Ruleset = replace(TABLE, chains=(*TABLE.chains, odd))
    with pytest.raises(InvalidValueError, match="not a rule of ours"):
        Machine(table, now=NOW)


@pytest.mark.parametrize(
    ("protocol", "port", "expected"),
    [(1, None, "gt_8/ap_5"), (6, 5432, "gt_8/ap_5"), (17, 5432, "no_grant")],
)
def test_a_service_by_name_is_told_by_protocol_and_port(
    protocol: int, port: int | None, expected: str
) -> None:
    policy = snapshot(company_with_names())
    machine = Machine(ruleset(policy, interface="wg0", resolved=answers()), now=NOW)
    there = ip_address("10.20.5.5")
    packet = replace(BOB, destination=there, protocol=protocol, port=port)
    assert machine.outcome(packet).logged == (expected,)

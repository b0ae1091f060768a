"""Which applications stand behind a lease of their own, and what closes it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from policies.compiler.evaluate import Packet, verdict
from policies.compiler.holdings import holdings, holdings_digest
from policies.compiler.leases import (
    closed_leases,
    is_lease,
    leased,
    less_withheld,
    needs_evidence,
)
from policies.compiler.machine import Arrival, Machine
from policies.compiler.nftables import Ruleset, ruleset
from policies.compiler.strictness import ORDINARY, Strictness
from policies.compiler.types import Facts
from tests.policies.compiler.build import NOW, facts, resolved, snapshot
from tests.policies.compiler.examples import BEST_EFFORT, company, hospital

NAMES = resolved("monitors.example.com 10.71.0.9")


def all_strict() -> Facts:
    given = hospital()
    return replace(
        given,
        applications=tuple(
            a if a.strictness.is_strict else replace(a, strictness=ORDINARY)
            for a in given.applications
        ),
    )


def compiled(given: Facts) -> Ruleset:
    return ruleset(snapshot(given), interface="wg0", resolved=NAMES)


def rules(table: Ruleset) -> list[str]:
    return [rule for chain in table.chains for rule in chain.rules]


def said(machine: Machine, source: str, destination: str) -> str:
    packet = Arrival(
        came_from="wg0",
        goes_to="lan",
        source=ip_address(source),
        destination=ip_address(destination),
        protocol=6,
        port=443,
    )
    return " ".join(machine.outcome(packet).logged)


def test_applications_without_terms_pay_nothing_where_all_are_strict() -> None:
    table = compiled(company())
    assert [s.name for s in table.sets if is_lease(s.name)] == ["live"]
    assert not any("lease_" in rule or "withheld" in rule for rule in rules(table))


def test_only_an_application_with_a_limit_asks_for_a_lease_where_all_are_strict() -> (
    None
):
    asking = [rule for rule in rules(compiled(all_strict())) if " @lease_" in rule]
    assert [rule.partition(" counter")[0] for rule in asking] == [
        "iifname @open_gt_42 ct mark @who_us_1 iifname @lease_strict_120",
        "iifname != @lease_strict_120 goto deny_withheld",
    ]


def test_where_one_goes_on_without_evidence_the_strict_ask_for_it() -> None:
    names = {
        number: (terms.max_staleness, terms.is_strict)
        for number, terms in leased(snapshot(hospital()).applications).items()
    }
    assert names == {2: (None, True), 3: (120, True), 4: (60, False)}
    assert not needs_evidence(snapshot(hospital()).applications)


def test_terms_of_what_nobody_is_granted_concern_nobody() -> None:
    given = hospital()
    ungranted = replace(given, grants=tuple(g for g in given.grants if g.id != 40))
    ungranted = replace(
        ungranted, grants=tuple(g for g in ungranted.grants if g.id != 43)
    )
    assert needs_evidence(snapshot(ungranted).applications)
    assert needs_evidence(snapshot(facts()).applications)


@pytest.mark.parametrize(
    ("silent_for", "is_recorded", "expected"),
    [
        (59, True, set()),
        (60, True, {"lease_best_60"}),
        (120, True, {"lease_best_60", "lease_strict_120"}),
        (0, False, {"lease_strict", "lease_strict_120"}),
    ],
)
def test_a_lease_is_closed_when_its_terms_are_not_met(
    silent_for: int, is_recorded: bool, expected: set[str]
) -> None:
    applications = snapshot(hospital()).applications
    closed = closed_leases(applications, silent_for=silent_for, is_recorded=is_recorded)
    assert closed == expected


@pytest.mark.parametrize(
    ("closed", "source", "destination", "expected"),
    [
        ("", "100.64.0.1", "10.71.0.8", "gt_41/ap_2"),
        # A wider application that is open lets pass what a narrower one withholds.
        ("lease_strict_120", "100.64.0.1", "10.71.0.8", "gt_41/ap_2"),
        ("lease_strict", "100.64.0.1", "10.71.0.8", "gt_42/ap_3"),
        ("lease_strict lease_strict_120", "100.64.0.1", "10.71.0.8", "withheld"),
        ("lease_strict", "100.64.0.1", "10.71.0.9", "withheld"),
        ("lease_strict", "100.64.0.2", "10.71.0.9", "gt_43/ap_4"),
        ("lease_best_60", "100.64.0.2", "10.71.0.9", "gt_41/ap_2"),
        ("lease_strict lease_best_60", "100.64.0.2", "10.71.0.9", "withheld"),
        ("lease_strict lease_strict_120", "100.64.0.2", "10.70.0.1", "gt_40/ap_1"),
        ("lease_strict", "100.64.0.2", "10.99.0.1", "no_grant"),
    ],
)
def test_a_closed_lease_withholds_its_applications_and_no_others(
    closed: str, source: str, destination: str, expected: str
) -> None:
    machine = Machine(compiled(hospital()), now=NOW, closed=closed.split())
    assert said(machine, source, destination) == expected
    left = less_withheld(snapshot(hospital()), closed.split())
    packet = Packet(
        source=ip_address(source),
        destination=ip_address(destination),
        protocol=6,
        port=443,
    )
    judged = verdict(left, packet, now=NOW, resolved=NAMES)
    assert judged.is_allowed == expected.startswith("gt_")
    assert not judged.is_allowed or expected.startswith(f"gt_{judged.grants[0].id}/")


def test_the_digest_tells_what_a_rule_asks_and_not_whether_it_is_open() -> None:
    def digest(terms: Strictness) -> str:
        given = hospital()
        first, *others = given.applications
        changed = (replace(first, strictness=terms), *others)
        policy = snapshot(replace(given, applications=changed))
        return holdings_digest(holdings(policy, "wg0"))

    assert digest(BEST_EFFORT) != digest(ORDINARY)
    assert len({digest(Strictness(max_staleness=n)) for n in (60, 61)}) == 2

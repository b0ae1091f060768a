"""Rules of destinations by host name: in the values, the ruleset and the verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compiler.evaluate import Packet, verdict
from policies.compiler.holdings import held, holdings
from policies.compiler.machine import Arrival, Machine
from policies.compiler.named import bounds, pins, placed
from policies.compiler.nftables import (
    Ruleset,
    named_part,
    ruleset,
    transaction,
    with_resolved,
)
from policies.compiler.types import NOTHING_RESOLVED, Facts, Resolved
from policies.compiler.wireguard import device_allowed_ips, gateway_peers
from tests.policies.compiler.build import (
    NOW,
    application,
    device,
    facts,
    grant,
    resolved,
    snapshot,
)
from tests.policies.compiler.examples import answers, company, company_with_names
from tests.policies.compiler.strategies import policies

SOON = NOW + timedelta(minutes=1)
LATER = NOW + timedelta(minutes=5)
TCP = 6


def world(*destinations: str, other: tuple[str, ...] = ()) -> Facts:
    """Return one person granted application 1, and another granted application 2."""
    return facts(
        devices=[device(1), device(2)],
        applications=[application(1, *destinations), application(2, *other)],
        grants=[grant(9, "us_1", 1), grant(5, "us_2", 2)],
    )


def compiled(given_facts: Facts, names: Resolved = NOTHING_RESOLVED) -> Ruleset:
    return ruleset(snapshot(given_facts), interface="wg0", resolved=names)


def passes(
    given_facts: Facts,
    names: Resolved,
    target: str,
    port: int = 443,
    *,
    device_id: int = 1,
    now: datetime = NOW,
) -> bool:
    """Return what the snapshot and the ruleset agree on."""
    source, destination = ip_address(f"100.64.0.{device_id}"), ip_address(target)
    if destination.version == 6:
        source = ip_address(f"fd5e:e4a6:e000::{device_id}")
    judged = verdict(
        snapshot(given_facts),
        Packet(source=source, destination=destination, protocol=TCP, port=port),
        now=now,
        resolved=names,
    )
    ran = Machine(compiled(given_facts, names), now=now).outcome(
        Arrival(
            came_from="wg0",
            goes_to="lan",
            source=source,
            destination=destination,
            protocol=TCP,
            port=port,
        )
    )
    assert ran.is_accepted == judged.is_allowed
    return judged.is_allowed


NAMED = world("db.example.com@10.0.0.0/8 tcp 443")


def test_a_name_that_stands_for_nothing_opens_nothing() -> None:
    assert not passes(NAMED, {}, "10.0.0.1")
    assert not passes(NAMED, {"db.example.com": {}}, "10.0.0.1")


def test_a_name_opens_the_addresses_it_stands_for_and_no_others() -> None:
    names = resolved("db.example.com 10.0.0.1")
    assert passes(NAMED, names, "10.0.0.1")
    assert not passes(NAMED, names, "10.0.0.2")
    assert not passes(NAMED, names, "10.0.0.1", 444)
    assert not passes(NAMED, names, "10.0.0.1", device_id=2)


def test_another_name_is_another_name() -> None:
    assert not passes(NAMED, resolved("www.db.example.com 10.0.0.1"), "10.0.0.1")


def test_an_answer_outside_the_prefix_stands_for_nothing() -> None:
    names = resolved("db.example.com 11.0.0.1 192.0.2.1")
    assert not passes(NAMED, names, "11.0.0.1")
    assert placed(pins(NAMED.applications), names) == {}


@pytest.mark.parametrize("target", ["127.0.0.1", "169.254.169.254", "224.0.0.1"])
def test_what_is_nobody_s_to_grant_is_not_to_be_had_by_name(target: str) -> None:
    everywhere = world("db.example.com@0.0.0.0/0 tcp 443")
    names = resolved(f"db.example.com {target} 8.8.8.8")
    assert not passes(everywhere, names, target)
    assert passes(everywhere, names, "8.8.8.8")


def test_each_prefix_of_a_name_binds_its_own_application() -> None:
    both = world(
        "db.example.com@10.1.0.0/16 tcp 443", other=("db.example.com@10.0.0.0/8 any",)
    )
    names = resolved("db.example.com 10.2.0.1 10.1.0.1")
    assert not passes(both, names, "10.2.0.1")
    assert passes(both, names, "10.1.0.1")
    assert passes(both, names, "10.2.0.1", 22, device_id=2)


def test_a_shared_address_opens_each_name_s_ports_to_its_own_grants() -> None:
    both = world(
        "db.example.com@10.0.0.0/8 tcp 443",
        other=("w.example.com@10.0.0.0/8 tcp 80",),
    )
    names = resolved("db.example.com 10.0.0.1", "w.example.com 10.0.0.1")
    assert passes(both, names, "10.0.0.1", 443, device_id=1)
    assert passes(both, names, "10.0.0.1", 80, device_id=2)
    assert not passes(both, names, "10.0.0.1", 80, device_id=1)
    assert not passes(both, names, "10.0.0.1", 443, device_id=2)


def test_what_no_name_lets_pass_falls_through_to_the_prefixes() -> None:
    both = world("db.example.com@10.0.0.0/8 tcp 443", other=("10.0.0.1/32 tcp 22-443",))
    names = resolved("db.example.com 10.0.0.1")
    assert passes(both, names, "10.0.0.1", 443, device_id=2)
    assert passes(both, names, "10.0.0.1", 22, device_id=2)
    assert not passes(both, names, "10.0.0.1", 22, device_id=1)


def test_the_primary_grant_is_one_by_name_though_its_id_be_higher() -> None:
    both = replace(
        world("db.example.com@10.0.0.0/8 tcp 443", other=("10.0.0.0/8 any",)),
        grants=(grant(9, "us_1", 1), grant(5, "us_1", 2), grant(10, "us_1", 1)),
    )
    packet = Packet(
        source=ip_address("100.64.0.1"),
        destination=ip_address("10.0.0.1"),
        protocol=TCP,
        port=443,
    )
    names = resolved("db.example.com 10.0.0.1")
    found = verdict(snapshot(both), packet, now=NOW, resolved=names)
    assert [g.id for g in found.grants] == [9, 10, 5]
    arrival = Arrival(
        came_from="wg0",
        goes_to="lan",
        source=packet.source,
        destination=packet.destination,
        protocol=TCP,
        port=443,
    )
    ran = Machine(compiled(both, names), now=NOW).outcome(arrival)
    assert ran.logged == ("gt_9/ap_1",)


def test_an_answer_that_has_ended_counts_for_nothing() -> None:
    names = resolved("db.example.com 10.0.0.1", end=SOON)
    assert passes(NAMED, names, "10.0.0.1", now=SOON - timedelta(seconds=1))
    assert not passes(NAMED, names, "10.0.0.1", now=SOON)


def test_a_shared_address_ends_with_the_first_of_its_names() -> None:
    shared = {
        **resolved("db.example.com 10.0.0.1", end=LATER),
        **resolved("www.example.com 10.0.0.1", end=SOON),
    }
    both = world("db.example.com@10.0.0.0/8 tcp 443", "www.example.com@10.0.0.0/8 any")
    found = placed(pins(both.applications), shared)[ip_address("10.0.0.1")]
    assert found.expires_at == SOON
    assert len(found.pins) == 2


def test_no_name_no_cost() -> None:
    table = compiled(company(), answers())
    assert table == compiled(company())
    assert not [s for s in table.sets if s.name.startswith("name")]
    assert "vmap @name" not in repr(table)


def test_only_what_goes_inside_a_bound_is_looked_up_by_name() -> None:
    given_facts = world("db.example.com@10.0.0.0/8 tcp 443", other=("fd20::/64 any",))
    table = compiled(given_facts)
    asking = [c.name for c in table.chains if any("@name" in r for r in c.rules)]
    assert asking == ["app_hosts"]
    (targets,) = (s.elements for s in table.sets if s.name == "tcp4")
    assert [(e.key, e.data) for e in targets] == [
        ("10.0.0.0-10.255.255.255 . 443", "goto app_hosts")
    ]


def test_no_host_name_enters_a_ruleset() -> None:
    assert "example" not in repr(compiled(company_with_names(), answers()))


def test_the_chain_of_a_name_stays_the_same_whatever_else_is_granted() -> None:
    names = {pin.host: pin.chain for pin in pins(NAMED.applications)}
    more = world(
        "db.example.com@10.0.0.0/8 tcp 443", other=("aa.example.com@10.0.0.0/8 any",)
    )
    assert names.items() <= {p.host: p.chain for p in pins(more.applications)}.items()


def test_a_gateway_resolves_the_names_of_its_snapshot_inside_their_bounds() -> None:
    assert bounds(snapshot(company_with_names())) == {
        "db.example.com": (ip_network("10.20.0.0/16"), ip_network("fd20::/32")),
        "shop.example.com": (ip_network("10.20.0.0/16"),),
    }
    assert bounds(snapshot(company())) == {}


def test_devices_route_the_bound_whatever_the_name_stands_for() -> None:
    assert device_allowed_ips(NAMED, user_id=1, now=NOW) == (ip_network("10.0.0.0/8"),)


def test_answers_are_no_part_of_holdings_but_names_are() -> None:
    policy = snapshot(company_with_names())
    peers = gateway_peers(policy, now=NOW)
    assert held(compiled(company_with_names(), answers()), peers) == holdings(
        policy, "wg0"
    )
    chains = [row[0] for row in holdings(policy, "wg0").rules]
    assert len([name for name in chains if name.startswith("name_")]) == 3


def test_other_answers_change_elements_and_shared_chains_only() -> None:
    table = compiled(company_with_names(), answers())
    policy = snapshot(company_with_names())
    fewer = {**answers(), "shop.example.com": {}}
    want = with_resolved(table, policy, fewer)
    assert want == compiled(company_with_names(), fewer)
    script = transaction(named_part(table), named_part(want), now=NOW)
    assert script == transaction(table, want, now=NOW)
    assert all(" name" in line for line in script.splitlines())


def test_the_same_answers_change_nothing() -> None:
    table = compiled(company_with_names(), answers())
    policy = snapshot(company_with_names())
    assert with_resolved(table, policy, answers()) == table


@given(policies(), st.sampled_from((answers(), resolved("wiki.example.com 10.0.0.7"))))
def test_making_names_anew_equals_compiling_with_them(
    given_facts: Facts, names: Resolved
) -> None:
    policy = snapshot(given_facts)
    before = ruleset(policy, interface="wg0", resolved=answers())
    after = ruleset(policy, interface="wg0", resolved=names)
    assert with_resolved(before, policy, names) == after

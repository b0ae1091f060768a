"""Differences in words. Pure."""

from __future__ import annotations

from dataclasses import replace

from gateway.drift import MOST, of_interface, of_ruleset
from gateway.types import InterfaceState
from policies.compiler.nftables import ruleset
from policies.compiler.tables import Element
from policies.compiler.types import NEVER, network
from tests.gateway.world import snapshot

TABLE = ruleset(snapshot(), interface="wg0")
ONE = frozenset({network("100.64.0.7/32")})
OTHER = frozenset({network("100.64.0.8/32")})
HELD = InterfaceState(listen_port=51820, peers={"alice": ONE, "bob": OTHER})


def test_equal_states_differ_in_nothing() -> None:
    assert of_interface(HELD, HELD) == ()
    assert of_ruleset(TABLE, TABLE) == ()
    assert of_ruleset(None, TABLE) == ()


def test_every_change_of_an_interface_is_named() -> None:
    found = InterfaceState(
        listen_port=1, peers={"alice": OTHER, "mallory": frozenset()}, is_keyed=False
    )
    assert of_interface(HELD, found) == (
        "peer added: mallory none",
        "peer removed: bob",
        "AllowedIPs of alice: 100.64.0.7/32 became 100.64.0.8/32",
        "listen port 1",
        "private key changed",
    )


def test_long_lists_are_cut_short() -> None:
    many = {f"peer{number:03}": ONE for number in range(100)}
    found = of_interface(HELD, replace(HELD, peers={**HELD.peers, **many}))
    assert len(found) == MOST + 1
    assert found[-1] == f"and {100 - MOST} more of the kind"


def test_every_change_of_a_table_is_named() -> None:
    chains = {chain.name: chain for chain in TABLE.chains}
    sets = {named.name: named for named in TABLE.sets}
    forward = chains.pop("forward")
    chains["forward"] = replace(
        forward, hook="other", rules=("accept", *forward.rules[1:])
    )
    chains["deny_input"] = replace(chains["deny_input"], name="strange", rules=())
    users = sets["who_us_1"]
    sets["who_us_1"] = replace(users, elements=(Element("99", "", NEVER),))
    sets["new"] = replace(users, name="new")
    found = replace(
        TABLE,
        chains=tuple(chains.values()),
        sets=tuple(sets.values()),
        foreign=(("counter", "c"),),
    )
    assert of_ruleset(TABLE, found) == (
        "chain added: strange",
        "chain gone: deny_input",
        "chain forward hooked as other",
        "rule in forward: accept",
        f"rule gone of forward: {forward.rules[0]}",
        "element of who_us_1: 99",
        "element gone of who_us_1: 7",
        "set added: new",
        "foreign counter c",
    )


def test_rules_in_another_order_are_a_difference() -> None:
    (begin,) = (chain for chain in TABLE.chains if chain.name == "begin")
    turned = replace(begin, rules=begin.rules[::-1])
    found = replace(
        TABLE, chains=tuple(turned if c is begin else c for c in TABLE.chains)
    )
    assert of_ruleset(TABLE, found) == ("rules of begin in another order",)


def test_a_timed_element_that_is_gone_is_no_drift() -> None:
    emptied = tuple(
        replace(named, elements=()) if named.name == "device4" else named
        for named in TABLE.sets
    )
    assert of_ruleset(TABLE, replace(TABLE, sets=emptied)) == ()

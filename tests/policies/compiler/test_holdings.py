"""Rules of holdings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given

from policies.compiler.holdings import Holdings, held, holdings, holdings_digest
from policies.compiler.nftables import ruleset
from policies.compiler.types import Facts, network
from policies.compiler.wireguard import GatewayPeer, gateway_peers
from tests.policies.compiler.build import NOW, facts, grant, key, snapshot
from tests.policies.compiler.examples import EVENING, SESSION, company
from tests.policies.compiler.strategies import policies


def expected(given_facts: Facts) -> Holdings:
    return holdings(snapshot(given_facts), "wg0")


def test_the_name_of_the_interface_is_left_out() -> None:
    compiled = snapshot(company())
    assert holdings(compiled, "wg0") == holdings(compiled, "peerage1")


def test_times_are_no_part_of_holdings() -> None:
    moved = replace(
        company(),
        grants=tuple(
            replace(g, expires_at=EVENING + timedelta(hours=1)) if g.id == 11 else g
            for g in company().grants
        ),
    )
    assert holdings_digest(expected(moved)) == holdings_digest(expected(company()))


def test_what_has_ended_is_not_expected() -> None:
    compiled = snapshot(company())
    later = holdings(compiled, "wg0", now=EVENING)
    open_now = ("open_gt_11", '"@interface"')
    assert open_now in holdings(compiled, "wg0").subjects
    assert open_now not in later.subjects
    assert len(holdings(compiled, "wg0", now=SESSION).peers) == 3


def test_every_decision_shows_in_the_digest() -> None:
    base = company()
    variants = [
        base,
        replace(base, memberships=((1, 4),)),
        replace(base, grants=base.grants[:-1]),
        replace(base, applications=base.applications[::-1], grants=base.grants[:2]),
        replace(base, grants=(*base.grants[:-1], grant(15, "us_3", 3))),
        facts(),
    ]
    assert len({holdings_digest(expected(v)) for v in variants}) == len(variants)


def test_a_foreign_object_shows_in_the_digest() -> None:
    table = ruleset(snapshot(company()), interface="wg0")
    peers = gateway_peers(snapshot(company()), now=NOW)
    odd = replace(table, foreign=(("flowtable", "fast"),))
    assert held(odd, peers) != held(table, peers)


def test_order_of_peers_never_matters() -> None:
    table = ruleset(snapshot(company()), interface="wg0")
    peers = gateway_peers(snapshot(company()), now=NOW)
    turned = [replace(p, allowed_ips=p.allowed_ips[::-1]) for p in peers[::-1]]
    assert held(table, turned) == held(table, peers)
    foreign = GatewayPeer(public_key=key(50), allowed_ips=(network("10.0.0.0/8"),))
    assert held(table, [*peers, foreign]) != held(table, peers)


@given(policies())
def test_equal_snapshots_have_equal_digests(given_facts: Facts) -> None:
    assert holdings_digest(expected(given_facts)) == holdings_digest(
        expected(replace(given_facts, devices=given_facts.devices[::-1]))
    )

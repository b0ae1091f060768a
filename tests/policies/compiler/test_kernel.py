"""What a real kernel makes of rulesets and transactions. Never skipped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.compiler.holdings import holdings, holdings_digest, holdings_from_nft
from policies.compiler.nftables import (
    Ruleset,
    base_text,
    closed_text,
    live_text,
    named_part,
    ruleset,
    transaction,
    with_resolved,
)
from policies.compiler.types import Facts
from policies.compiler.wireguard import gateway_peers
from tests.policies.compiler.build import (
    NOW,
    application,
    device,
    facts,
    grant,
    snapshot,
)
from tests.policies.compiler.examples import answers, company, company_with_names
from tests.policies.compiler.kernel import Kernel
from tests.policies.compiler.strategies import policies

pytestmark = pytest.mark.netns

FAR = timedelta(days=3650)


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    """Lend one namespace to many examples; each begins with an empty ruleset."""
    with Kernel() as lent:
        yield lent


def compiled(given_facts: Facts) -> Ruleset:
    return ruleset(snapshot(given_facts), interface="wg0")


def load(kernel: Kernel, have: Ruleset | None, want: Ruleset) -> None:
    script = transaction(have, want, now=NOW)
    if script:
        kernel.load(script)


def agrees(kernel: Kernel, want: Ruleset) -> bool:
    """Whether nothing is left to do, judging by what the kernel lists."""
    return transaction(kernel.ruleset(), want, now=NOW) == ""


def digest_held(kernel: Kernel, given_facts: Facts) -> str:
    peers = gateway_peers(snapshot(given_facts), now=NOW)
    listing = kernel.listing()
    return holdings_digest(holdings_from_nft(listing, peers, interface="wg0", now=NOW))


def test_a_first_load_is_held_as_it_was_compiled(kernel: Kernel) -> None:
    load(kernel, None, compiled(company()))
    assert agrees(kernel, compiled(company()))
    expected = holdings(snapshot(company()), "other0")
    assert digest_held(kernel, company()) == holdings_digest(expected)


def test_names_are_held_as_they_were_compiled(kernel: Kernel) -> None:
    given_facts = company_with_names()
    policy = snapshot(given_facts)
    want = ruleset(policy, interface="wg0", resolved=answers())
    load(kernel, None, want)
    assert agrees(kernel, want)
    assert digest_held(kernel, given_facts) == holdings_digest(holdings(policy, "wg0"))
    for names in ({}, answers()):
        have, want = want, with_resolved(want, policy, names)
        load(kernel, named_part(have), named_part(want))
        assert agrees(kernel, want)
    load(kernel, kernel.ruleset(), compiled(company()))
    assert agrees(kernel, compiled(company()))


def test_a_chain_goes_though_an_element_that_ended_still_leads_to_it(
    kernel: Kernel,
) -> None:
    policy = snapshot(company_with_names())
    soon = {
        host: dict.fromkeys(found, NOW + timedelta(milliseconds=300))
        for host, found in answers().items()
    }
    want = ruleset(policy, interface="wg0", resolved=soon)
    load(kernel, None, want)
    time.sleep(0.4)
    lasting = {**answers(), "shop.example.com": {}}
    have, want = want, with_resolved(want, policy, lasting)
    load(kernel, named_part(have), named_part(want))
    assert agrees(kernel, want)
    load(kernel, want, compiled(company()))
    assert agrees(kernel, compiled(company()))


def test_a_first_load_may_be_repeated(kernel: Kernel) -> None:
    for _ in range(2):
        load(kernel, None, compiled(company()))
    assert agrees(kernel, compiled(company()))


def test_a_first_load_replaces_whatever_stood_there(kernel: Kernel) -> None:
    load(kernel, None, compiled(company()))
    load(kernel, None, compiled(facts()))
    assert all(not s.elements for s in kernel.ruleset().sets if s.data_type)
    load(kernel, kernel.ruleset(), compiled(facts()))
    assert kernel.ruleset().sets == compiled(facts()).sets


def test_the_closed_table_opens_and_closes_nothing(kernel: Kernel) -> None:
    kernel.load(base_text("wg0"))
    assert agrees(kernel, compiled(facts()))
    load(kernel, None, compiled(company()))
    kernel.load(live_text("wg0", 60))
    kernel.load(base_text("wg0"))
    assert agrees(kernel, compiled(company()))
    assert "wg0" in kernel.run("nft", "list", "set", "inet", "peerage_wg0", "live")


def test_the_lease_starts_again_at_every_renewal(kernel: Kernel) -> None:
    kernel.load(base_text("wg0"))
    for seconds in (20, 60, 30):
        kernel.load(live_text("wg0", seconds))
        listed = kernel.run("nft", "list", "set", "inet", "peerage_wg0", "live")
        _, _, left = listed.partition("expires ")
        assert seconds - 1 <= float(left.partition("s")[0]) <= seconds


def test_the_lease_ends_at_once_open_or_not(kernel: Kernel) -> None:
    kernel.load(base_text("wg0"))
    kernel.load(live_text("wg0", 60))
    for _ in range(2):
        kernel.load(closed_text("wg0"))
        listed = kernel.run("nft", "list", "set", "inet", "peerage_wg0", "live")
        assert "elements" not in listed


def test_an_element_that_ended_meanwhile_stops_no_transaction(kernel: Kernel) -> None:
    load(kernel, None, compiled(company()))
    kernel.load("delete element inet peerage_wg0 device4 { 100.64.0.3 }\n")
    kernel.load('delete element inet peerage_wg0 open_gt_11 { "wg0" }\n')
    load(kernel, compiled(company()), compiled(facts()))
    assert agrees(kernel, compiled(facts()))


@pytest.mark.parametrize(
    "edit",
    [
        "insert rule inet peerage_wg0 from_device accept",
        "flush chain inet peerage_wg0 forward",
        "add rule inet peerage_wg0 app_1 counter packets 5 bytes 5 accept",
        "add chain inet peerage_wg0 forward { policy accept; }",
        "add chain inet peerage_wg0 b { type filter hook output priority 0; }",
        "add element inet peerage_wg0 who_gr_4 { 99 }",
        "delete element inet peerage_wg0 device4 { 100.64.0.1 }",
        "add element inet peerage_wg0 device4 { 100.64.0.99 : 99 }",
        "add element inet peerage_wg0 tcp4 { 192.0.2.0/24 . 1-9 : accept }",
        "add set inet peerage_wg0 mine { type ipv4_addr; elements = { 10.0.0.1 } }",
        "add counter inet peerage_wg0 mine",
        "add chain inet peerage_wg0 c\nadd rule inet peerage_wg0 input jump c",
        (
            "add map inet peerage_wg0 m { type mark : verdict; }\n"
            "add chain inet peerage_wg0 c\n"
            "add element inet peerage_wg0 m { 1 : goto c }\n"
            "add rule inet peerage_wg0 to_device ct mark vmap @m"
        ),
    ],
)
def test_what_somebody_changed_is_seen_and_put_back(kernel: Kernel, edit: str) -> None:
    want = compiled(company())
    load(kernel, None, want)
    before = digest_held(kernel, company())
    kernel.load(f"{edit}\n")
    assert not agrees(kernel, want)
    load(kernel, kernel.ruleset(), want)
    assert agrees(kernel, want)
    assert digest_held(kernel, company()) == before


def test_a_set_of_another_type_is_replaced(kernel: Kernel) -> None:
    load(kernel, None, compiled(company()))
    old = compiled(company())
    kernel.load("flush chain inet peerage_wg0 from_device\nflush ruleset\n")
    sets = tuple(
        replace(s, flags=("timeout",)) if s.name == "who_gr_4" else s for s in old.sets
    )
    load(kernel, None, replace(old, sets=sets))
    load(kernel, kernel.ruleset(), old)
    assert agrees(kernel, old)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sequence=st.lists(policies(), min_size=2, max_size=4))
def test_deltas_lead_where_a_fresh_load_leads(
    shared: Kernel, sequence: list[Facts]
) -> None:
    shared.load("flush ruleset\n")
    have: Ruleset | None = None
    for step in sequence:
        want = compiled(step)
        load(shared, have, want)
        assert agrees(shared, want)
        have = want
    expected = holdings(snapshot(sequence[-1]), "wg0")
    assert digest_held(shared, sequence[-1]) == holdings_digest(expected)


def test_small_edits_of_a_large_policy_lead_where_a_fresh_load_leads(
    shared: Kernel,
) -> None:
    shared.load("flush ruleset\n")
    random = Random(2)  # noqa: S311 - reproducible, not secret
    have: Ruleset | None = None
    for _ in range(6):
        want = compiled(large(random))
        load(shared, have, want)
        assert agrees(shared, want)
        have = want


@pytest.mark.parametrize("days", [3650, 36_500, 2_900_000])
def test_an_end_far_away_is_accepted(kernel: Kernel, days: int) -> None:
    end = NOW + timedelta(days=days)
    given_facts = facts(
        devices=(device(1),),
        applications=(application(1, "10.0.0.0/8 tcp 80"),),
        grants=(grant(1, "us_1", 1, expires_at=end),),
    )
    load(kernel, None, compiled(given_facts))
    assert agrees(kernel, compiled(given_facts))


def test_the_longest_names_are_accepted(kernel: Kernel) -> None:
    ids = [2**53 - 1 - n for n in range(30)]
    given_facts = facts(
        devices=(replace(device(1), id=2**32 - 1),),
        applications=[application(n, "10.0.0.0/8 tcp 80") for n in ids],
        grants=[grant(n, "us_1", n, expires_at=NOW + FAR) for n in ids],
    )
    want = ruleset(snapshot(given_facts), interface="abcdefghijk.-_9")
    kernel.load(transaction(None, want, now=NOW))
    read = kernel.ruleset("abcdefghijk.-_9")
    assert transaction(read, want, now=NOW) == ""


def large(random: Random) -> Facts:
    """Return 300 devices in 20 groups before 100 overlapping applications."""
    return facts(
        devices=[device(n) for n in range(1, 301) if random.random() < 0.95],
        memberships={
            (n, random.randint(1, 20)) for n in range(1, 301) for _ in range(3)
        },
        applications=[
            application(
                n,
                f"10.{n % 7}.{random.randint(0, 3) * 64}.0/18 tcp {80 + n % 5}-443",
                f"10.{n}.0.{random.randint(0, 255)}/32 any",
                f"fd20::{random.randint(0, 9)}:0/112 udp 53",
            )
            for n in range(1, 101)
        ],
        grants=[
            grant(n, f"gr_{random.randint(1, 20)}", random.randint(1, 100))
            for n in range(1, 120)
        ],
    )

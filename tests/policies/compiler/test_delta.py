"""Rules of transactions. That kernels agree is tried in `test_kernel`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given

from policies.compiler.delta import (
    ElementChange,
    element_changes,
    milliseconds_left,
)
from policies.compiler.nftables import Ruleset, ruleset, transaction
from policies.compiler.tables import Chain, Element, named_set
from policies.compiler.types import NEVER, Facts
from tests.policies.compiler.build import NOW, application, facts, grant, snapshot
from tests.policies.compiler.examples import EVENING, company
from tests.policies.compiler.strategies import policies

T = "inet peerage_wg0"


def compiled(given_facts: Facts) -> Ruleset:
    return ruleset(snapshot(given_facts), interface="wg0")


def delta(have: Facts, want: Facts) -> list[str]:
    return transaction(compiled(have), compiled(want), now=NOW).splitlines()


@given(policies())
def test_what_is_held_already_needs_nothing(given_facts: Facts) -> None:
    table = compiled(given_facts)
    assert transaction(table, table, now=NOW) == ""
    assert transaction(table, table, now=NOW + timedelta(days=400)) == ""


@given(policies(), policies())
def test_the_live_table_is_never_deleted_or_emptied(have: Facts, want: Facts) -> None:
    for line in delta(have, want):
        assert not line.startswith(("delete table", "flush table", "flush set"))
        assert not line.startswith((f"delete chain {T} forward", f"flush chain {T} f"))
        assert " live " not in line


def test_a_first_load_leaves_the_lease_alone() -> None:
    lines = transaction(None, compiled(company()), now=NOW).splitlines()
    assert [line for line in lines if " live" in line] == [
        f"add set {T} live {{ type ifname; flags timeout; }}"
    ]


def test_moving_one_device_is_a_few_elements() -> None:
    less = replace(company(), memberships=((1, 4),))
    assert delta(company(), less) == [
        f"add element {T} device4 {{ 100.64.0.2 : 2 }}",
        f"delete element {T} device4 {{ 100.64.0.2 }}",
        f"add element {T} device6 {{ fd5e:e4a6:e000::2 : 2 }}",
        f"delete element {T} device6 {{ fd5e:e4a6:e000::2 }}",
        f"delete element {T} who_gr_4 {{ 2 }}",
    ]


def test_only_the_chains_of_a_changed_application_are_rewritten() -> None:
    more = replace(company(), grants=(*company().grants, grant(20, "gr_4", 4)))
    flushed = [line for line in delta(company(), more) if line.startswith("flush")]
    assert [line.rpartition(" ")[2] for line in flushed] == [
        "app_1_2_4",
        "app_1_4",
        "app_2_4",
        "app_3_4",
        "app_4",
    ]


def test_an_end_that_moves_replaces_the_element() -> None:
    later = replace(
        company(),
        grants=tuple(
            replace(g, expires_at=EVENING + timedelta(hours=1)) if g.id == 11 else g
            for g in company().grants
        ),
    )
    assert delta(company(), later) == [
        f'add element {T} open_gt_11 {{ "wg0" }}',
        f'delete element {T} open_gt_11 {{ "wg0" }}',
        f'add element {T} open_gt_11 {{ "wg0" timeout 0d32400s0ms }}',
    ]


def test_what_has_ended_is_not_added() -> None:
    table = compiled(company())
    for left, expected in ((timedelta(milliseconds=1), True), (timedelta(0), False)):
        text = transaction(None, table, now=EVENING - left)
        assert ("timeout 0d0s1ms" in text) is expected
        assert ("element inet peerage_wg0 open_gt_11" in text) is expected


def test_less_than_a_millisecond_is_nothing() -> None:
    text = transaction(
        None, compiled(company()), now=EVENING - timedelta(microseconds=999)
    )
    assert "element inet peerage_wg0 open_gt_11" not in text


def test_a_listing_may_be_off_by_its_tolerance() -> None:
    want = compiled(company())
    shifted = tuple(
        replace(
            s,
            elements=tuple(
                e
                if e.expires_at == NEVER
                else e._replace(expires_at=e.expires_at - timedelta(seconds=2))
                for e in s.elements
            ),
        )
        for s in want.sets
    )
    read = replace(want, sets=shifted, tolerance=timedelta(seconds=2))
    assert transaction(read, want, now=NOW) == ""
    assert transaction(replace(read, tolerance=timedelta(0)), want, now=NOW) != ""


def test_what_is_not_ours_is_deleted() -> None:
    want = compiled(facts())
    have = replace(
        want,
        sets=(*want.sets, named_set("mine", "ipv4_addr")),
        chains=(*want.chains, Chain(name="back_door", hook="", rules=("accept",))),
        foreign=(("counter", "mine_too"),),
    )
    assert transaction(have, want, now=NOW).splitlines() == [
        f"flush chain {T} back_door",
        f"delete set {T} mine",
        f"delete chain {T} back_door",
        f"delete counter {T} mine_too",
    ]


def test_a_changed_policy_of_a_base_chain_is_put_back() -> None:
    want = compiled(facts())
    open_chains = tuple(
        replace(c, hook=c.hook.replace("drop", "accept")) for c in want.chains
    )
    lines = transaction(replace(want, chains=open_chains), want, now=NOW).splitlines()
    assert lines == [
        f"add chain {T} forward {{ type filter hook forward priority 0; policy drop; }}"
    ]


def test_a_set_of_another_type_is_replaced_under_its_rules() -> None:
    want = compiled(company())
    old = tuple(
        replace(s, flags=("interval",)) if s.name == "who_gr_4" else s
        for s in want.sets
    )
    lines = transaction(replace(want, sets=old), want, now=NOW).splitlines()
    flushes = [f"flush chain {T} {chain.name}" for chain in want.chains]
    assert lines[: len(flushes)] == flushes
    assert lines[len(flushes)] == f"delete set {T} who_gr_4"
    assert len([x for x in lines if x.startswith("add rule")]) == sum(
        len(chain.rules) for chain in want.chains
    )


def test_a_mark_that_differs_is_replaced() -> None:
    want = compiled(company())
    wrong = tuple(
        replace(s, elements=(Element("100.64.0.1", "9", NEVER), *s.elements[1:]))
        if s.name == "device4"
        else s
        for s in want.sets
    )
    assert transaction(replace(want, sets=wrong), want, now=NOW).splitlines() == [
        f"add element {T} device4 {{ 100.64.0.1 : 9 }}",
        f"delete element {T} device4 {{ 100.64.0.1 }}",
        f"add element {T} device4 {{ 100.64.0.1 : 1 }}",
    ]


def test_a_new_application_brings_its_sets_and_chain() -> None:
    wiki = application(1, "10.0.0.0/8 tcp 80")
    lines = delta(facts(), facts(applications=(wiki,), grants=(grant(1, "gr_4", 1),)))
    assert lines == [
        f"add set {T} who_gr_4 {{ type mark; }}",
        f"add chain {T} app_1",
        f"flush chain {T} app_1",
        (
            f"add rule {T} app_1 ct mark @who_gr_4 counter"
            ' log prefix "gt_1/ap_1" group 41 accept'
        ),
        f"add rule {T} app_1 goto deny_no_grant",
        f"add element {T} tcp4 {{ 10.0.0.0-10.255.255.255 . 80 : goto app_1 }}",
    ]


def changes(have: Facts, want: Facts) -> tuple[ElementChange, ...] | None:
    return element_changes(compiled(have), compiled(want))


def test_one_membership_is_a_change_of_elements() -> None:
    less = replace(company(), memberships=((1, 4),))
    found = changes(company(), less)
    assert found is not None
    assert [(c.named.name, [e.key for e in c.removed], c.added) for c in found] == [
        ("device4", ["100.64.0.2"], ()),
        ("device6", ["fd5e:e4a6:e000::2"], ()),
        ("who_gr_4", ["2"], ()),
    ]


@given(policies(), policies())
def test_elements_alone_differ_when_the_transaction_touches_nothing_else(
    have: Facts, want: Facts
) -> None:
    lines = delta(have, want)
    found = changes(have, want)
    elements = all(" element " in line for line in lines)
    assert (found is not None) is elements
    if found is not None:
        named = {line.split()[4] for line in lines}
        assert {change.named.name for change in found} == named


def test_nothing_is_known_of_what_was_not_read() -> None:
    table = compiled(company())
    assert element_changes(None, table) is None
    assert element_changes(replace(table, foreign=(("set", "mine"),)), table) is None
    assert element_changes(table, table) == ()


def test_time_left_is_counted_in_milliseconds() -> None:
    for end, left in (
        (NEVER, None),
        (NOW, 0),
        (NOW - timedelta(hours=1), 0),
        (NOW + timedelta(microseconds=1999), 1),
    ):
        assert milliseconds_left(Element("1", "", end), now=NOW) == left

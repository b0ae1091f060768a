"""Rules of the ruleset. What the kernel makes of it is tried in `test_kernel`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from policies.compiler.conditions import requirement_name
from policies.compiler.errors import InvalidValueError
from policies.compiler.nftables import (
    Ruleset,
    base_text,
    chain_name,
    closed_text,
    live_text,
    ruleset,
    table_name,
)
from policies.compiler.tables import NamedSet
from policies.compiler.types import NEVER, Facts
from tests.policies.compiler.build import (
    NOW,
    application,
    device,
    facts,
    grant,
    snapshot,
)
from tests.policies.compiler.examples import EVENING, MFA, SESSION, company, office


def compiled(given: Facts | None = None) -> Ruleset:
    return ruleset(snapshot(given or company()), interface="wg0")


def named(table: Ruleset, name: str) -> NamedSet:
    (found,) = (s for s in table.sets if s.name == name)
    return found


def rules(table: Ruleset, name: str) -> tuple[str, ...]:
    (found,) = (chain.rules for chain in table.chains if chain.name == name)
    return found


def test_empty_grants_compile_to_drop() -> None:
    empty = compiled(replace(company(), grants=()))
    assert all(s.elements == () for s in empty.sets)
    assert not [chain for chain in empty.chains if chain.name.startswith("app_")]
    assert rules(empty, "begin4")[-1] == "goto deny_no_grant"
    assert rules(empty, "begin6")[-1] == "goto deny_no_grant"


def test_every_path_ends_in_a_drop() -> None:
    for chain in compiled().chains:
        if chain.name == "input":
            assert chain.rules == ('iifname "wg0" goto deny_input',)
        elif chain.name == "crowd":
            # It is jumped to, by one flow of sixteen, and those that may go on return.
            assert len(chain.rules) == 1
        else:
            last = chain.rules[-1]
            assert last.split()[-1] == "drop" or last.startswith("goto deny_")


def test_forward_drops_by_policy_and_by_its_last_rule() -> None:
    (forward,) = (c for c in compiled().chains if c.name == "forward")
    assert forward.hook.endswith("policy drop;")
    assert forward.rules[-1] == "drop"


@pytest.mark.parametrize("chain", ["from_device", "to_device"])
def test_both_gates_stand_before_established_accept(chain: str) -> None:
    listed = rules(compiled(), chain)
    (lease,) = (n for n, rule in enumerate(listed) if "ifname != @live" in rule)
    accepting = [n for n, rule in enumerate(listed) if rule.endswith("accept")]
    end = {"from_device": "saddr", "to_device": "daddr"}[chain]
    assert lease < accepting[0]
    assert [listed[n].partition(" ip")[2] for n in accepting] == [
        f" {end} @device4 accept",
        f"6 {end} @device6 accept",
    ]
    assert all(listed[n].startswith("ct state established,related") for n in accepting)


def test_nothing_new_goes_to_a_device() -> None:
    assert rules(compiled(), "to_device")[5:] == ("goto deny_unsolicited",)


def test_a_new_flow_passes_the_lease_and_its_device_gate_first() -> None:
    listed = rules(compiled(), "from_device")
    assert listed[:3] == (
        'oifname "wg0" goto deny_lateral',
        "iifname != @live goto deny_not_live",
        "ct state new goto begin",
    )
    assert rules(compiled(), "begin") == (
        "ct mark set ip saddr map @device4 goto begin4",
        "ct mark set ip6 saddr map @device6 goto begin6",
        "goto deny_no_device",
    )


def test_only_the_gates_lead_to_the_destinations() -> None:
    table = compiled()
    sources = [
        (chain.name, rule)
        for chain in table.chains
        for rule in chain.rules
        if rule.endswith(("goto begin4", "goto begin6")) or " vmap " in rule
    ]
    assert {name for name, _ in sources} == {"begin", "begin4", "begin6"}
    assert all("ct mark set" in rule for name, rule in sources if name == "begin")


def test_a_denial_that_concerns_a_person_is_always_logged() -> None:
    for reason in ("no_grant", "lateral", "input"):
        (rule,) = rules(compiled(), f"deny_{reason}")
        assert rule == f'counter log prefix "{reason}" group 42 drop'


def test_the_rule_that_accepts_is_the_grant() -> None:
    assert rules(compiled(), "app_1_2_4") == (
        'ct mark @who_gr_4 counter log prefix "gt_10/ap_1" group 41 accept',
        (
            "iifname @open_gt_11 ct mark @who_us_1"
            ' counter log prefix "gt_11/ap_2" group 41 accept'
        ),
        'ct mark @who_us_3 counter log prefix "gt_13/ap_4" group 41 accept',
        "goto deny_no_grant",
    )


def test_a_grant_with_an_end_is_open_until_that_end() -> None:
    evening = named(compiled(), "open_gt_11")
    assert (evening.key_type, evening.flags) == ("ifname", ("timeout",))
    assert [(e.key, e.expires_at) for e in evening.elements] == [('"wg0"', EVENING)]
    assert "iifname @open_gt_10" not in " ".join(rules(compiled(), "app_1"))


def test_a_grant_asks_for_all_that_it_demands() -> None:
    table = ruleset(snapshot(office()), interface="wg0")
    strong = requirement_name(MFA)
    assert rules(table, "app_2")[0] == (
        "iifname @open_gt_31 ct mark @who_gr_4 ct mark @if_age_28800"
        f" ct mark @if_approved ct mark @{strong}"
        ' counter log prefix "gt_31/ap_2" group 41 accept'
    )


def test_a_requirement_has_one_set_of_the_devices_that_hold_it() -> None:
    table = ruleset(snapshot(office()), interface="wg0")
    young = named(table, "if_age_28800")
    assert young.flags == ("timeout",)
    assert {e.key: e.expires_at for e in young.elements} == {
        "1": NOW + timedelta(hours=7),
        "2": NOW + timedelta(hours=8),
        "7": NOW + timedelta(hours=7),
    }
    assert [e.key for e in named(table, "if_approved").elements] == ["1", "2"]
    assert named(table, "if_approved").flags == ()
    assert [e.key for e in named(table, requirement_name(MFA)).elements] == ["1", "7"]


def test_a_grant_without_end_asks_for_its_subject() -> None:
    table = compiled()
    assert named(table, "who_gr_4").flags == ()
    assert {e.expires_at for e in named(table, "who_gr_4").elements} == {NEVER}


def test_a_device_is_its_mark_until_its_session_ends() -> None:
    devices = named(compiled(), "device6").elements
    assert [(e.key, e.data) for e in devices] == [
        ("fd5e:e4a6:e000::1", "1"),
        ("fd5e:e4a6:e000::2", "2"),
        ("fd5e:e4a6:e000::3", "3"),
    ]
    assert devices[2].expires_at == SESSION


def test_a_subject_holds_marks_whatever_the_family() -> None:
    both = facts(
        devices=(device(1),),
        memberships=((1, 4),),
        applications=(application(1, "10.0.0.0/8 tcp 80", "fd20::/64 tcp 80"),),
        grants=(grant(1, "gr_4", 1),),
    )
    assert [e.key for e in named(compiled(both), "who_gr_4").elements] == ["1"]
    assert len(rules(compiled(both), "app_1")) == 2


def test_an_application_without_destinations_makes_no_rule() -> None:
    nothing = facts(applications=(application(1),), grants=(grant(1, "gr_4", 1),))
    assert compiled(nothing).sets == compiled(facts()).sets
    assert compiled(nothing).chains == compiled(facts()).chains


def test_ungranted_applications_are_not_in_the_kernel() -> None:
    given = snapshot(company())
    fewer = replace(given, grants=given.grants[:1])
    targets = {e.data for e in named(ruleset(fewer, interface="wg0"), "tcp4").elements}
    assert targets == {"goto app_1"}


def test_size_is_memberships_and_destinations_and_grants() -> None:
    more = replace(company(), grants=(*company().grants, grant(20, "us_2", 1)))
    before, after = compiled(), compiled(more)
    assert named(after, "tcp4") == named(before, "tcp4")
    assert sum(len(s.elements) for s in after.sets) == 1 + sum(
        len(s.elements) for s in before.sets
    )


def test_a_long_label_is_hashed() -> None:
    assert chain_name((1, 22, 333)) == "app_1_22_333"
    long = chain_name(tuple(range(1000, 1100)))
    assert len(long) == len("app_x") + 32
    assert long != chain_name(tuple(range(1000, 1101)))


@pytest.mark.parametrize(
    "interface",
    ["", "0wg", "wg 0", "wg0;", 'wg"', "wg0\n", "wg/0", "a" * 16, "-wg", "wg@1"],
)
def test_an_interface_that_could_break_the_script_is_refused(interface: str) -> None:
    for make in (base_text, table_name, closed_text):
        with pytest.raises(InvalidValueError):
            make(interface)
    with pytest.raises(InvalidValueError):
        live_text(interface, 60)
    with pytest.raises(InvalidValueError):
        ruleset(snapshot(company()), interface=interface)


def test_no_text_but_machine_ids_enters_a_ruleset() -> None:
    table = compiled(replace(company(), deployment="Secret-Name"))
    assert "Secret" not in repr(table)


def test_time_does_not_change_a_ruleset() -> None:
    later = snapshot(company(), now=NOW + timedelta(minutes=1))
    assert ruleset(later, interface="wg0") == compiled()

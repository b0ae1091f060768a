"""From have to want: tighten first, loosen last, nothing that does nothing. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.reconcile import (
    AddRoutes,
    ChangeElements,
    CutFlows,
    Have,
    RemovePeers,
    RunTransaction,
    SetListenPort,
    SetPeers,
    flows_to_cut,
    losing_devices,
    next_end,
    peers_of,
    plan,
)
from gateway.types import InterfaceState
from policies.compiler.conditions import ApprovedDevice, MaxAge
from policies.compiler.nftables import ruleset
from policies.compiler.types import (
    NEVER,
    Authentication,
    Facts,
    Protocol,
    Snapshot,
    Subject,
    SubjectKind,
    SubjectMembers,
    network,
)
from tests.gateway.fakes import entry, tcp
from tests.gateway.world import (
    ALICE,
    BOB,
    NOW,
    destination,
    device,
    facts,
    grant,
    public_text,
    snapshot,
    without,
)

NOTHING = Have(
    snapshot=None, ruleset=None, interface=InterfaceState(listen_port=0, peers={})
)


def have(value: Snapshot) -> Have:
    """Return a kernel that holds exactly `value`."""
    return Have(
        snapshot=value,
        ruleset=ruleset(value, interface="wg0"),
        interface=InterfaceState(
            listen_port=value.listen_port, peers=peers_of(value, now=NOW)
        ),
    )


def steps(held: Have, want: Snapshot) -> list[object]:
    """Return the planned steps."""
    return list(plan(held, want, interface="wg0", now=NOW)[0])


def changed(**fields: object) -> Facts:
    """Return the world with something else in it."""
    return replace(facts(), **fields)  # type: ignore[arg-type]


def test_a_first_snapshot_takes_every_step_in_order() -> None:
    kinds = [type(step) for step in steps(NOTHING, snapshot())]
    assert kinds == [RunTransaction, CutFlows, SetListenPort, AddRoutes, SetPeers]


def test_equal_states_give_no_step() -> None:
    assert steps(have(snapshot()), snapshot(2)) == []


def test_a_revocation_is_ruleset_then_peer_then_flows() -> None:
    planned = steps(have(snapshot()), snapshot(2, of=without([ALICE], facts())))
    assert [type(step) for step in planned] == [ChangeElements, RemovePeers, CutFlows]
    assert planned[1:] == [
        RemovePeers(keys=(public_text("alice"),)),
        CutFlows(devices=frozenset({ALICE})),
    ]


def test_what_changes_more_than_elements_is_a_transaction_of_text() -> None:
    without_grants = snapshot(2, of=changed(grants=()))
    (first, *_) = steps(have(snapshot()), without_grants)
    assert isinstance(first, RunTransaction)
    unknown = replace(have(snapshot()), ruleset=None)
    (first, *_) = steps(unknown, snapshot(2, of=without([ALICE], facts())))
    assert isinstance(first, RunTransaction)


def test_destinations_are_changed_by_text() -> None:
    moved = tuple(
        replace(
            a,
            destinations=(
                *a.destinations,
                destination("10.50.0.99/32", Protocol.TCP, 9),
            ),
        )
        for a in facts().applications
    )
    (first, *_) = steps(have(snapshot()), snapshot(2, of=changed(applications=moved)))
    assert isinstance(first, RunTransaction)


def test_a_new_device_is_ruleset_then_peer_and_cuts_nothing() -> None:
    before = snapshot(of=without([BOB], facts()))
    planned = steps(have(before), snapshot(2))
    assert [type(step) for step in planned] == [ChangeElements, SetPeers]
    assert planned[1] == SetPeers(
        peers={
            public_text("bob"): frozenset(
                {network("100.64.0.8/32"), network("fd5e:e4a6:e000::8/128")}
            )
        }
    )


def test_a_peer_that_stays_is_left_alone() -> None:
    planned = steps(have(snapshot()), snapshot(2, of=without([ALICE], facts())))
    assert not any(isinstance(step, SetPeers) for step in planned)


def test_a_foreign_peer_is_removed() -> None:
    held = have(snapshot())
    peers = {**held.interface.peers, "intruder": frozenset({network("0.0.0.0/0")})}
    state = InterfaceState(listen_port=51820, peers=peers)
    assert steps(replace(held, interface=state), snapshot(2)) == [
        RemovePeers(keys=("intruder",))
    ]


def test_a_changed_port_and_pool_are_steps_of_their_own() -> None:
    other = changed(listen_port=1024, pools=(*facts().pools, network("100.65.0.0/16")))
    assert steps(have(snapshot()), snapshot(2, of=other)) == [
        SetListenPort(port=1024),
        AddRoutes(prefixes=(network("100.65.0.0/16"),)),
    ]


def test_an_expired_session_is_no_peer() -> None:
    short = replace(
        snapshot(),
        peers=tuple(replace(p, expires_at=NOW) for p in snapshot().peers),
    )
    assert peers_of(short, now=NOW) == {}


def test_a_subject_without_grants_loses_nothing() -> None:
    old = snapshot()
    idle = SubjectMembers(
        subject=Subject(kind=SubjectKind.GROUP, id=99), device_ids=(ALICE, BOB)
    )
    before = replace(old, subjects=(*old.subjects, idle))
    assert losing_devices(before, old) == frozenset()


SMALLER = (replace(facts().applications[0], destinations=()), facts().applications[1])


@pytest.mark.parametrize(
    ("after", "losing"),
    [
        (facts(), set()),
        (without([ALICE], facts()), {ALICE}),
        (changed(memberships=((2, 4),)), {ALICE}),
        (changed(grants=(grant(10, facts().grants[1].subject, 5),)), {ALICE, BOB}),
        (changed(applications=SMALLER), {ALICE, BOB}),
        (
            changed(
                devices=(
                    replace(facts().devices[0], addresses=device(9, "x", 1).addresses),
                    facts().devices[1],
                )
            ),
            {ALICE},
        ),
        (changed(devices=(*facts().devices, device(9, "carol", 2))), set()),
    ],
    ids=[
        "nothing",
        "a device",
        "a membership",
        "a grant",
        "destinations",
        "an address",
        "only more",
    ],
)
def test_who_loses_something_is_found(after: Facts, losing: set[int]) -> None:
    assert losing_devices(snapshot(), snapshot(2, of=after)) == losing


def test_a_flow_that_is_still_allowed_is_not_cut() -> None:
    allowed = entry(1, ALICE)
    forbidden = entry(2, BOB, tcp(BOB, to="10.50.0.11"))
    cut = flows_to_cut([allowed, forbidden], snapshot(), pools=facts().pools, now=NOW)
    assert cut == [forbidden]


def test_flows_of_a_device_that_left_are_cut() -> None:
    left = snapshot(2, of=without([ALICE], facts()))
    flows = [entry(1, ALICE), entry(2, BOB)]
    assert flows_to_cut(flows, left, pools=facts().pools, now=NOW) == flows[:1]


def test_a_flow_whose_mark_is_anothers_is_cut() -> None:
    stolen = entry(1, BOB, tcp(ALICE))
    assert flows_to_cut([stolen], snapshot(), pools=facts().pools, now=NOW) == [stolen]


def test_foreign_flows_with_a_mark_are_not_ours_to_cut() -> None:
    foreign = replace(
        entry(1, 99),
        tuple=replace(tcp(ALICE), source=network("192.0.2.1/32").network_address),
    )
    assert flows_to_cut([foreign], snapshot(), pools=facts().pools, now=NOW) == []


def test_a_flow_that_no_rule_saw_begin_is_cut() -> None:
    unmarked = entry(1, 0, tcp(ALICE))
    cut = flows_to_cut([unmarked], snapshot(), pools=facts().pools, now=NOW)
    assert cut == [unmarked]


@pytest.mark.parametrize("mark", [0, ALICE])
def test_a_flow_that_began_towards_a_device_is_cut(mark: int) -> None:
    asked = tcp(ALICE)
    back = replace(asked, source=asked.destination, destination=asked.source)
    inbound = entry(1, mark, back)
    assert flows_to_cut([inbound], snapshot(), pools=facts().pools, now=NOW) == [
        inbound
    ]


def test_a_flow_outlives_its_grant_only_until_it_is_judged() -> None:
    ends = NOW + timedelta(seconds=5)
    short = changed(grants=(grant(9, facts().grants[0].subject, 3, end=ends),))
    flow, held = entry(1, ALICE), snapshot(of=short)
    assert next_end(held, now=NOW) == ends
    assert flows_to_cut([flow], held, pools=facts().pools, now=NOW) == []
    assert flows_to_cut([flow], held, pools=facts().pools, now=ends) == [flow]


STRICT = replace(
    facts(),
    devices=tuple(replace(d, is_approved=True) for d in facts().devices),
    grants=tuple(
        replace(g, requires=(MaxAge(seconds=3600), ApprovedDevice()))
        for g in facts().grants
    ),
    authentications=tuple(
        Authentication(user_id=user, proven_at=NOW, amr=(), acr="") for user in (1, 2)
    ),
)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("before", "after", "losing"),
    [
        (STRICT, STRICT, set()),
        (facts(), STRICT, {ALICE, BOB}),
        (STRICT, replace(STRICT, authentications=STRICT.authentications[1:]), {ALICE}),
        (
            STRICT,
            replace(
                STRICT,
                devices=(
                    replace(STRICT.devices[0], is_approved=False),
                    STRICT.devices[1],
                ),
            ),
            {ALICE},
        ),
    ],
    ids=["nothing", "demands", "a proof", "an approval"],
)
def test_who_no_longer_holds_what_is_demanded_is_found(
    before: Facts, after: Facts, losing: set[int]
) -> None:
    assert losing_devices(snapshot(of=before), snapshot(2, of=after)) == losing


def test_flows_are_cut_that_a_narrower_grant_would_not_let_begin() -> None:
    flow, pools = entry(1, ALICE), STRICT.pools
    weaker = replace(STRICT, authentications=STRICT.authentications[1:])
    assert flows_to_cut([flow], snapshot(of=STRICT), pools=pools, now=NOW) == []
    assert flows_to_cut([flow], snapshot(of=weaker), pools=pools, now=NOW) == [flow]


def test_a_proof_that_grows_too_old_is_an_end() -> None:
    strict = snapshot(of=STRICT)
    assert next_end(strict, now=NOW) == NOW + HOUR
    flow = entry(1, ALICE)
    for now, cut in ((NOW, []), (NOW + HOUR, [flow])):
        assert flows_to_cut([flow], strict, pools=STRICT.pools, now=now) == cut


def test_what_never_ends_is_the_last_end() -> None:
    assert next_end(snapshot(), now=NOW) == NEVER
    assert next_end(replace(snapshot(), peers=(), grants=()), now=NOW) is None

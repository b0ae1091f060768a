"""A notice's steps change what stands by exactly what it names. Pure."""

from __future__ import annotations

from dataclasses import replace

from gateway import reconcile
from gateway.cuts import Cuts
from gateway.cutting import cut
from gateway.reconcile import (
    ChangeElements,
    CutFlows,
    Have,
    RemovePeers,
    RunTransaction,
    Step,
)
from gateway.trust import Judge
from gateway.types import InterfaceState
from policies.compiler.nftables import ruleset
from policies.compiler.types import Snapshot
from tests.gateway.world import (
    ALICE,
    NOW,
    device,
    facts,
    public_text,
    signer,
    snapshot,
    without,
)

ALICES = frozenset({public_text("alice")})


def have(value: Snapshot) -> Have:
    """Return a kernel that holds a snapshot."""
    return Have(
        snapshot=value,
        ruleset=ruleset(value, interface="wg0"),
        interface=InterfaceState(
            listen_port=value.listen_port, peers=reconcile.peers_of(value, now=NOW)
        ),
    )


def kinds(steps: tuple[Step, ...]) -> list[type]:
    return [type(step) for step in steps]


def test_elements_go_first_then_the_peer_then_its_flows() -> None:
    steps, _ = cut(have(snapshot()), keys=ALICES, devices={ALICE}, now=NOW)
    assert kinds(steps) == [ChangeElements, RemovePeers, CutFlows]


def test_every_element_of_the_device_goes_and_no_other() -> None:
    steps, after = cut(have(snapshot()), keys=ALICES, devices={ALICE}, now=NOW)
    left = after()
    first = steps[0]
    assert isinstance(first, ChangeElements)
    gone = {(c.named.name, e.key) for c in first.changes for e in c.removed}
    assert gone == {
        ("device4", "100.64.0.7"),
        ("device6", "fd5e:e4a6:e000::7"),
        ("who_gr_4", "7"),
        ("who_us_1", "7"),
    }
    assert not any(c.added for c in first.changes)
    assert left.interface.peers.keys() == {public_text("bob")}


def test_the_next_snapshot_applies_as_a_difference_without_the_device() -> None:
    _, after = cut(have(snapshot()), keys=ALICES, devices={ALICE}, now=NOW)
    left = after()
    want = snapshot(2, of=without([ALICE], facts()))
    steps, _ = reconcile.plan(left, want, interface="wg0", now=NOW)
    named = (public_text("alice"), "100.64.0.7", "fd5e:e4a6:e000::7")
    assert not any(word in repr(step) for step in steps for word in named)
    assert not any(isinstance(step, RemovePeers) for step in steps)


def test_a_snapshot_from_before_does_not_bring_the_device_back() -> None:
    notice = signer().notice(1, "alice", devices=[ALICE])
    judge = Judge(anchor=signer().anchor())
    cuts = Cuts(epoch=1).with_notice(judge.kept_notice(notice), notice)
    _, after = cut(have(snapshot()), keys=ALICES, devices={ALICE}, now=NOW)
    left = after()
    want = cuts.less(snapshot(2))
    steps, loaded = reconcile.plan(left, want, interface="wg0", now=NOW)
    assert steps == ()
    assert loaded == left.ruleset


def test_nothing_else_is_done_where_nothing_of_it_stands() -> None:
    before = have(snapshot(of=without([ALICE], facts())))
    steps, after = cut(before, keys=ALICES, devices={ALICE}, now=NOW)
    left = after()
    assert kinds(steps) == [CutFlows]
    assert left == before


def test_a_key_alone_leaves_the_elements_of_its_device() -> None:
    steps, after = cut(have(snapshot()), keys=ALICES, devices=(), now=NOW)
    left = after()
    assert kinds(steps) == [RemovePeers]
    assert left.ruleset == ruleset(snapshot(), interface="wg0")


def test_many_devices_at_once_are_one_transaction() -> None:
    numbers = range(1000, 1400)
    many = replace(
        facts(),
        devices=tuple(
            replace(
                device(n % 250, str(n), 1),
                id=n,
                addresses=(device(1, "x", 1).addresses[0] + n,),
            )
            for n in numbers
        ),
    )
    keys = frozenset(public_text(str(n)) for n in numbers)
    steps, after = cut(have(snapshot(of=many)), keys=keys, devices=numbers, now=NOW)
    left = after()
    assert kinds(steps) == [RunTransaction, RemovePeers, CutFlows]
    assert left.interface.peers == {}


def test_what_is_read_back_is_cut_by_its_marks() -> None:
    read = replace(have(snapshot()), snapshot=None)
    steps, after = cut(read, keys=ALICES, devices={ALICE}, now=NOW)
    left = after()
    assert kinds(steps) == [ChangeElements, RemovePeers, CutFlows]
    assert left.snapshot is None


def test_a_table_that_is_not_there_holds_up_nothing_else() -> None:
    gone = replace(have(snapshot()), ruleset=None)
    steps, _ = cut(gone, keys=ALICES, devices={ALICE}, now=NOW)
    assert kinds(steps) == [RemovePeers, CutFlows]


def test_a_key_stays_cut_until_a_snapshot_says_that_it_is_revoked() -> None:
    judge = Judge(anchor=signer().anchor())
    cuts = Cuts(epoch=1)
    for number, name in ((1, "alice"), (2, "bob")):
        envelope = signer().notice(number, name)
        cuts = cuts.with_notice(judge.kept_notice(envelope), envelope)
    assert cuts.beyond(()) == cuts
    left = cuts.beyond([public_text("alice"), "another"])
    assert left.number == 2
    assert left.keys == {public_text("bob")}
    assert left.beyond([public_text("bob")]).notices == ()


def test_nothing_cut_leaves_a_snapshot_the_very_same() -> None:
    value = snapshot()
    assert Cuts(epoch=1).less(value) is value

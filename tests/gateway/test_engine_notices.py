"""A notice cuts before everything else, outlives a restart, and is never undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.client import Answer
from gateway.errors import RevokedKeyError, StaleError, StoreError, UntrustedError
from policies.compiler.types import Facts
from tests.gateway.fakes import entry
from tests.gateway.test_engine import Bench
from tests.gateway.world import (
    ALICE,
    BOB,
    facts,
    public_text,
    signer,
    snapshot,
    without,
)

FIELDS = [
    "agent_version",
    "applied_at",
    "boot_id",
    "epoch",
    "error",
    "flows_cut",
    "number",
    "received_at",
    "timings",
]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A gateway that enforces generation 1 for alice and bob, each with a flow."""
    made = Bench(tmp_path)
    made.receive(1)
    made.kernel.flows = [entry(1, ALICE), entry(2, ALICE), entry(3, BOB)]
    made.kernel.done.clear()
    return made


def notice(number: int = 1) -> bytes:
    return signer().notice(number, "alice", devices=[ALICE])


def offer(bench: Bench, generation: int, of: Facts | None = None) -> object:
    value = snapshot(generation, of=of)
    lease = signer().lease(value, issued=bench.clock.now())
    return bench.engine.receive(Answer(snapshot=signer().snapshot(value), lease=lease))


def test_a_notice_removes_cuts_and_counts(bench: Bench) -> None:
    report = bench.engine.cut([notice()])
    assert report is not None
    assert bench.kernel.names() == ["elements", "remove", "cut"]
    assert sorted(report) == FIELDS
    assert (report["number"], report["flows_cut"], report["error"]) == (1, 2, "")
    assert report["applied_at"] == "2026-11-23T12:00:00.000000Z"
    assert bench.kernel.held.keys() == {public_text("bob")}
    assert [flow.mark for flow in bench.kernel.flows] == [BOB]
    assert bench.engine.notice == 1


def test_others_go_on_under_the_same_generation(bench: Bench) -> None:
    bench.engine.cut([notice()])
    assert bench.engine.generation == 1
    assert bench.engine.renew(is_healthy=True)


def test_several_notices_are_reported_by_the_last(bench: Bench) -> None:
    second = signer().notice(5, "bob", devices=[BOB])
    report = bench.engine.cut([notice(), second])
    assert report is not None
    assert report["number"] == bench.engine.notice == 5
    assert bench.kernel.held == {}


def test_those_before_a_bad_one_are_reported(bench: Bench) -> None:
    bad = signer(2).notice(2, "bob", devices=[BOB])
    report = bench.engine.cut([notice(), bad])
    assert report is not None
    assert report["number"] == 1
    with pytest.raises(UntrustedError):
        bench.engine.cut([bad])


def test_a_bad_one_holds_up_none_behind_it_and_is_never_passed_over(
    bench: Bench,
) -> None:
    bad = signer(2).notice(1, "alice", devices=[ALICE])
    behind = signer().notice(2, "bob", devices=[BOB])
    for _ in range(2):
        with pytest.raises(UntrustedError):
            bench.engine.cut([bad, behind])
    assert bench.kernel.held.keys() == {public_text("alice")}
    assert bench.kernel.names().count("cut") == 1
    # Whoever has heard of a number has heard of all before it.
    assert bench.engine.notice == 0


def test_what_came_behind_a_bad_one_outlives_a_restart(bench: Bench) -> None:
    bad = signer(2).notice(1, "alice", devices=[ALICE])
    with pytest.raises(UntrustedError):
        bench.engine.cut([bad, signer().notice(2, "bob", devices=[BOB])])
    bench.restarted().open()
    assert bench.kernel.held.keys() == {public_text("alice")}


def test_a_notice_that_is_not_on_disk_lets_nothing_be_renewed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("full")

    with monkeypatch.context() as patched:
        patched.setattr(bench.store, "write_notices", full)
        bench.engine.cut([notice()])
        assert not bench.engine.renew(is_healthy=True)
        assert bench.engine.gate.reason == "a revocation could not be written down"
    assert bench.engine.renew(is_healthy=True)


def test_a_key_of_a_notice_stays_revoked_when_the_notices_are_lost(
    bench: Bench,
) -> None:
    bench.receive(2, of=without([ALICE], facts()))
    bench.engine.cut([signer().notice(1, "bob", devices=[BOB])])
    (bench.store.directory / "notices.json").unlink()
    (bench.store.directory / "accepted.json").unlink()
    bench.restarted().open()
    with pytest.raises(RevokedKeyError, match="devices"):
        offer(bench, 3, of=without([ALICE], facts()))


def test_what_is_stored_brings_nobody_back_when_the_notices_are_lost(
    bench: Bench,
) -> None:
    bench.engine.cut([notice()])
    (bench.store.directory / "notices.json").unlink()
    with pytest.raises(StoreError, match="revoked keys are peers again"):
        bench.restarted().open()


def test_notices_of_an_agent_that_kept_no_keys_of_theirs_are_known_at_a_start(
    bench: Bench,
) -> None:
    bench.engine.cut([notice()])
    revoked = bench.store.directory / "revoked"
    revoked.write_bytes(b"")
    bench.restarted().open()
    assert revoked.read_text() == f"{public_text('alice')}\n"


def test_what_the_disk_did_not_take_is_written_once_it_does(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("full")

    with monkeypatch.context() as patched:
        patched.setattr(bench.store, "write_notices", full)
        bench.engine.cut([notice()])
        bench.engine.renew(is_healthy=False)
    bench.engine.renew(is_healthy=True)
    bench.restarted().open()
    assert bench.engine.notice == 1
    assert bench.kernel.held.keys() == {public_text("bob")}


def test_no_notice_is_no_report(bench: Bench) -> None:
    assert bench.engine.cut([]) is None


@pytest.mark.parametrize("number", [1, 2])
def test_an_earlier_notice_has_nothing_to_say(bench: Bench, number: int) -> None:
    bench.engine.cut([notice(2)])
    with pytest.raises(StaleError):
        bench.engine.cut([notice(number)])


def test_a_notice_of_somebody_else_changes_nothing(bench: Bench) -> None:
    with pytest.raises(UntrustedError):
        bench.engine.cut([signer(2).notice(1, "alice", devices=[ALICE])])
    assert bench.kernel.done == []
    assert bench.engine.notice == 0
    assert bench.store.read_notices() is None


def test_a_snapshot_from_before_does_not_bring_anybody_back(bench: Bench) -> None:
    bench.engine.cut([notice()])
    assert offer(bench, 2) is None
    assert bench.engine.generation == 2
    assert bench.kernel.held.keys() == {public_text("bob")}
    assert bench.engine.renew(is_healthy=True)


def test_the_snapshot_that_covers_it_is_acknowledged(bench: Bench) -> None:
    bench.engine.cut([notice()])
    acknowledgement = offer(bench, 2, of=without([ALICE], facts()))
    assert isinstance(acknowledgement, dict)
    assert acknowledgement["error"] == ""
    stored = bench.store.read_notices()
    assert stored is not None
    assert (stored.number, stored.envelopes) == (1, ())


def test_a_restart_cuts_before_it_opens(bench: Bench) -> None:
    bench.engine.cut([notice()])
    bench.kernel.held.clear()
    bench.restarted().open()
    assert bench.kernel.held.keys() == {public_text("bob")}
    assert bench.engine.notice == 1
    assert offer(bench, 2) is None
    assert bench.kernel.held.keys() == {public_text("bob")}


def test_a_damaged_memory_of_cuts_is_for_a_person_to_decide(bench: Bench) -> None:
    bench.engine.cut([notice()])
    path = bench.store.directory / "notices.json"
    for content in (b"{", b'{"epoch":1,"number":1,"notices":["{}"]}', b"{}"):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"notice"):
            bench.restarted().open()


def test_a_disk_that_takes_nothing_does_not_save_anybody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_kept: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(bench.store, "write_notices", full)
    report = bench.engine.cut([notice()])
    assert report is not None
    assert "disk full" in str(report["error"])
    assert bench.kernel.held.keys() == {public_text("bob")}
    assert offer(bench, 2) is None
    assert bench.kernel.held.keys() == {public_text("bob")}


def test_a_kernel_that_refuses_loses_the_peer_and_the_lease(bench: Bench) -> None:
    bench.kernel.refuses_transactions = True
    report = bench.engine.cut([notice()])
    # Read back there is no table to change, and all that is left is done.
    assert report is not None
    assert bench.kernel.held.keys() == {public_text("bob")}
    assert [flow.mark for flow in bench.kernel.flows] == [BOB]


def test_before_any_snapshot_a_notice_is_remembered(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    report = bench.engine.cut([notice()])
    assert report is not None
    assert report["error"] == ""
    assert bench.kernel.done == []
    offer(bench, 1)
    assert bench.kernel.held.keys() == {public_text("bob")}


def test_a_notice_of_the_past_epoch_is_kept_and_numbers_begin_anew(
    bench: Bench,
) -> None:
    bench.engine.cut([notice(9)])
    stored = bench.store.read_notices()
    assert stored is not None
    text = bench.store.directory / "notices.json"
    text.write_text(text.read_text().replace('"epoch": 1', '"epoch": 0'))
    bench.restarted().open()
    assert bench.engine.notice == 0
    assert bench.kernel.held.keys() == {public_text("bob")}

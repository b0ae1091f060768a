"""A snapshot that breaks the agent is tried three times; what was before holds."""

from __future__ import annotations

import json
from errno import ENOSPC
from pathlib import Path

import pytest

from gateway import reconcile
from gateway.client import Answer
from gateway.errors import StoreError, UntrustedError
from gateway.poison import MOST_KEPT, MOST_TRIALS, TRIALS, Taster
from policies.compiler.snapshot import SNAPSHOT_TYPE, snapshot_bytes
from tests.gateway.test_engine import Bench
from tests.gateway.world import (
    ALICE,
    NOW,
    facts,
    public_text,
    signer,
    snapshot,
    without,
)


def offered(generation: int) -> Answer:
    """Return a generation as a portal answers it."""
    value = snapshot(generation)
    return Answer(
        snapshot=signer().snapshot(value), lease=signer().lease(value, issued=NOW)
    )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An engine that holds generation 1."""
    made = Bench(tmp_path)
    Taster(made.engine).receive(offered(1))
    return made


def break_planning(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the plan of generation 2 fail; return the generations that were planned."""
    plan, planned = reconcile.plan, list[int]()

    def failing(have: object, want: object, **named: object) -> object:
        planned.append(want.generation)  # type: ignore[attr-defined]
        if planned[-1] == 2:
            raise ZeroDivisionError
        return plan(have, want, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(reconcile, "plan", failing)
    return planned


def test_what_breaks_the_plan_is_refused_and_what_was_before_holds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_planning(monkeypatch)
    with pytest.raises(UntrustedError, match="ZeroDivisionError"):
        Taster(bench.engine).receive(offered(2))
    assert bench.engine.generation == 1
    assert bench.store.read_accepted() == offered(1).snapshot
    assert bench.engine.renew(is_healthy=True)


def test_it_is_tried_three_times_and_another_generation_as_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, taster = break_planning(monkeypatch), Taster(bench.engine)
    for _ in range(MOST_TRIALS + 2):
        with pytest.raises(UntrustedError):
            taster.receive(offered(2))
    assert planned.count(2) == MOST_TRIALS
    acknowledgement = taster.receive(offered(3))
    assert acknowledgement is not None
    assert (acknowledgement["generation"], acknowledgement["error"]) == (3, "")


def test_a_start_goes_back_after_three_that_died(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_planning(monkeypatch)
    with pytest.raises(ZeroDivisionError):
        # The agent died before it could go back.
        bench.engine.receive(offered(2))
    (bench.store.directory / "accepted.before.json").write_bytes(
        offered(1).snapshot or b""
    )
    for _ in range(MOST_TRIALS):
        with pytest.raises(ZeroDivisionError):
            Taster(bench.restarted()).open()
    Taster(bench.restarted()).open()
    assert bench.engine.generation == 1


def test_a_plain_refusal_is_no_trial(bench: Bench) -> None:
    taster, good = Taster(bench.engine), offered(2)
    forged = Answer(snapshot=signer(2).snapshot(snapshot(2)), lease=good.lease)
    for _ in range(MOST_TRIALS + 2):
        with pytest.raises(UntrustedError, match="key"):
            taster.receive(forged)
    assert (bench.store.directory / "trials.json").read_text() == "{}"


def test_going_back_brings_nobody_back_who_was_cut_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.engine.cut([signer().notice(1, "alice", devices=[ALICE])])
    covering = snapshot(2, of=without([ALICE], facts()))
    answer = Answer(
        snapshot=signer().snapshot(covering), lease=signer().lease(covering, issued=NOW)
    )
    break_planning(monkeypatch)
    with pytest.raises(UntrustedError, match="ZeroDivisionError"):
        Taster(bench.engine).receive(answer)
    assert bench.kernel.held.keys() == {public_text("bob")}
    Taster(bench.restarted()).open()
    assert bench.kernel.held.keys() == {public_text("bob")}


def test_a_disk_that_is_full_does_not_end_the_agent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> object:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert Taster(bench.restarted()).open() is not None
    monkeypatch.setattr(Path, "hardlink_to", full)
    with pytest.raises(StoreError, match="No space"):
        Taster(bench.engine).receive(offered(2))
    assert bench.engine.renew(is_healthy=True)


def test_memory_that_runs_out_ends_the_agent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> object:
        raise MemoryError

    monkeypatch.setattr(reconcile, "plan", full)
    with pytest.raises(MemoryError):
        Taster(bench.engine).receive(offered(2))


def test_a_list_that_was_cut_short_is_an_empty_one(bench: Bench) -> None:
    (bench.store.directory / "trials.json").write_text('{"a')
    assert Taster(bench.engine).receive(offered(2)) is not None


def hostile() -> list[bytes]:
    """Return signed payloads no portal would make: fuzzed, deep, absurd."""
    good = snapshot_bytes(snapshot(2))
    deep = b"[" * 100_000
    cut = [good[:n] for n in range(0, len(good), len(good) // 40)]
    flipped = [
        good[:n] + bytes([good[n] ^ 1 << n % 7]) + good[n + 1 :]
        for n in range(0, len(good), max(1, len(good) // 150))
    ]
    absurd = [
        good.replace(before, after)
        for before, after in (
            (b'"generation":2', b'"generation":2e9999'),
            (b'"generation":2', b'"generation":-2'),
            (b'"generation":2', b'"generation":null'),
            (b'"listen_port":51820', b'"listen_port":99999999999'),
            (b"100.64.0.7", b"100.64.0.7/0"),
            (b"10.50.0.10", b"\\ud800"),
            (b'"peers":[', b'"peers":[{},'),
            (b'"peers":[', b'"peers":{"a":['),
        )
    ]
    return [b"", b"null", b"{}", deep, b'{"a":' * 50_000, *cut, *flipped, *absurd]


def test_fault_60_poison_snapshots_leave_the_last_good_one_in_force(
    bench: Bench,
) -> None:
    taster, lease = Taster(bench.engine), offered(1).lease
    for payload in hostile():
        envelope = signer().sign(SNAPSHOT_TYPE, payload)
        with pytest.raises((UntrustedError, StoreError)):
            taster.receive(Answer(snapshot=envelope, lease=lease))
        assert bench.engine.generation == 1
    assert bench.store.read_accepted() == offered(1).snapshot
    assert taster.receive(offered(2)) is not None


def test_what_was_tried_in_vain_is_a_short_list(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Answer) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bench.engine, "receive", broken)
    taster, newest = Taster(bench.engine), offered(MOST_KEPT + 9)
    for number in range(MOST_KEPT + 9):
        with pytest.raises(UntrustedError, match="ZeroDivisionError"):
            taster.receive(Answer(snapshot=b"%d" % number, lease=newest.lease))
    for _ in range(MOST_TRIALS):
        with pytest.raises(UntrustedError, match="ZeroDivisionError"):
            taster.receive(newest)
    kept = json.loads((bench.store.directory / TRIALS).read_bytes())
    assert len(kept) == MOST_KEPT
    # What was tried last is what is remembered.
    with pytest.raises(UntrustedError, match="times"):
        Taster(bench.engine).receive(newest)

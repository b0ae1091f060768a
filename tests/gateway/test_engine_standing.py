"""A portal that goes back, freezes or contradicts itself: the engine fails static.

No database; the state directory is real.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.client import Answer
from gateway.errors import (
    EquivocationError,
    RevokedKeyError,
    StaleError,
    StoreError,
    UntrustedError,
)
from gateway.store import Store
from policies.compiler.types import Snapshot
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


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An engine that holds generation 2, alice revoked in it."""
    bench = Bench(tmp_path)
    bench.receive(1)
    bench.receive(2, of=without([ALICE], facts()))
    return bench


def answer(value: Snapshot, *, step: bytes | None = None) -> Answer:
    """Return what a portal would answer with this snapshot."""
    signs = signer()
    return Answer(snapshot=signs.snapshot(value), lease=signs.lease(value), epoch=step)


def unchanged(bench: Bench) -> tuple[object, ...]:
    """Return everything that a refusal must leave as it was."""
    stored = {
        path.name: path.read_bytes()
        for path in bench.store.directory.iterdir()
        if path.is_file()
    }
    return stored, bench.engine.holds, bench.engine.generation, [*bench.kernel.done]


def restored(generation: int, *, epoch: int = 1) -> Snapshot:
    """Return what a portal says that has forgotten the revocation of alice."""
    return snapshot(generation, epoch=epoch)


@pytest.mark.parametrize("generation", [1, 3, 300])
def test_a_revoked_key_never_comes_back_from_a_portal_that_forgot(
    bench: Bench, generation: int
) -> None:
    before = unchanged(bench)
    with pytest.raises(UntrustedError):
        bench.engine.receive(answer(restored(generation)))
    assert unchanged(bench) == before
    assert public_text("alice") not in bench.kernel.held


def test_a_revoked_key_is_known_when_the_snapshot_was_removed(bench: Bench) -> None:
    (bench.store.directory / "accepted.json").unlink()
    engine = bench.restarted()
    engine.open()
    with pytest.raises(RevokedKeyError):
        engine.receive(answer(restored(9)))
    later = snapshot(9, of=without([ALICE], facts()))
    acknowledgement = engine.receive(answer(later))
    assert acknowledgement is not None
    assert acknowledgement["error"] == ""


def test_a_revoked_key_is_refused_in_a_higher_epoch_too(bench: Bench) -> None:
    with pytest.raises(RevokedKeyError):
        bench.engine.receive(answer(restored(10, epoch=2), step=signer().step()))
    # The step itself was good, and is kept; what is enforced is not of it yet.
    assert bench.engine.epoch == 2
    assert bench.engine.holds.startswith("1.2.")


def test_a_step_opens_the_way_for_snapshots_of_its_epoch(bench: Bench) -> None:
    of = without([ALICE], facts())
    acknowledgement = bench.engine.receive(
        answer(snapshot(10, of=of, epoch=2), step=signer().step())
    )
    assert acknowledgement is not None
    assert (acknowledgement["epoch"], acknowledgement["generation"]) == (2, 10)
    again = bench.restarted()
    again.open()
    assert again.holds.startswith("2.10.")
    with pytest.raises(UntrustedError, match="epoch 1"):
        again.receive(answer(snapshot(11, of=of)))


def test_a_restart_between_step_and_snapshot_keeps_what_is_held(bench: Bench) -> None:
    with pytest.raises(UntrustedError):
        bench.engine.receive(answer(restored(10, epoch=2), step=signer().step()))
    again = bench.restarted()
    assert again.open() is not None
    assert (again.epoch, again.generation) == (2, 2)
    assert bench.kernel.held.keys() == {public_text("bob")}


def test_a_step_given_twice_is_refused_and_changes_nothing(bench: Bench) -> None:
    of = without([ALICE], facts())
    bench.engine.receive(answer(snapshot(10, of=of, epoch=2), step=signer().step()))
    before = unchanged(bench)
    with pytest.raises(UntrustedError, match="epoch 1"):
        bench.engine.receive(answer(snapshot(11, of=of, epoch=2), step=signer().step()))
    assert unchanged(bench) == before


def test_f05_an_older_snapshot_leaves_everything_as_it_was(bench: Bench) -> None:
    before = unchanged(bench)
    with pytest.raises(StaleError):
        bench.engine.receive(answer(snapshot(1)))
    assert unchanged(bench) == before


def test_f06_a_frozen_answer_closes_the_gate_when_its_lease_ends(bench: Bench) -> None:
    # One signed answer, served for ever: signatures hold, the time does not.
    frozen = bench.portal.poll(after=0, epoch=1)
    bench.engine.receive(frozen)
    assert bench.engine.renew(is_healthy=True)
    for _ in range(70):
        bench.clock.advance(15)
        try:
            bench.engine.receive(frozen)
        except StaleError:
            break
        bench.engine.renew(is_healthy=True)
    assert bench.engine.seconds_left() <= 0
    assert not bench.engine.renew(is_healthy=True)


def test_f08_both_snapshots_of_one_generation_are_kept_and_nothing_changes(
    bench: Bench,
) -> None:
    other = snapshot(2, of=without([ALICE, BOB], facts()))
    before = unchanged(bench)
    held = bench.store.read_accepted()
    for _ in range(2):
        with pytest.raises(EquivocationError):
            bench.engine.receive(answer(other))
    assert unchanged(bench) == before
    kept = (bench.store.directory / "contradictions").iterdir()
    assert {path.read_bytes() for path in kept} == {signer().snapshot(other), held}


def test_f08_a_lease_that_contradicts_what_is_held_is_kept_too(bench: Bench) -> None:
    lease = signer().lease(snapshot(2), digest="0" * 64)
    with pytest.raises(EquivocationError):
        bench.engine.receive(Answer(snapshot=None, lease=lease))
    kept = [*(bench.store.directory / "contradictions").iterdir()]
    assert lease in {path.read_bytes() for path in kept}
    assert len(kept) == 2


@pytest.mark.parametrize(
    "change",
    [{"audience": "gw_2"}, {"deployment": "elsewhere"}],
    ids=["another gateway", "another deployment"],
)
def test_f09_what_is_for_somebody_else_leaves_no_trace(
    bench: Bench, change: dict[str, str]
) -> None:
    before = unchanged(bench)
    other = replace(snapshot(3, of=without([ALICE], facts())), **change)  # type: ignore[arg-type]
    with pytest.raises(UntrustedError):
        bench.engine.receive(answer(other))
    assert unchanged(bench) == before


def test_f10_a_peer_that_is_left_out_is_revoked(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.receive(1)
    assert public_text("bob") in bench.kernel.held
    # Not revoked, not named: simply no longer there.
    fewer = replace(facts(), devices=tuple(d for d in facts().devices if d.id != BOB))
    bench.receive(2, of=fewer)
    assert bench.kernel.held.keys() == {public_text("alice")}


STEPS = ["verify", "persist", "apply", "lease", "remember"]


@pytest.mark.parametrize("step", STEPS)
def test_f07_a_fault_at_any_step_poisons_nothing_that_comes_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    fewer = without([ALICE, BOB], facts())
    good = snapshot(3, of=fewer)
    before = unchanged(bench)
    with monkeypatch.context() as broken:
        _break(broken, bench, step)
        if step in {"verify", "persist"}:
            with pytest.raises((UntrustedError, StoreError)):
                bench.engine.receive(answer(good))
            assert unchanged(bench) == before
        else:
            acknowledgement = bench.engine.receive(answer(good))
            assert acknowledgement is not None
            assert bool(acknowledgement["error"]) == (step == "apply")
            assert bench.engine.renew(is_healthy=True) == (step != "apply")
    bench.kernel.refuses_transactions = False
    # Whatever happened: a bad snapshot is judged by what is held, and a good one taken.
    with pytest.raises(UntrustedError):
        bench.engine.receive(answer(restored(5)))
    assert public_text("alice") not in bench.kernel.held
    after = bench.engine.receive(answer(snapshot(4, of=fewer)))
    assert after is not None
    assert after["error"] == ""


def _break(broken: pytest.MonkeyPatch, bench: Bench, step: str) -> None:
    def fails(*_: object, **__: object) -> None:
        raise StoreError("no space")

    match step:
        case "verify":

            def refuses(*_: object, **__: object) -> None:
                raise UntrustedError("a fault while it was verified")

            broken.setattr("gateway.trust.Judge.lease", refuses)
        case "persist":
            broken.setattr(Store, "write_accepted", fails)
        case "apply":
            bench.kernel.refuses_transactions = True
        case "lease":
            broken.setattr(Store, "write_lease", fails)
        case _:
            broken.setattr("gateway.standing.RevokedKeys.add", fails)

"""A delta is judged as the whole; one that leads nowhere changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.client import Answer
from gateway.errors import DeltaError, RevokedKeyError
from policies import deltas
from policies.compiler.types import Snapshot
from tests.gateway.test_engine import Bench
from tests.gateway.test_engine_standing import unchanged
from tests.gateway.world import ALICE, facts, public_text, signer, snapshot, without


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """An engine that holds generation 1."""
    monkeypatch.setattr(deltas, "LEAST_WHOLE", 0)
    monkeypatch.setattr(deltas, "LEAST_GAIN", 0)
    bench = Bench(tmp_path)
    bench.receive(1)
    return bench


def changed(before: Snapshot, after: Snapshot) -> Answer:
    """Return what a portal answers with a delta."""
    signs = signer()
    delta = deltas.changed_envelope(
        signs.snapshot(before).decode(), signs.snapshot(after).decode()
    )
    assert delta is not None
    return Answer(snapshot=None, delta=delta, lease=signs.lease(after))


def test_a_delta_is_applied_and_kept_like_the_whole(bench: Bench) -> None:
    after = snapshot(2, of=without([ALICE], facts()))
    acknowledgement = bench.engine.receive(changed(snapshot(1), after))
    assert acknowledgement is not None
    assert acknowledgement["generation"] == 2
    assert public_text("alice") not in bench.kernel.held
    kept = bench.store.read_accepted()
    assert kept is not None
    assert json.loads(kept) == json.loads(signer().snapshot(after))
    assert bench.restarted().open() is not None
    assert bench.engine.takes_delta


@pytest.mark.parametrize("fault", ["base", "digest", "parts", "signature", "revoked"])
def test_a_delta_that_leads_nowhere_changes_nothing_and_the_whole_is_asked_for(
    bench: Bench, fault: str
) -> None:
    after = snapshot(2, of=without([ALICE], facts()))
    before = snapshot(1)
    if fault == "revoked":
        bench.engine.receive(changed(before, after))
        before, after = after, snapshot(3)
    answer = changed(before, after)
    assert answer.delta is not None
    document = json.loads(answer.delta)
    match fault:
        case "base" | "digest":
            document["delta"][fault] = "0" * 64
        case "parts":
            document["delta"]["parts"].append("}")
        case "signature":
            document["signatures"][0]["keyid"] = "0" * 16
        case _:
            pass
    broken = Answer(
        snapshot=None, delta=json.dumps(document).encode(), lease=answer.lease
    )
    was = unchanged(bench)
    with pytest.raises(DeltaError):
        bench.engine.receive(broken)
    assert unchanged(bench) == was
    assert not bench.engine.takes_delta
    whole = Answer(snapshot=signer().snapshot(after), lease=answer.lease)
    if fault == "revoked":
        with pytest.raises(RevokedKeyError):
            bench.engine.receive(whole)
        return
    acknowledgement = bench.engine.receive(whole)
    assert acknowledgement is not None
    assert bench.engine.takes_delta

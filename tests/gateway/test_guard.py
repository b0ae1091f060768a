"""Drift is closed, repaired and told once; a storm ends closed. In memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import WireGuardError
from gateway.flows import Record
from gateway.guard import GONE, STORM, Guard
from gateway.types import ForeignChange
from policies.compiler.nftables import base_text, closed_text
from tests.gateway.fakes import FakeKernel
from tests.gateway.test_engine import Bench
from tests.gateway.world import ALICE, facts, without

CHANGE = ForeignChange(
    what=("rule added forward handle 9",), by="nft pid 7", rules=(("forward", 9),)
)


def nothing() -> None:
    """Do nothing."""


class Post:
    """A guard over the engine's bench; nothing waits."""

    def __init__(self, directory: Path) -> None:
        """Bring generation 1 into force."""
        self.bench = Bench(directory)
        self.bench.receive(1)
        self.kernel: FakeKernel = self.bench.kernel
        self.kernel.done.clear()
        self.told: list[Record] = []
        self.guard = Guard(
            engine=self.bench.engine,
            tell=self.told.append,
            clock=self.bench.clock,
            jitter=lambda: 1.0,
        )

    def step(self, seconds: float = 1.0) -> bool:
        """Let time pass and take a step; return whether something was restored."""
        self.bench.clock.advance(seconds)
        return self.guard.step() is not None


@pytest.fixture
def post(tmp_path: Path) -> Post:
    """Return a guard with nothing to do."""
    return Post(tmp_path)


def test_nothing_is_done_where_nothing_changed(post: Post) -> None:
    assert not any(post.step() for _ in range(5))
    assert (post.kernel.done, post.told) == ([], [])
    assert post.guard.is_calm()


def test_a_foreign_change_is_answered_by_the_closed_table_first(post: Post) -> None:
    post.kernel.foreign = [CHANGE]
    assert post.step()
    assert post.kernel.done[0] == ("nft", base_text("wg0"))
    (record,) = post.told
    assert record["what"] == "rule added forward handle 9: rule 9 of forward"
    assert (record["by"], record["repaired_ms"]) == ("nft pid 7", 0)


def test_a_change_that_could_not_be_answered_is_not_forgotten(post: Post) -> None:
    post.kernel.foreign, post.kernel.refuses_transactions = [CHANGE], True
    assert not any(post.step(10) for _ in range(STORM + 2))
    assert not post.bench.engine.renew(is_healthy=True)
    post.kernel.refuses_transactions = False
    assert post.step(10)
    assert post.kernel.done[0] == ("nft", base_text("wg0"))
    assert post.told[-1]["repaired_ms"] is not None
    assert post.guard.is_calm()


def test_a_foreign_peer_is_seen_by_comparison_and_removed(post: Post) -> None:
    post.kernel.held["mallory"] = frozenset()
    assert post.step()
    assert "mallory" not in post.kernel.held
    assert post.told[0]["what"] == "peer added: mallory none"
    assert post.told[0]["by"] is None


def test_another_private_key_is_replaced(post: Post) -> None:
    post.kernel.is_keyed = False
    assert post.step()
    assert post.kernel.is_keyed
    assert post.told[0]["what"] == "private key changed"


def test_what_the_agent_changed_while_it_was_read_is_no_drift(post: Post) -> None:
    def publish() -> None:
        post.kernel.when_read = nothing
        post.bench.receive(2, without([ALICE], facts()))

    post.step()
    post.kernel.when_read = publish
    assert not post.step()
    assert (post.told, len(post.kernel.held)) == ([], 1)
    assert not post.step()
    assert post.told == []


def test_a_lost_interface_is_made_again_with_all_its_peers(post: Post) -> None:
    post.kernel.is_gone = True
    assert post.step()
    assert post.kernel.done[0] == ("nft", closed_text("wg0"))
    assert len(post.kernel.held) == 2
    assert [r["what"] for r in post.told] == [GONE]


def test_what_others_made_is_waited_for_closed_and_told_twice(post: Post) -> None:
    post.kernel.is_gone, post.kernel.is_ours = True, False
    assert not any(post.step(10) for _ in range(5))
    assert not post.guard.is_calm()
    assert [r["repaired_ms"] for r in post.told] == [None]
    assert post.kernel.done.count(("nft", closed_text("wg0"))) == 1
    post.kernel.is_gone, post.kernel.held = False, {}
    assert post.step(10)
    assert len(post.kernel.held) == 2
    assert len(post.told) == 2
    assert post.guard.is_calm()


def test_an_interface_that_cannot_be_read_withholds_the_lease(post: Post) -> None:
    def refuse() -> None:
        raise WireGuardError("no answer")

    post.kernel.when_read = refuse
    assert not any(post.step(10) for _ in range(3))
    assert not post.guard.is_calm()
    assert len(post.told) == 1
    post.kernel.when_read = nothing
    assert post.step(10)
    assert post.guard.is_calm()


def test_a_repair_that_fails_is_tried_again_later(post: Post) -> None:
    post.kernel.held["mallory"] = frozenset()
    post.kernel.refuses_transactions = True
    assert not post.step()
    assert not post.guard.is_calm()
    assert str(post.told[0]["what"]).startswith("not repaired yet: no; peer added")
    post.kernel.refuses_transactions = False
    assert not post.step(0.1)
    assert post.step(10)
    assert post.guard.is_calm()


def test_a_storm_shuts_the_gate_until_a_minute_of_peace(post: Post) -> None:
    for _ in range(3 * STORM):
        post.kernel.foreign = [CHANGE]
        post.step(0.5)
    assert not post.guard.is_calm()
    assert ("nft", closed_text("wg0")) in post.kernel.done
    assert len(post.told) == STORM + 1
    assert str(post.told[-1]["what"]).startswith("more than 5 in a minute")
    assert not post.step(50)
    assert post.step(11)
    assert post.told[-1]["what"] == f"{2 * STORM - 1} more changes while closed"
    assert post.guard.is_calm()

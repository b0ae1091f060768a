"""Rounds of asking: what the engine is told, what outlives a restart."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.errors import ResolverError, StoreError
from gateway.names import Answer, Bounds, Query
from gateway.naming import (
    KEEP_SECONDS,
    LONGEST_PAUSE,
    RETELL_SECONDS,
    Naming,
    Told,
)
from gateway.store import Store
from policies.compiler.types import Resolved, network
from tests.gateway.fakes import FakeClock, FakeResolver
from tests.gateway.world import NOW

DB = "db.example.com"


@dataclass
class FakeEngine:
    """Wants one name resolved, and notes what it is told."""

    expected: Bounds = field(default_factory=lambda: {DB: (network("10.0.0.0/8"),)})
    told: list[Resolved] = field(default_factory=list)

    def bounds(self) -> Bounds:
        """Return the bounds."""
        return self.expected

    def resolve(self, resolved: Resolved) -> dict[str, object] | None:
        """Note it."""
        self.told.append(resolved)
        return None

    def held(self) -> Mapping[str, list[str]]:
        """Return what names stand for."""
        return {h: [str(a) for a in found] for h, found in self.told[-1].items()}


class Bench:
    """Naming with everything around it in memory, except the state directory."""

    def __init__(self, directory: Path) -> None:
        """Start with nothing resolved."""
        self.clock = FakeClock()
        self.engine = FakeEngine()
        self.resolver = FakeResolver()
        self.store = Store(directory)
        self.naming = self.restarted()

    def restarted(self) -> Naming:
        """Return a fresh one on the same state."""
        return Naming(
            engine=self.engine,
            resolver=self.resolver,
            store=self.store,
            clock=self.clock,
            jitter=lambda: 0.0,
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a bench."""
    return Bench(tmp_path)


def test_an_answer_reaches_the_engine(bench: Bench) -> None:
    bench.resolver.addresses[DB] = ["10.0.0.1", "8.8.8.8"]
    bench.naming.step()
    assert bench.engine.held() == {DB: ["10.0.0.1"]}
    assert bench.naming.pause() == pytest.approx(30.0)


def test_without_names_nothing_is_asked_for_a_while(bench: Bench) -> None:
    bench.engine.expected = {}
    bench.naming.step()
    assert bench.resolver.asked == []
    assert bench.naming.pause() == LONGEST_PAUSE


def test_a_failure_is_logged_once_and_so_is_its_end(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        bench.naming.step()
        bench.clock.advance(60)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    bench.resolver.addresses[DB] = ["10.0.0.1"]
    bench.naming.step()
    assert "name.answered" in caplog.text


def test_addresses_that_do_not_count_are_logged_when_they_change(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.resolver.addresses[DB] = ["8.8.8.8"]
    for _ in range(3):
        bench.naming.step()
        bench.clock.advance(60)
    assert caplog.text.count("outside=1 forbidden=0 surplus=0") == 1


def test_one_name_that_fails_holds_up_no_other(bench: Bench) -> None:
    bench.engine.expected = {
        name: (network("10.0.0.0/8"),) for name in ("broken.example.com", DB)
    }
    bench.resolver.addresses[DB] = ["10.0.0.1"]
    bench.naming.step()
    assert bench.engine.held() == {DB: ["10.0.0.1"], "broken.example.com": []}


def test_a_restart_forgets_nothing_that_still_counts(bench: Bench) -> None:
    bench.resolver.addresses[DB] = ["10.0.0.1"]
    bench.naming.step()
    bench.resolver.addresses.clear()
    bench.clock.advance(30)
    again = bench.restarted()
    again.recall()
    assert bench.engine.held() == {DB: ["10.0.0.1"]}
    again.step()
    assert bench.engine.held() == {DB: ["10.0.0.1"]}
    bench.clock.advance(30)
    again.step()
    assert bench.engine.held() == {DB: []}


def test_a_damaged_memory_is_no_memory(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    (bench.store.directory / "names.json").write_text('{"db.example.com": []}')
    bench.naming.recall()
    assert bench.engine.told == []
    assert "damaged" in caplog.text


def test_what_cannot_be_written_down_is_enforced_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Resolved) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(bench.store, "write_names", refuse)
    bench.resolver.addresses[DB] = ["10.0.0.1"]
    bench.naming.step()
    assert bench.engine.held() == {DB: ["10.0.0.1"]}


def test_ends_that_move_on_are_written_down_now_and_then(bench: Bench) -> None:
    bench.resolver.addresses[DB] = ["10.0.0.1"]
    bench.naming.step()
    first = bench.store.read_names()
    assert first[DB][ip_address("10.0.0.1")] == NOW + timedelta(seconds=60)
    bench.clock.advance(31)
    bench.naming.step()
    second = bench.store.read_names()
    assert second[DB][ip_address("10.0.0.1")] == NOW + timedelta(seconds=91)


def test_an_orderly_end_forgets_nothing(bench: Bench) -> None:
    bench.resolver.addresses[DB] = ["10.0.0.1"]
    bench.resolver.ttl = 30
    bench.naming.step()
    bench.clock.advance(16)
    bench.naming.step()
    bench.naming.end()
    bench.naming.end()
    ends = bench.store.read_names()[DB]
    assert ends == {ip_address("10.0.0.1"): NOW + timedelta(seconds=46)}


def test_ends_that_move_on_wait_a_moment_before_they_are_written(bench: Bench) -> None:
    bench.resolver.addresses[DB] = ["10.0.0.1"]
    bench.naming.step()
    bench.clock.advance(30)
    bench.naming.step()
    bench.clock.advance(2)
    # Another bound: asked again at once.
    bench.engine.expected = {DB: (network("10.0.0.0/9"),)}
    bench.naming.step()
    assert bench.store.read_names()[DB] == {
        ip_address("10.0.0.1"): NOW + timedelta(seconds=90)
    }
    assert bench.naming.pause() <= KEEP_SECONDS
    bench.naming.end()
    assert bench.store.read_names()[DB] == {
        ip_address("10.0.0.1"): NOW + timedelta(seconds=92)
    }


def test_the_fake_resolver_fails_as_a_real_one_does() -> None:
    resolver = FakeResolver({DB: ["10.0.0.1", "fd00::1"]}, ttl=7)
    assert resolver.ask(Query(DB, 6)) == Answer(
        addresses=(ip_address("fd00::1"),), ttl=7
    )
    with pytest.raises(ResolverError):
        resolver.ask(Query("www.example.com", 4))


def test_the_portal_is_told_what_changed_and_not_too_often(bench: Bench) -> None:
    assert bench.naming.news(Told()) is None
    bench.resolver.addresses[DB] = ["10.0.0.2", "10.0.0.1"]
    bench.naming.step()
    first = bench.naming.news(Told())
    assert first is not None
    assert first.names == {DB: ("10.0.0.1", "10.0.0.2")}
    assert bench.naming.news(first) is None
    bench.clock.advance(31)
    bench.resolver.addresses[DB].append("10.0.0.3")
    bench.naming.step()
    second = bench.naming.news(first)
    assert second is not None
    bench.clock.advance(31)
    bench.naming.step()
    assert bench.naming.news(second) is None


def test_the_portal_is_told_again_though_nothing_changed(bench: Bench) -> None:
    bench.resolver.addresses[DB] = ["10.0.0.1"]
    bench.naming.step()
    first = bench.naming.news(Told())
    assert first is not None
    bench.clock.advance(RETELL_SECONDS - 1)
    bench.naming.step()
    assert bench.naming.news(first) is None
    bench.clock.advance(2)
    assert bench.naming.news(first) is not None


def test_the_portal_is_told_that_there_are_no_names_any_more(bench: Bench) -> None:
    bench.engine.expected = {}
    bench.naming.step()
    told = bench.naming.news(Told({DB: ("10.0.0.1",)}))
    assert told is not None
    assert told.names == {}

"""The names of open flows survive the agent."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.flows import OpenFlow
from gateway.journal import COMPACT_LINES, FILE, Journal
from tests.gateway.fakes import tcp
from tests.gateway.world import ALICE, NOW


def flow(number: int) -> OpenFlow:
    """Return an open flow."""
    return OpenFlow(
        flow=f"f{number}",
        device=ALICE,
        tuple=tcp(ALICE, number),
        opened_at=NOW + timedelta(microseconds=number),
    )


def test_open_flows_come_back_and_closed_ones_do_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.opened(flow(1))
    journal.opened(flow(2))
    journal.closed("f1")
    journal.write([flow(2)], count=1)
    assert Journal(tmp_path).read() == [flow(2)]


def test_what_is_noted_outlives_an_agent_that_is_killed_then(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.opened(flow(1))
    assert Journal(tmp_path).read() == [flow(1)]
    journal.closed("f1")
    assert Journal(tmp_path).read() == []


def test_what_a_full_disk_did_not_take_is_written_once_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tears(descriptor: int, data: bytes) -> int:
        return write(descriptor, data[:-9])

    journal, write = Journal(tmp_path), os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", tears)
        journal.opened(flow(1))
        with pytest.raises(OSError, match="No space"):
            journal.write([], count=0)
    journal.write([], count=0)
    journal.opened(flow(2))
    assert Journal(tmp_path).read() == [flow(1), flow(2)]


def test_no_journal_is_no_flows(tmp_path: Path) -> None:
    assert Journal(tmp_path).read() == []


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.rewrite([flow(1), flow(2)])
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-9])
    assert Journal(tmp_path).read() == [flow(1)]


def test_history_is_thrown_away(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(COMPACT_LINES // 2 + 1):
        journal.opened(flow(number % 60000))
        journal.closed(f"f{number % 60000}")
    journal.write([flow(7)], count=1)
    assert (tmp_path / FILE).read_text(encoding="ascii").count("\n") == 1
    assert Journal(tmp_path).read() == [flow(7)]

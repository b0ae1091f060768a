"""What the agent publishes about itself, and when it is called hung."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.config import StatusCommand
from gateway.metrics import PREFIX
from gateway.notify import Supervisor
from gateway.publisher import Publisher, connection_table, hung_threads
from gateway.report import Table
from gateway.status import document, lines
from gateway.store import Store
from gateway.telemetry import Telemetry
from tests.gateway.test_agent import Bench, until
from tests.gateway.test_main import enrolled
from tests.gateway.world import ALICE, facts, snapshot, without


class Heard(Supervisor):
    """A supervisor that notes what it is told."""

    def __init__(self) -> None:
        """Hear nothing yet."""
        super().__init__({})
        self.told: list[str] = []

    def _say(self, text: str) -> None:
        self.told.append(text)


class Published:
    """An agent in memory that publishes into a directory."""

    def __init__(self, directory: Path) -> None:
        """Run an agent; `step` publishes."""
        self.store: Store = enrolled(directory)
        self.store.lock()
        self.bench = Bench(directory)
        self.supervisor = Heard()
        self.directory = directory
        self.publisher = Publisher(
            engine=self.bench.engine,
            spool=self.bench.spool,
            telemetry=self.bench.telemetry,
            clock=self.bench.clock,
            identity=self.store.read_identity(),
            interface="wg0",
            directory=directory,
            supervisor=self.supervisor,
        )

    def status(self, *, after: float = 0) -> str:
        """Publish, and return what `status` says some seconds later."""
        self.publisher.step()
        now = self.bench.clock.now() + timedelta(seconds=after)
        command = StatusCommand(state=self.directory, runtime=self.directory)
        return "\n".join(lines(command, now=now))

    def metrics(self) -> dict[str, float]:
        """Publish, and return the metrics by name and labels."""
        self.publisher.step()
        text = (self.directory / "metrics.prom").read_text()
        words = [w.rsplit(" ", 1) for w in text.splitlines() if w[0] != "#"]
        return {name.removeprefix(PREFIX): float(value) for name, value in words}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Published]:
    """An agent in memory that publishes."""
    made = Published(tmp_path)
    yield made
    made.bench.stop()
    made.store.unlock()


def test_status_is_what_the_running_agent_says(world: Published) -> None:
    world.bench.portal.publish(snapshot(12, now=world.bench.clock.now()))
    world.bench.agent.start()
    until(lambda: world.bench.portal.acknowledgements)
    until(lambda: world.bench.engine.gate.is_open)
    text = world.status()
    assert "agent       running, version " in text
    assert "generation  1.12 in force" in text
    assert "gate        open" in text
    assert "poll        0 s ago" in text
    assert "drift       0 found" in text


def test_status_says_why_the_gate_closes(world: Published) -> None:
    world.bench.agent.start()
    until(lambda: "no snapshot" in world.bench.engine.gate.reason)
    assert "gate        closing: no snapshot was accepted yet" in world.status()


def test_an_agent_that_tells_nothing_more_is_said_to_be_silent(
    world: Published,
) -> None:
    assert "agent       runs and has told nothing for 16 s" in world.status(after=16)
    (world.directory / "status.json").unlink()
    found = document(world.directory, world.directory, now=world.bench.clock.now())
    assert (found["agent"], found["report_age_seconds"]) == ("silent", None)


def test_status_of_an_agent_that_is_down_does_not_repeat_its_last_words(
    world: Published,
) -> None:
    world.status()
    world.store.unlock()
    found = document(world.directory, world.directory, now=world.bench.clock.now())
    assert (found["agent"], found["report"]) == ("not running", None)
    assert found["stored"]["generation"] == 0


def test_metrics_count_what_happened(world: Published) -> None:
    bench = world.bench
    bench.portal.publish(snapshot(now=bench.clock.now()))
    bench.agent.start()
    until(lambda: bench.engine.generation == 1)
    bench.portal.publish(
        snapshot(2, of=without([ALICE], facts()), now=bench.clock.now())
    )
    until(lambda: len(bench.portal.acknowledgements) == 2)
    until(lambda: bench.engine.gate.is_open)
    until(lambda: not bench.spool.depth)
    found = world.metrics()
    assert found["generation"] == 2
    assert found["gate_open"] == 1
    assert found["withheld_applications"] == 0
    assert found["peers"] == 1
    assert found['applies_total{result="ok"}'] == 2
    assert found['records_total{kind="start"}'] == 1
    assert found["upload_lag_seconds"] == 0
    assert 890 < found["lease_seconds"] <= 900
    assert found['apply_seconds_total{stage="total"}'] > 0


def test_metrics_are_for_everybody_and_status_for_its_owner(world: Published) -> None:
    world.publisher.step()
    modes = {
        name: stat.S_IMODE((world.directory / name).stat().st_mode)
        for name in ("status.json", "metrics.prom")
    }
    assert modes == {"status.json": 0o600, "metrics.prom": 0o644}


def test_the_metrics_name_nobody_and_no_address(world: Published) -> None:
    world.bench.portal.publish(snapshot(now=world.bench.clock.now()))
    world.bench.agent.start()
    until(lambda: world.bench.engine.generation == 1)
    world.publisher.step()
    text = (world.directory / "metrics.prom").read_text()
    assert "100.64" not in text
    assert "10.50" not in text


def test_every_metric_is_documented(world: Published) -> None:
    world.publisher.step()
    text = (world.directory / "metrics.prom").read_text()
    named = {w.split()[2] for w in text.splitlines() if w.startswith("# TYPE")}
    page = Path("docs/operations.md").read_text()
    assert sorted(n for n in named if f"`{n.removeprefix(PREFIX)}`" not in page) == []


def test_a_directory_that_is_gone_ends_nothing(
    world: Published, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    world.publisher._directory = tmp_path / "gone"  # noqa: SLF001 -- what an operator may delete
    world.publisher.step()
    world.publisher.step()
    assert caplog.text.count("report.unwritten") == 1
    assert len(world.supervisor.told) == 2


def test_ready_is_said_once_and_the_end_takes_back_the_report(
    world: Published,
) -> None:
    world.publisher.start()
    world.publisher.stop()
    assert world.supervisor.told[1] == "READY=1"
    assert world.supervisor.told[-1] == "STOPPING=1"
    assert not (world.directory / "status.json").exists()


def test_the_watchdog_is_fed_only_while_the_enforcing_threads_live(
    world: Published,
) -> None:
    world.publisher.step()
    assert world.supervisor.told == [
        "WATCHDOG=1\nSTATUS=generation 0, gate closing: the agent has just started"
    ]
    world.bench.telemetry._beats["watch"] = 0.0  # noqa: SLF001 -- a thread that hangs
    world.publisher.step()
    assert len(world.supervisor.told) == 1


@pytest.mark.parametrize(
    ("silences", "hung"),
    [
        ({}, ()),
        ({"renew": 44.0, "watch": 29.0, "collect": 29.0, "poll": 9999.0}, ()),
        ({"renew": 46.0, "watch": 31.0}, ("renew", "watch")),
    ],
    ids=["not begun", "slow poll", "hung"],
)
def test_a_thread_hangs_when_it_is_silent_beyond_its_limit(
    silences: dict[str, float], hung: tuple[str, ...]
) -> None:
    assert hung_threads(silences) == hung


def test_a_kernel_without_connection_tracking_has_no_table(tmp_path: Path) -> None:
    assert connection_table(tmp_path) is None
    (tmp_path / "nf_conntrack_count").write_text("3\n")
    (tmp_path / "nf_conntrack_max").write_text("262144\n")
    assert connection_table(tmp_path) == Table(entries=3, most=262144)


def test_json_is_one_object(world: Published) -> None:
    world.publisher.step()
    command = StatusCommand(
        state=world.directory, runtime=world.directory, is_json=True
    )
    found = json.loads("\n".join(lines(command, now=world.bench.clock.now())))
    assert found["report"]["gate"]["is_open"] is False
    assert found["agent"] == "running"


def test_lost_events_are_counted_by_source(world: Published) -> None:
    telemetry: Telemetry = world.bench.telemetry
    telemetry.recorded({"kind": "gap", "source": "nflog", "lost": 5})
    telemetry.recorded({"kind": "gap", "source": "nflog", "lost": 2})
    assert world.metrics()['lost_total{source="nflog"}'] == 7

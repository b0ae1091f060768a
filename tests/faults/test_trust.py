"""Faults of who a gateway is: two agents, and a state directory that was harmed.

Clones are in `tests/faults/test_clones.py`: they need the real portal.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.field import Field, field
from tests.faults.isolated import isolated
from tests.gateway.netns.lab import until

STARTS = 5
SECONDS = 20


def second_agent(state: Path) -> subprocess.CompletedProcess[str]:
    """Start an agent that is not to come up; return how it ended."""
    words = ("-m", "gateway", "run", "--interface", "wg0", "--state", str(state))
    return subprocess.run(
        [sys.executable, *words, "--runtime", str(state)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@isolated(seconds=120)
def test_fault_19_a_second_agent_exits_and_the_first_is_undisturbed() -> None:
    """On the same state directory, and with one of its own on the same interface."""
    with field() as made:
        alice = made.probe("alice")
        alice.opens()
        other = made.state.with_name("other")
        shutil.copytree(made.state, other)
        before = made.table()
        for _ in range(STARTS):
            same = second_agent(made.state)
            assert same.returncode == 1
            assert "another agent runs on" in same.stderr
            foreign = second_agent(other)
            assert foreign.returncode == 1
            assert "another agent enforces on wg0" in foreign.stderr
        assert alice.is_open()
        assert made.agent.poll() is None
        assert elements(before) == elements(made.table())
        assert made.publish() == 2
        made.applied(2)
        # Killed without warning, it leaves the interface to whoever comes next.
        made.kill()
        made.start()
        made.publish()
        made.applied(3)


def elements(table: str) -> list[str]:
    """Return what of a table is neither a counter nor a time."""
    kept = [line for line in table.splitlines() if "expires" not in line]
    return [line.split("counter packets")[0] for line in kept]


State = dict[Path, bytes]


def pristine(made: Field) -> State:
    """Stop the agent and return every file it left."""
    made.kill()
    return {p: p.read_bytes() for p in made.state.rglob("*") if p.is_file()}


@contextmanager
def harmed(
    made: Field, whole: State, name: str, harm: Callable[[Path], None]
) -> Iterator[None]:
    """Harm one file of the state directory, at first as it was; the gate is closed."""
    made.nft("flush set inet peerage_wg0 live\n")
    made.http.sequences.clear()
    shutil.rmtree(made.state)
    made.state.mkdir(mode=0o700)
    for path, content in whole.items():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(content)
    harm(made.state / name)
    yield
    if made.agent.poll() is None:
        made.kill()


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(path: Path) -> None:
    path.unlink()


def leave_half_of_the_next(path: Path) -> None:
    """Leave what a power loss between write and rename leaves."""
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.with_name(f".{path.name}.new").write_bytes(half)


STATE = ("identity.json", "sequences.json", "floor.json", "accepted.json", "lease.json")


def opens_or_refuses(made: Field) -> str:
    """Start the agent; return how it refuses, or nothing when it enforces again."""
    polls, said = made.portal.polls, len(made.said())
    made.start()
    until(
        lambda: made.portal.polls > polls or made.agent.poll() is not None,
        "the agent to speak or to end",
        SECONDS,
    )
    if made.agent.poll() is None:
        until(made.is_live, "the gate to open", SECONDS)
        return ""
    assert made.agent.returncode == 1
    assert "Traceback" not in made.said()[said:]
    return made.said()[said:]


@isolated(seconds=180)
def test_fault_22_power_loss_in_the_middle_of_a_write_leaves_the_last_good_file() -> (
    None
):
    with field() as made:
        alice = made.probe("alice")
        alice.opens()
        until(lambda: all((made.state / n).exists() for n in STATE), "every file")
        whole = pristine(made)
        segment = next(p for p in whole if p.suffix == ".seg").relative_to(made.state)
        for name in STATE:
            with harmed(made, whole, name, leave_half_of_the_next):
                assert opens_or_refuses(made) == "", name
        # Appended to, or losable: what is torn is dropped, and nothing stops.
        for name in (str(segment), "flows.jsonl", "lease.json"):
            with harmed(made, whole, name, halve):
                assert opens_or_refuses(made) == "", name


@pytest.mark.parametrize("harm", ["halve", "empty", "flip", "unlink"])
@isolated(seconds=180)
def test_fault_23_a_harmed_state_is_refused_by_name_until_the_operator_accepts(
    harm: str,
) -> None:
    ways = {"halve": halve, "empty": empty, "flip": flip, "unlink": remove}
    with field() as made:
        made.publish()
        made.applied(2)
        until(lambda: all((made.state / n).exists() for n in STATE), "every file")
        whole = pristine(made)
        for name in ("sequences.json", "floor.json", "accepted.json"):
            with harmed(made, whole, name, ways[harm]):
                said = opens_or_refuses(made)
                if name == "accepted.json" and harm == "unlink":
                    assert said == "", "the floor is kept beside it"
                    continue
                assert f"{name} is damaged" in said
                assert "peerage-gateway accept" in said
                assert not made.is_live()
                assert "lost" not in accepted(made)
                assert opens_or_refuses(made) == ""
        with harmed(made, whole, "identity.json", ways[harm]):
            said = opens_or_refuses(made)
            assert "enrol" in said
            assert not made.is_live()


def accepted(made: Field) -> str:
    """Accept as the operator; return what is said to be lost."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "accept", "--state", str(made.state)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip()
    assert "nothing is damaged" not in done.stdout
    return done.stdout


@isolated(seconds=90)
def test_fault_23_a_lost_snapshot_does_not_let_an_older_one_in() -> None:
    with field() as made:
        for _ in range(2):
            made.publish()
        made.applied(3)
        made.kill()
        (made.state / "accepted.json").unlink()
        made.generation = 0
        made.publish()
        made.start()
        until(lambda: "generation 1 is below 3" in made.said(), "the refusal", SECONDS)
        until(lambda: not made.is_live(), "the gate to close", SECONDS)
        made.generation = 3
        made.publish()
        made.applied(4)
        until(made.is_live, "the gate to open", SECONDS)

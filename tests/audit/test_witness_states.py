"""Whom the policy file names, what each has signed, and whether it is enough."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from audit.models import Log, Witness
from audit.tlog.policy import PolicyError
from audit.witness_states import named_policy, witnessing
from tests.audit.conftest import NOON
from tests.audit.sealing.conftest import Write, sealer_files, write
from tests.audit.signing import TestWitness, policy_of, seal_all

__all__ = ["sealer_files", "write"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealer_files")]
BERLIN, OUTSIDE = TestWitness("gw_1", 1), TestWitness("witness.example.org", 2)


@pytest.fixture
def policy_file(settings: Settings, tmp_path: Path) -> Path:
    """Return the file that the deployment names; it is not written yet."""
    path = tmp_path / "policy"
    settings.PEERAGE_LOG_POLICY_FILE = str(path)
    return path


def test_without_a_file_nobody_asks_for_a_quorum(write: Write) -> None:
    write(1)
    seal_all(NOON)
    BERLIN.sign(Log.CONTROL, NOON)
    found = witnessing()
    assert (found.policy, found.problem, found.quorums) == (None, "", ())
    (only,) = found.witnesses
    assert (only.name, only.called, only.key) == ("gw_1", "", str(BERLIN.key))


def test_a_file_that_is_gone_or_wrong_is_said(policy_file: Path) -> None:
    assert "cannot be read" in witnessing().problem
    policy_file.write_text("quorum all\n")
    found = witnessing()
    assert found.policy is None
    assert "'all' is not defined above" in found.problem
    policy_file.write_bytes(b"\xff")
    with pytest.raises(PolicyError, match="cannot be read"):
        named_policy()


def test_marks_say_what_each_signed_last_and_what_came_since(
    policy_file: Path, write: Write
) -> None:
    policy_file.write_text(policy_of(("outside", OUTSIDE), ("berlin", BERLIN)))
    write(2)
    seal_all(NOON)
    BERLIN.sign(Log.CONTROL, NOON)
    write(3)
    outside, berlin = witnessing().witnesses
    assert (outside.called, berlin.called) == ("outside", "berlin")
    assert outside.since is None
    assert [(mark.size, mark.at) for mark in outside.marks] == [(None, None)] * 2
    control, connections = berlin.marks
    assert (control.size, control.at, control.behind) == (2, NOON, 0)
    assert connections.size is None
    assert outside.marks[0].behind == 2


def test_a_quorum_is_reached_at_the_newest_checkpoint_all_have_signed(
    policy_file: Path, write: Write
) -> None:
    policy_file.write_text(policy_of(("outside", OUTSIDE), ("berlin", BERLIN)))
    write(2)
    seal_all(NOON)
    control, connections = witnessing().quorums
    assert "signed by no witness" in control.problem
    BERLIN.sign(Log.CONTROL, NOON)
    assert "signed by berlin" in witnessing().quorums[0].problem
    OUTSIDE.sign(Log.CONTROL, NOON)
    write(1)
    seal_all(NOON.replace(minute=5))
    BERLIN.sign(Log.CONTROL, NOON)
    control, connections = witnessing().quorums
    # The two events of the witnesses' beginning are in the tree of five.
    assert (control.size, control.by) == (2, ("berlin", "outside"))
    assert control.problem == ""
    assert connections.size is None


def test_before_the_first_seal_there_is_no_quorum(policy_file: Path) -> None:
    policy_file.write_text(policy_of())
    assert {one.problem for one in witnessing().quorums} == {"nothing was sealed yet"}


def test_a_policy_without_witnesses_is_satisfied_by_the_log_alone(
    policy_file: Path, write: Write
) -> None:
    policy_file.write_text(policy_of())
    write(1)
    seal_all(NOON)
    assert [(one.size, one.by) for one in witnessing().quorums] == [(1, ()), (0, ())]


def test_strangers_and_other_keys_are_marked(policy_file: Path, write: Write) -> None:
    policy_file.write_text(policy_of(("berlin", BERLIN)))
    write(1)
    seal_all(NOON)
    OUTSIDE.sign(Log.CONTROL, NOON)
    Witness.objects.create(name="gw_1", key=str(OUTSIDE.key), since=NOON)
    berlin, outside = witnessing().witnesses
    assert berlin.has_other_key
    assert (outside.called, outside.has_other_key) == ("", False)

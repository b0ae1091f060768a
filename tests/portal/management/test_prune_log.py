"""Two administrators prune a log from the command line; anybody less is refused."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from audit.models import Log, SealedLeaf
from portal.accounts.models import Role, User
from tests.audit.conftest import make_flow as flows_of_alice
from tests.audit.retention.test_pruning import BELOW, seal
from tests.audit.retention.test_pruning import logs as two_logs
from tests.audit.retention.test_pruning import sealer_files as keys_and_state
from tests.conftest import MakeUser

logs, sealer_files, make_flow = two_logs, keys_and_state, flows_of_alice
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("logs")]


def run(*words: str) -> str:
    said = io.StringIO()
    call_command("prune_log", *words, stdout=said)
    return said.getvalue()


@pytest.fixture
def erin(make_user: MakeUser) -> User:
    """Create a second administrator."""
    return make_user("erin", role=Role.ADMINISTRATOR)


@pytest.mark.parametrize("asked", ["--below", "--older-than"])
@pytest.mark.parametrize("log", Log)
def test_one_proposes_another_approves_and_the_rows_go(
    log: Log, asked: str, dave: User, erin: User
) -> None:
    dave_says, erin_says = ("--as", dave.ref.id), ("--as", erin.subject)
    words = (log.value, asked, str(BELOW if asked == "--below" else 450))
    waits = run(*words, *dave_says, "--reason", "old")
    assert f"leaves 0 to below {BELOW} of {log.value}: proposed by" in waits
    name = waits.partition(":")[0]
    with pytest.raises(CommandError, match="another administrator"):
        run(log.value, "--approve", name, *dave_says)
    assert f"approved by {erin.ref.id}" in run(log.value, "--approve", name, *erin_says)
    with pytest.raises(CommandError, match="not signed yet"):
        run(log.value, "--run")
    seal()
    assert f"{BELOW} events" in run(log.value, "--run")
    assert "gone since" in run(log.value)
    assert not SealedLeaf.objects.filter(log=log, index__lt=BELOW).exists()
    with pytest.raises(CommandError, match="no prune"):
        run(log.value, "--run")


def test_what_was_proposed_may_be_withdrawn(dave: User) -> None:
    words = ("control", "--below", str(BELOW), "--as", dave.ref.id, "--reason", "old")
    name = run(*words).partition(":")[0]
    assert "withdrawn" in run("control", "--withdraw", name, "--reason", "a mistake")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--below", "512", "--reason", "x"), "no administrator"),
        (("--below", "512", "--as", "alice", "--reason", "x"), "no administrator"),
        (("--below", "512", "--as", "dave", "--reason", " "), "a reason has"),
        (("--below", "500", "--as", "dave", "--reason", "x"), "whole bundles"),
        (("--approve", "pr_0", "--as", "dave"), "no prune"),
        (("--approve", "all", "--as", "dave"), "no prune"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
@pytest.mark.usefixtures("dave", "alice")
def test_anything_less_is_refused(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        run("control", *words)
    assert SealedLeaf.objects.filter(log=Log.CONTROL, index=0).exists()

"""`manage.py policy`: what it prints, and the exit statuses that CI relies on."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import Gateway
from policies.models import Application, Grant, PolicyVersion
from portal.accounts.models import User
from tests.peers.makers import Machine
from tests.policies.makers import open_connection
from tests.policies.policy_files.makers import grant, source

pytestmark = pytest.mark.django_db

ALICE = "alice@example.test"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the policy file is."""
    return tmp_path / "policy.hujson"


def run(*words: object) -> tuple[int, str]:
    """Return the exit status and what was printed."""
    out = io.StringIO()
    try:
        call_command("policy", *map(str, words), stdout=out)
    except SystemExit as exc:
        return int(exc.code or 0), out.getvalue()
    return 0, out.getvalue()


def refused(*words: object) -> str:
    """Return why a command was refused; the status is 1."""
    with pytest.raises(CommandError) as caught:
        run(*words)
    assert caught.value.returncode == 1
    return str(caught.value)


def test_fmt_prints_checks_and_writes(file: Path) -> None:
    file.write_text('{"hosts":{"a":"10.0.0.1"}, // why\n}')
    assert run("fmt", file, "--check") == (2, "")
    status, text = run("fmt", file)
    assert (status, "// why" in text) == (0, True)
    assert run("fmt", file, "--write") == (0, "")
    assert file.read_text() == text
    assert run("fmt", file, "--check") == (0, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1, column 2"),
        ('{"acl": []}', "line 1, column 2"),
        ("[" * 10_000, "line 1, column"),
    ],
    ids=["syntax", "unknown key", "depth"],
)
def test_a_broken_file_is_refused_with_its_place(
    file: Path, text: str, message: str
) -> None:
    file.write_text(text)
    assert message in refused("test", file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refused("test", tmp_path / "none")


def test_a_huge_file_is_refused_unread(file: Path) -> None:
    file.write_bytes(b" " * (10 * 2**20))
    for action in ("fmt", "test"):
        assert "longer than 4194304 bytes" in refused(action, file)


def test_a_failing_test_is_status_1(file: Path, alice: User) -> None:
    claims = [{"src": ALICE, "accept": ["git:443"]}]
    file.write_text(source(grant(ALICE, "git"), tests=claims))
    status, text = run("test", file)
    assert (status, f"failed: test of {ALICE}" in text) == (1, True)
    status, text = run("test", file, "--json")
    assert (status, json.loads(text)["failed"][0]["src"]) == (1, ALICE)


def test_a_file_without_tests_passes(file: Path) -> None:
    file.write_text("")
    assert run("test", file) == (0, "0 tests, 0 failed\n")


def test_export_is_in_canonical_style(file: Path, alices_grant: Grant) -> None:
    status, text = run("export")
    file.write_text(text)
    assert (status, run("fmt", file, "--check")[0]) == (0, 0)
    assert f'"id":  "{alices_grant.ref.id}"' in text


def test_a_plan_is_status_2_until_there_is_nothing_to_do(
    file: Path, alices_grant: Grant
) -> None:
    file.write_text(run("export")[1])
    status, text = run("plan", file)
    assert (status, text.splitlines()[-1]) == (0, "nothing to do")
    file.write_text(source(grant(ALICE, "git")))
    status, text = run("plan", file)
    assert status == 2
    for expected in (
        "+ application git: 10.2.0.5/32 tcp/443",
        f"+ grant {ALICE} → git",
        f"- grant {alices_grant.ref.id} {ALICE} → wiki",
        "left alone: application wiki",
    ):
        assert expected in text


@pytest.mark.usefixtures("alices_grant")
def test_a_plan_changes_nothing(file: Path) -> None:
    file.write_text("")
    assert run("plan", file)[0] == 2
    assert Grant.objects.filter(ended_at__isnull=True).count() == 1


@pytest.mark.usefixtures("alices_grant")
def test_a_plan_as_json_says_whom_it_takes_what(file: Path, alice: User) -> None:
    Machine().enroll(alice)
    file.write_text("")
    told = json.loads(run("plan", file, "--json")[1])
    assert told["effect"]["rows"] == [
        {
            "kind": "loses",
            "application": "wiki",
            "destinations": ["10.1.0.0/24 tcp/443"],
            "people": [ALICE],
        }
    ]
    assert told["brake"] == {"percent": 20, "is_on": True}


def test_a_plan_whose_tests_fail_is_status_1(file: Path, alice: User) -> None:
    claims = [{"src": ALICE, "accept": ["git:443"]}]
    file.write_text(source(grant(ALICE, "git"), tests=claims))
    assert run("plan", file)[0] == 1


@pytest.mark.usefixtures("alices_grant")
def test_apply_names_the_command_and_then_has_nothing_to_do(file: Path) -> None:
    file.write_text(source(grant(ALICE, "git"), grant(ALICE, "wiki")))
    status, text = run("apply", file)
    assert (status, text.splitlines()[-1]) == (0, "applied")
    event = AuditEvent.objects.filter(code=EventCode.GRANT_CREATE).latest("pk")
    assert (event.actor_kind, event.actor_id) == ("command", "policy")
    status, text = run("apply", file)
    assert (status, text.splitlines()[-1]) == (0, "nothing to do")
    assert run("plan", file)[0] == 0


@pytest.mark.usefixtures("alices_grant")
def test_the_brake_is_status_1_until_it_is_confirmed(file: Path, alice: User) -> None:
    Machine().enroll(alice)
    file.write_text("")
    assert "apply with --confirm" in refused("apply", file)
    status, text = run("apply", file, "--confirm", "--json")
    assert (status, json.loads(text)["effect"]["people_losing"]) == (0, 1)
    assert not Grant.objects.filter(ended_at__isnull=True).exists()


@pytest.mark.parametrize("action", ["fmt", "test", "plan", "apply"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b" " * (10 * 2**20), id="10 MB"),
        pytest.param(b"[" * 10_000, id="depth 10,000"),
        pytest.param(b'{"groups":' * 10_000, id="depth 10,000, objects"),
    ],
)
def test_what_is_too_much_is_refused_in_bounded_memory(
    action: str, text: bytes, file: Path
) -> None:
    file.write_bytes(text)
    tracemalloc.start()
    try:
        assert refused(action, file)
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()
    assert not PolicyVersion.objects.exists()


def test_what_was_applied_is_kept_with_its_comments(file: Path, alice: User) -> None:
    file.write_text("// why\n" + source(grant(ALICE, "git")))
    run("apply", file)
    kept = PolicyVersion.objects.get()
    assert (kept.text, kept.actor_kind) == (file.read_text(), "command")


def test_the_setting_says_which_gateways_serve_what_is_new(
    file: Path, alice: User, gw1: Gateway, settings: Settings
) -> None:
    settings.PEERAGE_POLICY_GATEWAYS = ["gw9"]
    file.write_text(source(grant(ALICE, "git")))
    assert "no enrolled gateway is called gw9" in refused("plan", file)
    assert run("plan", file, "--gateway", gw1.name)[0] == 2


def test_a_plan_names_the_connections_that_are_cut(
    file: Path, alice: User, alices_grant: Grant, wiki: Application, gw1: Gateway
) -> None:
    laptop = Machine().enroll(alice)
    for _ in range(2):
        open_connection(laptop, gw1, wiki)
    file.write_text("{}")
    told = json.loads(run("plan", file, "--json")[1])["effect"]["connections"]
    assert told["count"] == 2
    assert told["cut"][0]["person"] == "Alice"
    assert told["cut"][0]["opened_at"] == "2026-11-23T12:00:00Z"
    text = run("plan", file)[1]
    assert "2 open connections are cut:" in text
    assert "Alice (laptop) → wiki 10.1.0.0:443, since 2026-11-23T12:00:00Z" in text
    events = AuditEvent.objects.filter(code=EventCode.POLICY_QUERY)
    assert {event.details["change"] for event in events} == {"policy file"}

"""`manage.py explain`: the answer in words or as JSON, and an exit status."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import Device
from policies.models import Grant
from portal.accounts.models import User
from tests.peers.makers import Machine
from tests.policies.makers import publish
from tests.policies.test_explanations import acknowledge

pytestmark = pytest.mark.django_db


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


def run(*words: str) -> tuple[int, str]:
    """Return the exit status and what was printed."""
    out = io.StringIO()
    try:
        call_command("explain", *words, stdout=out)
    except SystemExit as exc:
        return int(exc.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.mark.usefixtures("alices_grant")
def test_allowed_is_status_0(laptop: Device) -> None:
    for who in ("alice", laptop.ref.id):
        status, text = run(who, "10.1.0.7", "--port", "443")
        assert status == 0
        assert text.startswith("allowed: Alice (us_")
        assert "allowed by gt_" in text
    event = AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).latest("pk")
    assert (event.actor_kind, event.device_id) == ("command", laptop.ref.id)


@pytest.mark.usefixtures("alices_grant", "pools")
def test_denied_is_status_1_and_names_every_condition(bob: User) -> None:
    status, text = run("bob", "10.1.0.7", "--port", "22")
    assert status == 1
    for expected in (
        "denied: Bob",
        "the person has no device",
        "it is for Alice, who is somebody else",
        "wiki listens on another port; the nearest is 10.1.0.0/24 tcp/443",
    ):
        assert expected in text


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_json_is_the_apis_answer() -> None:
    status, text = run("alice", "10.1.0.7", "--protocol", "icmp", "--json")
    told = json.loads(text)
    assert (status, told["verdict"], told["port"]) == (1, "denied", None)
    [candidate] = told["gateways"][0]["candidates"]
    assert candidate["failures"][0]["condition"] == "wrong_protocol"


def test_the_past_says_by_which_generation(alices_grant: Grant, laptop: Device) -> None:
    now = datetime.now(UTC)  # noqa: TID251 -- a test's edge
    [first] = publish(now=now - timedelta(hours=3))
    at = ("--at", f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}")
    _, text = run("alice", "10.1.0.7", "--port", "443", *at)
    assert "gw1: allowed, generation 1.1, not acknowledged" in text
    acknowledge(first, seconds=0)
    alices_grant.application.destinations.update(port_first=80, port_last=80)
    publish(now=now - timedelta(hours=2))
    status, text = run("alice", "10.1.0.7", "--port", "443", *at)
    assert (status, "1.2 is not acknowledged yet" in text) == (0, True)
    status, text = run("alice", "10.1.0.7", "--port", "443")
    assert (status, "at this moment: allowed" in text) == (1, True)


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_gateway_whose_snapshot_is_broken_says_so() -> None:
    now = datetime.now(UTC)  # noqa: TID251 -- a test's edge
    [snapshot] = publish(now=now - timedelta(hours=3))
    type(snapshot).objects.filter(pk=snapshot.pk).update(digest="0" * 64)
    at = f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
    status, text = run("alice", "10.1.0.7", "--port", "443", "--at", at)
    assert (status, "not the one that was published" in text) == (1, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nobody", "10.1.0.7"), "is nobody"),
        (("dv_99", "10.1.0.7"), "No device is"),
        (("alice", "banana"), "destination: 'banana' is not an IP address"),
        (("alice", "10.1.0.7"), "port: protocol 6 needs a port"),
        (("alice", "10.1.0.7", "--at", "soon"), "at: Enter a valid date/time."),
    ],
)
@pytest.mark.usefixtures("alice")
def test_a_wrong_question_is_status_2(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message) as refused:
        run(*words)
    assert refused.value.returncode == 2
    assert not AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).exists()


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_policy_file_is_supposed_and_not_applied(tmp_path: Path) -> None:
    file = tmp_path / "policy.hujson"
    file.write_text("// nobody\n{}")
    asked = ("alice", "10.1.0.7", "--port", "443")
    status, text = run(*asked, "--policy", str(file))
    assert status == 1
    assert "by the policy file, which is not applied, at" in text
    assert run(*asked)[0] == 0
    event = AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).earliest("pk")
    assert event.details["policy_sha256"] == sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1, column 2"),
        (None, "No such file"),
        (" " * (4 * 2**20 + 1), "longer than 4194304 bytes"),
    ],
)
def test_a_file_that_cannot_be_supposed_is_status_2(
    text: str | None, words: str, alice: User, tmp_path: Path
) -> None:
    file = tmp_path / "policy.hujson"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CommandError, match=words) as caught:
        run("alice", "10.1.0.7", "--port", "443", "--policy", str(file))
    assert caught.value.returncode == 2

"""Commands of the portal: safe to run again, clear when they refuse."""

from __future__ import annotations

import io
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from audit.models import AuditEvent
from peers.models import AddressPool, Gateway
from policies import services
from policies.models import (
    Application,
    GatewayRecovery,
    Grant,
    Revocation,
    RevocationNotice,
    RevocationTarget,
)
from policies.reports import parse_notice_report
from portal.accounts.models import User
from tests.peers.makers import Agent, Machine
from tests.policies.makers import agent, notice_report

pytestmark = pytest.mark.django_db


def run(name: str, *words: str) -> str:
    out = io.StringIO()
    call_command(name, *words, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_init_twice_is_as_good_as_once(settings: Settings, tmp_path: Path) -> None:
    settings.PEERAGE_SIGNING_KEY_FILE = tmp_path / "new" / "snapshot.key"
    settings.PEERAGE_LOG_KEY_DIR = tmp_path / "log-keys"
    assert run("init").count(" made") == 5
    assert run("init").count(" kept") == 5
    assert AddressPool.objects.count() == 2


def test_key_is_made_once_and_for_its_owner(signing_key: Path) -> None:
    signing_key.unlink()
    first = run("init_keys")
    assert stat.S_IMODE(signing_key.stat().st_mode) == 0o600
    assert run("init_keys").split()[2] == first.split()[2]


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ("100.64.0.1/16", "did you mean 100.64.0.0/16"),
        ("many", "is not an IP prefix"),
        ("100.64.128.0/17", "overlaps the pool 100.64.0.0/16"),
    ],
)
def test_bad_pool_is_refused(settings: Settings, pool: str, message: str) -> None:
    AddressPool.objects.create(prefix="100.64.0.0/16")
    settings.PEERAGE_POOL_IPV4 = pool
    with pytest.raises(CommandError, match=message):
        run("init_pools")
    assert AddressPool.objects.count() == 1


def test_gateway_command_prints_a_token_that_enrols() -> None:
    token = run("create_gateway", "edge", "--endpoint", "[2001:db8::1]:51820").strip()
    now = datetime.now(UTC)  # noqa: TID251 -- the command's own clock
    gateway = Agent().enroll(token, now=now)
    assert (gateway.endpoint_host, gateway.state) == ("2001:db8::1", "enrolled")
    assert AuditEvent.objects.filter(actor_kind="command").count() == 2


@pytest.mark.parametrize("endpoint", ["edge.test", "edge.test:", ":1", "edge.test:x"])
def test_gateway_without_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(CommandError):
        run("create_gateway", "edge", "--endpoint", endpoint)
    assert not Gateway.objects.exists()


@pytest.fixture
def revocable(alice: User, alices_grant: Grant) -> User:
    """Alice with a device and a grant."""
    assert alices_grant.pk
    Machine().enroll(alice)
    return alice


def test_person_is_revoked_by_subject_or_id(revocable: User) -> None:
    text = run("revoke_user", "alice", "--reason", "left")
    assert "Alice (us_" in text
    assert "1 devices" in text
    assert "gw1: not confirmed" in text
    again = run("revoke_user", revocable.ref.id, "--reason", "left")
    assert "0 devices" in again
    assert Revocation.objects.count() == 2


def test_waiting_for_a_silent_gateway_fails_and_names_it(revocable: User) -> None:
    with pytest.raises(CommandError, match="not confirmed by gw1"):
        run("revoke_user", "alice", "--reason", "x", "--wait", "--timeout", "0.2")
    revocable.refresh_from_db()
    assert not revocable.is_active


def test_confirmed_gateway_shows_its_time(
    revocable: User, gw1: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert revocable.pk

    def enforce(_seconds: float) -> None:
        now = RevocationTarget.objects.get().revocation.requested_at
        text = f"{now + timedelta(milliseconds=42):%Y-%m-%dT%H:%M:%S.%f}Z"
        number = RevocationNotice.objects.get().number
        document = notice_report(number, applied_at=text, flows_cut=2)
        services.record_notice_report(
            gateway=gw1,
            report=parse_notice_report(document),
            actor=agent(gw1),
            now=now + timedelta(seconds=1),
        )

    monkeypatch.setattr("time.sleep", enforce)
    text = run("revoke_user", "alice", "--reason", "x", "--wait")
    assert "gw1: enforced after 42 ms, 2 connections cut" in text


def test_unknown_person_is_refused(wiki: Application) -> None:
    assert wiki.pk
    with pytest.raises(CommandError, match="'nobody' is nobody"):
        run("revoke_user", "nobody", "--reason", "x")
    assert not Revocation.objects.exists()


def test_portal_does_not_start_without_its_key(signing_key: Path) -> None:
    signing_key.unlink()
    with pytest.raises(CommandError, match="init_keys"):
        run("runportal")


def test_without_anybody_ahead_there_is_nothing_to_recover(gw1: Gateway) -> None:
    assert run("recover_gateways", "--wait") == ("no gateway is ahead of this portal\n")


def test_recovery_tells_what_became_of_each(gw1: Gateway, now: datetime) -> None:
    GatewayRecovery.objects.create(gateway=gw1, epoch=1, generation=9, noticed_at=now)
    assert run("recover_gateways").splitlines() == [
        "1 gateways are ahead of this portal: it was restored from a backup",
        f"{gw1.name}: holds 1.9, asked, not answered yet",
    ]
    with pytest.raises(CommandError, match=f"not gone on: {gw1.name}"):
        run("recover_gateways", "--wait", "--timeout", "0")
    assert "left out" in run("recover_gateways", "--without", gw1.ref.id)
    with pytest.raises(CommandError, match="no gateway that is ahead"):
        run("recover_gateways", "--without", "gateway-9")

"""What stops the portal from starting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from django.core.checks import CheckMessage
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from portal import checks


def ids(messages: Sequence[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def test_without_a_provider_nobody_can_sign_in(settings: Settings) -> None:
    settings.PEERAGE_OIDC_ISSUER = ""
    assert ids(checks.check_identity_provider()) == ["portal.W001"]


@pytest.mark.parametrize(
    ("issuer", "found"),
    [
        ("http://idp.example.test", ["portal.E001"]),
        ("http://127.0.0.1:9400", []),
        ("https://idp.example.test", []),
    ],
)
def test_provider_in_the_clear_is_refused(
    settings: Settings, issuer: str, found: list[str]
) -> None:
    settings.PEERAGE_INSECURE_HTTP = False
    settings.PEERAGE_OIDC_ISSUER = issuer
    assert ids(checks.check_identity_provider()) == found


def test_deployment_in_the_clear_is_refused(settings: Settings) -> None:
    settings.PEERAGE_BASE_URL = "http://portal.example.test"
    assert ids(checks.check_encryption()) == ["portal.E002"]
    settings.PEERAGE_BASE_URL = "https://portal.example.test"
    assert ids(checks.check_encryption()) == []


def test_signing_key_must_exist_and_be_private(
    settings: Settings, tmp_path: Path
) -> None:
    key = settings.PEERAGE_SIGNING_KEY_FILE = tmp_path / "snapshot.key"
    assert ids(checks.check_signing_key()) == ["portal.E003"]
    key.touch(mode=0o644)
    assert ids(checks.check_signing_key()) == ["portal.E004"]
    key.chmod(0o600)
    assert ids(checks.check_signing_key()) == []


@pytest.mark.django_db
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
def test_portal_says_that_it_is_alive(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_a_disk_that_nobody_watches_is_said(settings: Settings, tmp_path: Path) -> None:
    settings.PEERAGE_ROOM_RESERVE_MB = 1
    settings.PEERAGE_ROOM_DIR = ""
    assert ids(checks.check_room()) == ["portal.I001"]
    settings.PEERAGE_ROOM_DIR = tmp_path
    assert ids(checks.check_room()) == []
    settings.PEERAGE_ROOM_RESERVE_MB = 1 << 30
    assert ids(checks.check_room()) == ["portal.I002"]
    settings.PEERAGE_ROOM_DIR = tmp_path / "gone"
    assert ids(checks.check_room()) == ["portal.E005"]


def test_a_disk_that_is_not_the_databases_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PEERAGE_ROOM_DIR, settings.PEERAGE_ROOM_RESERVE_MB = "/proc", 1
    monkeypatch.setattr(checks, "room_dir", lambda _described: str(tmp_path))
    assert ids(checks.check_room()) == ["portal.E007"]
    # PostgreSQL's disk is not known.
    monkeypatch.setattr(checks, "room_dir", lambda _described: "")
    assert "portal.E007" not in ids(checks.check_room())


def test_a_disk_without_a_place_for_the_ballast_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PEERAGE_ROOM_DIR, settings.PEERAGE_ROOM_RESERVE_MB = tmp_path, 1
    # Root may write everywhere, so the question is answered for it.
    monkeypatch.setattr("os.access", lambda path, _mode: path != tmp_path)
    assert ids(checks.check_room()) == ["portal.E006"]

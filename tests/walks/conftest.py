"""A company, and whoever walks through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from django.core.cache import cache
from pytest_django import Settings

from audit.key_files import create_key_file
from audit.streams.errors import DeliveryError
from tests.walks.company import Company, make_company, moment

if TYPE_CHECKING:
    from tests.walks.walker import Commits


def unreachable(_stream: object) -> NoReturn:
    """Be a receiver that nobody reaches.

    Raises:
        DeliveryError: always.
    """
    raise DeliveryError("nobody is there")


@pytest.fixture
def company(
    db: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Company]:
    """Make the company; nothing in it waits for anybody."""
    settings.PEERAGE_SIGNING_KEY_FILE = tmp_path / "snapshot.key"
    settings.PEERAGE_LONG_POLL_SECONDS = 0
    settings.PEERAGE_POLICY_GATEWAYS = ["berlin"]
    settings.PEERAGE_POLICY_BRAKE_PERCENT = 100
    create_key_file(settings.PEERAGE_SIGNING_KEY_FILE)
    monkeypatch.setattr("audit.streams.services.receiver", unreachable)
    cache.clear()
    yield make_company(moment())
    cache.clear()


@pytest.fixture
def commits(django_capture_on_commit_callbacks: Commits) -> Commits:
    """Run what waits for a commit, although the tests' transaction never ends."""
    return django_capture_on_commit_callbacks

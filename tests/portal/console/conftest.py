"""A signing key, pools, an application, and a device of alice's."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pytest_django import Settings

from audit.key_files import create_key_file
from peers.models import Device, Gateway
from policies.models import Application, Grant
from portal.accounts.models import User
from tests.peers.makers import Machine, make_pools
from tests.policies.makers import make_application, make_grant


@pytest.fixture(autouse=True)
def signing_key(settings: Settings, tmp_path: Path) -> None:
    """Make a signing key as `manage.py init_keys` does."""
    settings.PEERAGE_SIGNING_KEY_FILE = tmp_path / "snapshot.key"
    create_key_file(settings.PEERAGE_SIGNING_KEY_FILE)


@pytest.fixture
def clock() -> datetime:
    """Return the time: pages are asked now, whatever the cast's clock says."""
    return datetime.now(UTC)  # noqa: TID251 -- a test's edge


@pytest.fixture
def wiki(gw1: Gateway) -> Application:
    """Describe an application behind gw1."""
    return make_application("wiki", "10.1.0.0/24", gateways=[gw1])


@pytest.fixture
def alices_grant(alice: User, wiki: Application) -> Grant:
    """Let alice reach the wiki."""
    return make_grant(wiki, user=alice)


@pytest.fixture
def laptop(alice: User) -> Device:
    """Enrol alice's laptop."""
    make_pools()
    return Machine().enroll(alice, name="laptop")

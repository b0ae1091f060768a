"""What tests of policies need: a signing key, pools, and a small company."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from pytest_django import Settings

from audit.key_files import create_key_file
from peers.models import Gateway
from policies.models import Application, Grant
from portal.accounts.models import Group, User
from tests.peers.makers import make_pools
from tests.policies.makers import make_application, make_grant


@pytest.fixture(autouse=True)
def signing_key(settings: Settings, tmp_path: Path) -> Path:
    """A signing key as `manage.py init_keys` makes it."""
    path = tmp_path / "state" / "snapshot.key"
    create_key_file(path)
    settings.PEERAGE_SIGNING_KEY_FILE = path
    return path


@pytest.fixture
def pools(db: None) -> None:
    """One IPv4 and one IPv6 pool."""
    make_pools()


@pytest.fixture
def wiki(gw1: Gateway, pools: None) -> Application:
    """An application behind gw1."""
    return make_application("wiki", "10.1.0.0/24", gateways=[gw1])


@pytest.fixture
def engineering(alice: User) -> Group:
    """The group alice and bob are in."""
    return Group.objects.get(name="engineering", users=alice)


@pytest.fixture
def alices_grant(alice: User, wiki: Application) -> Grant:
    """Alice may reach the wiki."""
    return make_grant(wiki, user=alice)


@pytest.fixture
def commit(
    django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[object]],
) -> Callable[[], AbstractContextManager[object]]:
    """A context at whose end everything runs that waits for the commit."""
    return partial(django_capture_on_commit_callbacks, execute=True)

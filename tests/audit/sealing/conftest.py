"""Logs with keys of their own, and events to seal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from audit import services
from audit.actor import Actor
from audit.events import EventCode
from audit.key_files import create_key_file
from audit.models import AuditEvent, Log
from audit.sealing import keeping
from tests.audit.conftest import NOON

Write = Callable[[int], None]


@pytest.fixture
def sealer_files(settings: Settings, tmp_path: Path) -> Path:
    """Where this test's sealer keeps keys and state."""
    settings.PEERAGE_LOG_KEY_DIR = tmp_path / "keys"
    settings.PEERAGE_SEALER_STATE_DIR = tmp_path / "state"
    for log in Log:
        create_key_file(keeping.key_file(log))
    return tmp_path


@pytest.fixture
def write(db: None, actor: Actor) -> Write:
    """Return a writer of so many events of the control log."""

    def events(count: int) -> None:
        made: list[AuditEvent] = [
            services.event(EventCode.USER_LOGIN, actor=actor, now=NOON)
            for _ in range(count)
        ]
        services.record_all(made)

    return events

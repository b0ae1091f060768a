"""G15: nothing that an administrator can set keeps an event from being written."""

from __future__ import annotations

import pytest
from django.conf import settings as configured
from pytest_django import Settings

from audit.actor import SYSTEM
from audit.events import EventCode
from audit.models import AuditEvent
from audit.services import record
from tests.conftest import NOW

pytestmark = pytest.mark.django_db
SWITCHES = [
    name
    for name in dir(configured)
    if name.startswith(("PEERAGE_", "DEBUG"))
    and isinstance(getattr(configured, name), bool)
]


def test_there_are_switches_to_try() -> None:
    assert {"DEBUG", "PEERAGE_STRICT_EVENTS"} <= set(SWITCHES)


@pytest.mark.parametrize("name", SWITCHES)
def test_no_switch_turns_the_log_off(name: str, settings: Settings) -> None:
    setattr(settings, name, not getattr(settings, name))
    record(EventCode.ROLE_ASSIGN, actor=SYSTEM, now=NOW)
    assert AuditEvent.objects.get().code == "ID011"


def test_an_empty_configuration_does_not_either(settings: Settings) -> None:
    for name in dir(configured):
        if name.startswith("PEERAGE_") and isinstance(getattr(settings, name), str):
            setattr(settings, name, "")
    record(EventCode.ROLE_ASSIGN, actor=SYSTEM, now=NOW)
    assert AuditEvent.objects.count() == 1

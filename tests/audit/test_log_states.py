"""How each log is sealed, as pages, figures and checks are told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.log_states import LogState, log_states
from audit.models import Log
from audit.sealing import tables
from tests.audit.conftest import NOON
from tests.audit.sealing.conftest import Write, sealer_files, write
from tests.audit.signing import seal_all

__all__ = ["sealer_files", "write"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealer_files")]


def control(after: float = 0) -> LogState:
    return log_states(NOON + timedelta(seconds=after))[0]


def test_a_log_without_an_event_is_well() -> None:
    found = control()
    assert (found.size, found.signed_at, found.is_well) == (0, None, True)
    assert found.age(NOON) is None


def test_what_waits_before_the_first_checkpoint_is_overdue(write: Write) -> None:
    write(3)
    found = control()
    assert (found.waiting, found.is_well) == (3, False)


def test_a_log_is_well_for_a_minute_after_its_checkpoint(write: Write) -> None:
    write(3)
    seal_all(NOON)
    assert (control().size, control().waiting) == (3, 0)
    assert control(60).is_well
    assert not control(61).is_well
    assert control().age(NOON + timedelta(seconds=9)) == timedelta(seconds=9)
    assert control().age(NOON - timedelta(seconds=9)) == timedelta(0)


def test_a_refusal_is_never_well(write: Write) -> None:
    write(1)
    seal_all(NOON)
    tables.tell_refusal(Log.CONTROL, "shrank", now=NOON)
    found = control()
    assert (found.refusal, found.refused_at, found.is_well) == ("shrank", NOON, False)
    assert log_states(NOON)[1].is_well

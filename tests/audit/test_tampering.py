"""Whoever edits the database is found, and what was edited is named.

`script/test tests/audit/test_tampering.py --long` makes a thousand edits.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection as database

from audit import services
from audit.actor import SYSTEM, Actor, ActorKind, Ref
from audit.events import EventCode
from audit.models import FlowKind, Log, SealedLeaf
from audit.verification import verify_log
from tests.audit.conftest import ALICE, GATEWAY, NOON, MakeFlow
from tests.audit.past_django import undone
from tests.audit.small_sealer import policy, seal
from tests.audit.tampering import EDITS, Edit, random_edit, touch

pytestmark = pytest.mark.django_db

SHORT, LONG = 60, 1000


@pytest.fixture
def sealed(make_flow: MakeFlow) -> None:
    """Fill both logs, sealed in three steps, with some events still waiting."""
    alice = Actor(kind=ActorKind.USER, id=ALICE.id, label=ALICE.label)
    number = 0
    for step, count in enumerate((3, 260, 40, 5)):
        now = NOON + timedelta(minutes=step)
        services.record_all(
            [
                services.event(
                    EventCode.DEVICE_UPDATE,
                    actor=alice,
                    now=now + timedelta(milliseconds=place),
                    person=ALICE,
                    device=Ref(id=f"dv_{place}", label="laptop"),
                    reason="a new name",
                    details={"name_before": f"laptop {place}"},
                )
                for place in range(count)
            ]
        )
        flows = []
        for _ in range(count):
            number += 1
            kind = (FlowKind.OPEN, FlowKind.CLOSE, FlowKind.DENY)[number % 3]
            flows.append(make_flow(kind, number, flow=f"f{number}"))
        services.record_flows(gateway=GATEWAY, flows=flows, now=now)
        if count != 5:
            for log in Log:
                seal(log, now)


def edits(count: int) -> Iterator[tuple[int, random.Random]]:
    """Return a chance for each edit; a seed of the environment repeats a run."""
    seed = int(os.environ.get("TAMPER_SEED", random.SystemRandom().randrange(2**32)))
    print(f"TAMPER_SEED={seed}")  # noqa: T201 -- shown where the test fails
    for number in range(count):
        yield number, random.Random(f"{seed}/{number}")  # noqa: S311 -- a test's chance


def missed(number: int, edit: Edit) -> str:
    """Return why an edit was not found or not named; nothing if it was."""
    report = verify_log(policy())
    if not report.faults:
        return f"{number}: {edit} was not found"
    return "" if edit.is_named(report) else f"{number}: {edit} in {report.faults[:5]}"


@pytest.mark.usefixtures("sealed")
def test_sound_log_is_sound() -> None:
    assert verify_log(policy()).faults == []


@pytest.mark.usefixtures("sealed")
def test_value_that_is_written_over_itself_is_not_reported() -> None:
    for _, chance in edits(10):
        with undone():
            touch(chance)
            assert verify_log(policy()).faults == []


@pytest.mark.usefixtures("sealed")
def test_each_kind_of_edit_is_found_and_named() -> None:
    wrong = []
    for make in dict.fromkeys(EDITS):
        for number, chance in edits(1):
            with undone():
                wrong.append(missed(number, make(chance)))
    assert [text for text in wrong if text] == []


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize("count", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
def test_g01_to_g06_every_edit_is_found_and_named(count: int) -> None:
    wrong = []
    for number, chance in edits(count):
        with undone():
            wrong.append(missed(number, random_edit(chance)))
    assert len(wrong) == count
    assert [text for text in wrong if text] == []


@pytest.mark.usefixtures("sealed")
def test_g05_event_put_in_under_an_earlier_date_is_named(make_flow: MakeFlow) -> None:
    """With a leaf, a nonce and a place of its own, as the portal would have made it."""
    early, late = NOON - timedelta(days=3), NOON + timedelta(minutes=5)
    services.record(EventCode.DEVICE_UPDATE, actor=SYSTEM, now=early, person=ALICE)
    flow = make_flow(FlowKind.OPEN, 9000, flow="late", at=early)
    services.record_flows(gateway=GATEWAY, flows=[flow], now=early)
    for log in Log:
        seal(log, late)
    places = {
        log.value: SealedLeaf.objects.filter(log=log).latest("index").index
        for log in Log
    }
    faults = verify_log(policy()).faults
    assert {fault.log: fault.index for fault in faults} == places
    assert all("before leaf" in fault.message for fault in faults)


@pytest.mark.usefixtures("sealed")
def test_edits_are_taken_back() -> None:
    for _, chance in edits(3):
        with undone():
            random_edit(chance)
    assert verify_log(policy()).faults == []
    assert not database.needs_rollback

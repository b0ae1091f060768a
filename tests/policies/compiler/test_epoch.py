"""A step to another epoch has one form, and only goes up. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from policies.compiler.canonical import canonical_json
from policies.compiler.epoch import EpochStep, epoch_bytes, parse_epoch
from policies.compiler.errors import CompilerError, InvalidValueError

STEP = EpochStep(
    deployment="peerage",
    audience="gw_1",
    before=1,
    after=2,
    generation=9,
    issued=datetime(2026, 11, 23, 12, tzinfo=UTC),
)


def test_a_step_is_read_as_it_was_written() -> None:
    assert parse_epoch(epoch_bytes(STEP)) == STEP


@pytest.mark.parametrize("after", [1, 0])
def test_a_step_that_does_not_go_up_is_none(after: int) -> None:
    with pytest.raises(InvalidValueError, match="not above"):
        EpochStep(
            deployment="peerage",
            audience="gw_1",
            before=1,
            after=after,
            generation=9,
            issued=STEP.issued,
        )


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"to": 1},
        {"generation": 0},
        {"generation": "9"},
        {"issued": None},
        {"more": 1},
        {"from": True},
    ],
    ids=str,
)
def test_anything_else_is_refused(change: dict[str, object]) -> None:
    document = {**json.loads(epoch_bytes(STEP)), **change}
    with pytest.raises(CompilerError):
        parse_epoch(canonical_json(document))


def test_a_second_spelling_is_refused() -> None:
    with pytest.raises(CompilerError, match="canonical"):
        parse_epoch(epoch_bytes(STEP).replace(b",", b", ", 1))

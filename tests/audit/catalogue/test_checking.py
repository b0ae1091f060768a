"""An event holds what its code declares, and nothing that is secret."""

from __future__ import annotations

from typing import Any

import pytest

from audit.catalogue.checking import is_of, problems, without_secrets
from audit.catalogue.codes import EventCode, Outcome
from audit.catalogue.kinds import (
    FLAG,
    MOMENT,
    TABLE,
    TABLES,
    TEXT,
    TEXTS,
    WHOLE,
    WHOLES,
    Field,
    maybe,
)
from audit.events import CATALOGUE

QUERY = CATALOGUE[EventCode.AUDIT_QUERY]


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (TEXT, "x", 1),
        (MOMENT, "2026-11-23T12:00:00+00:00", "yesterday"),
        (WHOLE, 7, "7"),
        (WHOLE, 7, 7.5),
        (WHOLE, 0, False),
        (FLAG, True, 1),
        (TEXTS, ["a"], ["a", 1]),
        (TEXTS, [], "a"),
        (WHOLES, [1, 2], [True]),
        (TABLE, {"a": 1}, [("a", 1)]),
        (TABLES, [{}], [1]),
        (maybe(TEXT), None, 1),
        (TEXT, "", None),
    ],
)
def test_a_shape_takes_its_own_kind_only(
    field: Field, good: object, bad: object
) -> None:
    assert is_of(field, good)
    assert not is_of(field, bad)


def test_what_is_declared_has_no_problems() -> None:
    details = {"log": "control", "filter": {"code": "DV012"}}
    assert problems(QUERY, Outcome.DONE, details) == []


@pytest.mark.parametrize(
    ("outcome", "details", "said"),
    [
        (Outcome.DONE, {"colour": "red"}, "AU001 has no field 'colour'"),
        (Outcome.DONE, {"log": 1}, "'log' of AU001 is no text"),
        (Outcome.ALERT, {}, "AU001 cannot end with A"),
    ],
    ids=["undeclared", "mistyped", "outcome"],
)
def test_a_problem_is_named(
    outcome: Outcome, details: dict[str, Any], said: str
) -> None:
    assert problems(QUERY, outcome, details) == [said]


def test_a_secret_is_found_at_any_depth_and_never_quoted() -> None:
    details = {"filter": {"saved": [{"token": "hunter2"}]}}
    said = problems(QUERY, Outcome.DONE, details)
    assert said == ["'token' must never be recorded"]


def test_a_secret_is_withheld_at_any_depth() -> None:
    details = {"filter": [{"password": "hunter2", "code": "DV012"}], "secret": "s"}
    assert without_secrets(details) == {
        "filter": [{"password": "[withheld]", "code": "DV012"}],
        "secret": "[withheld]",
    }

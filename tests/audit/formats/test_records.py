"""Our own shape: nothing lost, nothing in it that breaks a line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from audit.catalogue.kinds import Severity
from audit.formats.records import json_text, milliseconds, native
from tests.audit.formats.conftest import HOSTILE, MakeRecord


def test_an_entry_says_its_place_and_its_columns(make_event: MakeRecord) -> None:
    found = native(make_event())
    assert found["log"] == "control"
    assert found["index"] == 41
    assert found["code"] + found["outcome"] == "DV012I"
    assert found["at"] == "2026-11-23T12:00:00.123456Z"
    assert found["details"] == {"keys": 1}
    assert "gateway_id" not in found


def test_a_column_cannot_take_the_place_of_the_entrys_own(
    make_event: MakeRecord,
) -> None:
    entry = make_event()
    forged = make_event(values={**entry.values, "index": 99, "uid": "x"})
    assert (native(forged)["index"], native(forged)["uid"]) == (41, entry.uid)


def test_zero_is_not_empty(make_flow_record: MakeRecord) -> None:
    assert native(make_flow_record(bytes_up=0))["bytes_up"] == 0


def test_json_is_one_line_of_plain_ascii_and_keeps_the_name(
    make_event: MakeRecord,
) -> None:
    text = json_text(native(make_event(person_label=HOSTILE)))
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["person_label"] == HOSTILE


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"x": float("nan")})


def test_severities_have_an_order() -> None:
    ranks = [severity.rank for severity in Severity]
    assert ranks == sorted(ranks)
    assert Severity.ALERT.rank > Severity.NOTICE.rank


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(2026, 11, 23, 12, 0, 0, 999999, tzinfo=UTC), 1795435200999),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), -1000),
    ],
    ids=["epoch", "never rounded up", "another zone", "before"],
)
def test_times_are_whole_milliseconds(at: datetime, expected: int) -> None:
    assert milliseconds(at) == expected

"""A gateway's report is read strictly. No database."""

from __future__ import annotations

from typing import Any

import pytest

from policies.errors import AcknowledgementError
from policies.models import Snapshot
from policies.reports import parse_report
from tests.policies.makers import report

GOOD = report(Snapshot(epoch=1, generation=7, holdings_digest="ab" * 32))


def test_whole_report_is_read() -> None:
    parsed = parse_report(GOOD)
    assert (parsed.epoch, parsed.generation) == (1, 7)
    assert parsed.timings["total_ms"] == 1.5


def test_failed_apply_is_read() -> None:
    parsed = parse_report({**GOOD, "applied_at": None, "error": "a\nb" * 300})
    assert parsed.applied_at is None
    assert len(parsed.error) == 255
    assert "\n" not in parsed.error


BAD: dict[str, Any] = {
    "list": [],
    "nothing": None,
    "missing key": {key: GOOD[key] for key in GOOD if key != "epoch"},
    "unknown key": {**GOOD, "extra": 1},
    "generation 0": {**GOOD, "generation": 0},
    "generation true": {**GOOD, "generation": True},
    "generation text": {**GOOD, "generation": "7"},
    "time without zone": {**GOOD, "received_at": "2026-11-23T12:00:00.000000"},
    "time not a time": {**GOOD, "applied_at": "soon"},
    "digest upper case": {**GOOD, "observed_digest": "AB" * 32},
    "digest short": {**GOOD, "observed_digest": "ab"},
    "flows negative": {**GOOD, "flows_cut": -1},
    "timings missing": {**GOOD, "timings": {}},
    "timing negative": {**GOOD, "timings": {**GOOD["timings"], "total_ms": -1}},
    "timing infinite": {
        **GOOD,
        "timings": {**GOOD["timings"], "total_ms": float("inf")},
    },
    "timing true": {**GOOD, "timings": {**GOOD["timings"], "total_ms": True}},
    "timing text": {**GOOD, "timings": {**GOOD["timings"], "total_ms": "1"}},
    "error number": {**GOOD, "error": 5},
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD.keys())
def test_malformed_report_is_refused(value: object) -> None:
    with pytest.raises(AcknowledgementError, match="malformed acknowledgement"):
        parse_report(value)

"""Gaps that the log tells, and silences that it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.audit.verify.conftest import Verify
from tests.audit.verify.writing import write, write_log

Log = list[dict[str, Any]]


def written(place: Path, leaves: Log) -> Path:
    write_log(place / "log", [json.dumps(leaf).encode() for leaf in leaves])
    return place / "log"


def flow(sequence: int, gateway: str = "gw_1") -> dict[str, Any]:
    return {"gateway": gateway, "seq": str(sequence), "kind": "open"}


def test_loss_that_a_gateway_told_is_named(tmp_path: Path, verify: Verify) -> None:
    told = {
        "code": "GW008",
        "gateway": {"id": "gw_1"},
        "details": {"lost": 7, "source": "spool"},
    }
    code, report = verify("gaps", written(tmp_path, [{"code": "ID001"}, told]))
    assert (code, report["faults"][0]["index"]) == (2, 1)
    assert report["faults"][0]["message"] == "gw_1 lost 7 records: spool"


def test_numbers_of_other_records_are_no_gap(tmp_path: Path, verify: Verify) -> None:
    code, report = verify("gaps", written(tmp_path, [flow(4), flow(5), flow(9)]))
    assert (code, report["numbers of other records"]) == (0, {"gw_1": 3})


def test_gateways_number_for_themselves(tmp_path: Path, verify: Verify) -> None:
    leaves = [flow(4), flow(1, "gw_2"), flow(5), flow(2, "gw_2")]
    assert verify("gaps", written(tmp_path, leaves))[0] == 0


@pytest.mark.parametrize("sequence", [4, 5])
def test_number_that_comes_again_or_late_is_tampering(
    sequence: int, tmp_path: Path, verify: Verify
) -> None:
    leaves = [flow(4), flow(5), flow(sequence)]
    code, report = verify("gaps", written(tmp_path, leaves))
    assert (code, report["faults"][0]["index"]) == (1, 2)


@pytest.mark.parametrize(("second", "code"), [("10", 0), ("59", 0), ("61", 2)])
def test_silence_of_more_than_a_minute_is_a_gap(
    second: str, code: int, tmp_path: Path, verify: Verify
) -> None:
    log = written(tmp_path, [flow(1)])
    minute, rest = divmod(int(second), 60)
    lines = [
        {"size": 1, "at": at}
        for at in (
            "2026-11-23T12:00:00.000000Z",
            f"2026-11-23T12:{minute:02d}:{rest:02d}.000000Z",
        )
    ]
    write(log, "checkpoints.jsonl", "\n".join(map(json.dumps, lines)).encode())
    assert verify("gaps", log)[0] == code

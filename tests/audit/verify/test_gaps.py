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


def waited(log: Path, *sealed: str) -> None:
    """Write that each leaf came under a kept checkpoint of its own, at these times."""
    lines = [
        {"size": size, "at": f"2026-11-23T{at}:00.000000Z"}
        for size, at in enumerate(sealed, 1)
        if at
    ]
    write(log, "checkpoints.jsonl", "\n".join(map(json.dumps, lines)).encode())


@pytest.mark.parametrize(
    ("sealed", "named"),
    [
        (("12:00", "12:09", "12:20"), []),
        (("12:00", "", "12:20"), [1]),
        (("12:11", "12:11", "12:21"), [0]),
        ((), []),
    ],
    ids=["kept", "one was taken out", "the sealer stood still", "nothing kept"],
)
def test_leaf_that_waited_for_a_checkpoint_is_named(
    sealed: tuple[str, ...], named: list[int], tmp_path: Path, verify: Verify
) -> None:
    hours = ("12:00", "12:09", "12:20")
    leaves: Log = [{"t": f"2026-11-23T{at}:00.000000Z"} for at in hours]
    log = written(tmp_path, leaves)
    waited(log, *sealed)
    faults = verify("gaps", log)[1]["faults"]
    found = [fault["index"] for fault in faults if "kept" in fault["message"]]
    assert found == named


def test_of_many_that_waited_the_longest_is_named(
    tmp_path: Path, verify: Verify
) -> None:
    hours = ("12:05", "12:06", "12:00")
    leaves: Log = [{"t": f"2026-11-23T{at}:00.000000Z"} for at in hours]
    log = written(tmp_path, leaves)
    line = {"size": 3, "at": "2026-11-23T13:00:00.000000Z"}
    write(log, "checkpoints.jsonl", json.dumps(line).encode())
    faults = verify("gaps", log)[1]["faults"]
    assert [fault["index"] for fault in faults] == [0, 2]
    assert "until 3600 s after this" in faults[1]["message"]

"""How fast a log is verified: script/bench verify [--leaves N] [--jobs N].

A log of connections is written as an export has it, then `fsck` runs on it as a process
of its own: first entries and tiles alone, then with the rows, from which each leaf is
made again (canonical JSON and one HMAC each). DESIGN wants a million leaves a minute.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from audit.leaves import flow_shape
from audit.rows import rows_path
from audit.tlog.tiles import WIDTH
from tests.audit.verify.writing import VKEY, write, write_log

SALT = bytes(32)


def main() -> int:
    """Write, verify twice, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaves", type=int, default=200_000)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        rows = [_row(number) for number in range(options.leaves)]
        write_log(place, [flow_shape(row).leaf({"us_7": SALT}) for row in rows])
        _verify("entries and tiles", place, options)
        for begin in range(0, len(rows), WIDTH):
            lines = map(_line, range(begin, begin + WIDTH), rows[begin : begin + WIDTH])
            write(place, rows_path(begin // WIDTH), "\n".join(lines).encode())
        _verify("with rows", place, options)
    return 0


def _verify(what: str, place: Path, options: argparse.Namespace) -> None:
    command = [sys.executable, "-m", "audit.verify", "fsck", str(place)]
    begun = perf_counter()
    subprocess.run(
        [*command, "--key", VKEY, "--jobs", str(options.jobs)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = perf_counter() - begun
    minute = options.leaves / seconds * 60
    print(
        f"{what}: {options.leaves:,} leaves in {seconds:.1f} s, {minute:,.0f} a minute"
    )


def _line(index: int, row: dict[str, Any]) -> str:
    salts = {"us_7": base64.b64encode(SALT).decode()}
    return json.dumps({"i": index, "row": row, "salts": salts})


def _row(number: int) -> dict[str, Any]:
    at = "2026-11-23T12:00:00.000000Z"
    return {
        "gateway_id": "gw_1",
        "sequence": number + 1,
        "kind": "open",
        "at": at,
        "received_at": at,
        "flow": f"{number:x}",
        "body": {"app": 3, "grant": 4, "kind": "open", "proto": 6, "src": "100.64.0.7"},
        "attribution": {
            "person_id": "us_7",
            "person_label": "Alice Adams",
            "device_id": "dv_9",
            "device_label": "laptop",
            "key_fingerprint": "ab" * 32,
            "application_id": "ap_3",
            "application_label": "payroll",
            "grant_id": "gt_4",
            "grant_label": "engineering → payroll",
            "generation": 12,
            "protocol": 6,
            "source": "100.64.0.7",
            "source_port": 51234,
            "destination": "10.2.0.5",
            "destination_port": 443,
            "enrolment": "00000000-0000-0000-0000-000000000007",
        },
        "nonce": base64.b64encode(number.to_bytes(16)).decode(),
    }


if __name__ == "__main__":
    sys.exit(main())

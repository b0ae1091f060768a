"""Whatever is changed in a log's files is found, and the leaf is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audit.tlog.merkle import leaf_hash
from audit.tlog.tiles import bundle, entries
from tests.audit.verify.conftest import ENTRIES, Verify
from tests.audit.verify.writing import STRANGER, checkpoint, write, write_log

LOG = Path(__file__).resolve().parents[4] / "shared/vectors/tessera/testdata/log"
TESSERA = (
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
)


def indexes(report: dict[str, Any]) -> list[int | None]:
    return [fault["index"] for fault in report["faults"]]


def change_entry(log: Path, number: int, new: list[bytes]) -> None:
    """Put other entries into the bundle that holds a leaf."""
    path = log / f"tile/entries/{number:03d}"
    path.write_bytes(bundle(new))


def test_sound_log_is_sound(log: Path, verify: Verify) -> None:
    code, report = verify("fsck", log)
    assert (code, report["ok"], report["faults"]) == (0, True, [])
    assert report["audit.example/control"]["size"] == 700


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 700])
def test_log_of_any_size_is_sound(size: int, tmp_path: Path, verify: Verify) -> None:
    write_log(tmp_path, ENTRIES[:size])
    assert verify("fsck", tmp_path)[0] == 0


@pytest.mark.skipif(
    not LOG.is_dir(), reason="../shared/vectors is not here (a user's clone)"
)
def test_log_that_others_wrote_is_sound(verify: Verify) -> None:
    code, report = verify("fsck", LOG, key=TESSERA)
    assert (code, report["example.com/log/testdata"]["size"]) == (0, 15)


def test_g01_changed_byte_of_a_leaf_is_named(log: Path, verify: Verify) -> None:
    part = list(ENTRIES[256:512])
    part[44] = part[44].replace(b"300", b"301")
    change_entry(log, 1, part)
    code, report = verify("fsck", log)
    assert code == 1
    # The leaf itself, its upper tile, and the root of the whole.
    assert indexes(report) == [300, 256, 0]


def test_g01_changed_byte_with_its_tile_is_found_by_the_tile_above(
    log: Path, verify: Verify
) -> None:
    part = [b"{}", *ENTRIES[257:512]]
    change_entry(log, 1, part)
    write(log, "tile/0/001", b"".join(map(leaf_hash, part)))
    code, report = verify("fsck", log)
    assert (code, indexes(report)) == (1, [256, 0])


def test_g02_leaves_that_are_gone_with_their_checkpoint_break_the_old_one(
    log: Path, verify: Verify
) -> None:
    old = (log / "checkpoint").read_bytes()
    write(log, "old", old)
    write_log(log, ENTRIES[:690])
    assert verify("fsck", log)[0] == 0
    code, report = verify("consistency", log, log / "old")
    assert code == 1
    assert "690 leaves cannot continue 700" in report["faults"][0]["message"]


def test_g03_rewritten_log_breaks_every_old_checkpoint(
    log: Path, verify: Verify
) -> None:
    write(log, "old", (log / "checkpoint").read_bytes())
    write_log(log, [b"{}", *ENTRIES[1:], b"more"])
    assert verify("fsck", log)[0] == 0
    assert verify("consistency", log, log / "old")[0] == 1


def test_g04_two_leaves_in_another_order_are_named(log: Path, verify: Verify) -> None:
    part = list(ENTRIES[:256])
    part[3], part[9] = part[9], part[3]
    change_entry(log, 0, part)
    code, report = verify("fsck", log)
    assert (code, indexes(report)[:2]) == (1, [3, 9])


def test_g07_second_checkpoint_of_one_size_is_refused(
    log: Path, verify: Verify
) -> None:
    write(log, "other", checkpoint([b"{}", *ENTRIES[1:]]).encode())
    code, report = verify("consistency", log, log / "other")
    assert code == 1
    assert "two roots for one size" in report["faults"][0]["message"]


def test_leaf_that_is_gone_is_found(log: Path, verify: Verify) -> None:
    change_entry(log, 0, [*ENTRIES[:7], *ENTRIES[8:256]])
    code, report = verify("fsck", log)
    assert (code, indexes(report)) == (1, [0])


def test_inserted_leaf_is_found(log: Path, verify: Verify) -> None:
    path = log / "tile/entries/002.p/188"
    path.write_bytes(bundle([*entries(path.read_bytes(), 188), b"{}"]))
    assert verify("fsck", log)[0] == 1


@pytest.mark.parametrize(
    ("path", "index"),
    [("tile/0/001", 256), ("tile/1/000.p/2", 0), ("tile/0/002.p/188", 512)],
)
def test_changed_tile_is_found(
    path: str, index: int, log: Path, verify: Verify
) -> None:
    data = bytearray((log / path).read_bytes())
    data[1] ^= 1
    write(log, path, bytes(data))
    code, report = verify("fsck", log)
    assert (code, indexes(report)[0]) == (1, index)


@pytest.mark.parametrize("path", ["tile/0/001", "tile/1/000.p/2"])
def test_missing_tile_is_incomplete_and_not_tampered(
    path: str, log: Path, verify: Verify
) -> None:
    (log / path).unlink()
    code, report = verify("fsck", log)
    assert code == 2
    assert f"{path} is missing" in report["faults"][0]["message"]


def test_missing_entries_are_incomplete(log: Path, verify: Verify) -> None:
    (log / "tile/entries/001").unlink()
    code, report = verify("fsck", log)
    assert (code, indexes(report)) == (2, [256])


def test_what_cannot_be_judged_is_incomplete(log: Path, verify: Verify) -> None:
    for path in ("tile/entries/001", "tile/0/001", "tile/1/000.p/2"):
        (log / path).unlink()
    assert verify("fsck", log)[0] == 2


def test_all_faults_are_told_and_not_only_the_first(log: Path, verify: Verify) -> None:
    for number in range(2):
        part = list(ENTRIES[number * 256 : number * 256 + 256])
        part[5] = b"{}"
        change_entry(log, number, part)
    code, report = verify("fsck", log)
    assert (code, {5, 261} <= set(indexes(report))) == (1, True)


def test_checkpoint_by_a_stranger_is_refused(log: Path, verify: Verify) -> None:
    write(log, "checkpoint", checkpoint(ENTRIES, key=STRANGER).encode())
    code, report = verify("fsck", log)
    assert code == 1
    assert "none of the keys signed" in report["faults"][0]["message"]


def test_checkpoint_of_other_entries_is_refused(log: Path, verify: Verify) -> None:
    write(log, "checkpoint", checkpoint([*ENTRIES[:-1], b"{}"]).encode())
    code, report = verify("fsck", log)
    assert (code, indexes(report)) == (1, [0])


def test_touched_but_unchanged_log_is_sound(log: Path, verify: Verify) -> None:
    for path in log.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes())
    assert verify("fsck", log)[0] == 0

"""Evidence survives the agent, in order, until the portal has signed for it."""

from __future__ import annotations

import contextlib
import json
import os
from errno import ENOSPC
from pathlib import Path

import pytest

from gateway import spool
from gateway.errors import SpoolError
from gateway.room import Limits
from gateway.segments import segments
from gateway.spool import Spool


def numbers(of: Spool) -> list[int]:
    """Return the numbers of the records that are given out."""
    return [sequence for sequence, _ in of.batch(1000)]


def filled(directory: Path, count: int, *, segment_bytes: int = 4096) -> Spool:
    """Return a spool with records, each made durable by itself."""
    opened = Spool(directory, segment_bytes=segment_bytes)
    for _ in range(count):
        opened.append({"kind": "gap", "pad": "x" * 200})
        opened.sync()
    return opened


def lost(directory: Path) -> int:
    """Return what a restart finds lost."""
    again = Spool(directory)
    again.close()
    return again.lost


def test_records_are_given_out_only_when_durable(tmp_path: Path) -> None:
    opened = Spool(tmp_path)
    opened.append({"kind": "start"})
    assert numbers(opened) == []
    assert opened.sync() == 1
    assert [json.loads(body) for _, body in opened.batch(10)] == [
        {"seq": 1, "kind": "start"}
    ]
    opened.close()


def test_records_survive_a_restart_and_the_sequence_goes_on(tmp_path: Path) -> None:
    filled(tmp_path, 30).close()
    again = Spool(tmp_path)
    assert numbers(again) == list(range(1, 31))
    assert again.append({}) == 31
    assert again.lost == 0
    again.close()


def test_what_is_acknowledged_is_forgotten_for_good(tmp_path: Path) -> None:
    opened = filled(tmp_path, 60)
    assert len(segments(tmp_path)) > 2
    opened.acknowledge(60)
    assert len(segments(tmp_path)) == 1
    opened.close()
    again = Spool(tmp_path)
    assert numbers(again) == []
    assert again.append({}) == 61
    again.close()


def test_a_sequence_never_repeats_after_an_empty_spool(tmp_path: Path) -> None:
    opened = filled(tmp_path, 3)
    opened.acknowledge(3)
    opened.close()
    Spool(tmp_path).close()
    again = Spool(tmp_path)
    assert again.last == 3
    again.close()


def test_a_partial_acknowledgement_keeps_the_rest(tmp_path: Path) -> None:
    opened = filled(tmp_path, 10)
    opened.acknowledge(4)
    opened.acknowledge(2)
    assert numbers(opened) == [5, 6, 7, 8, 9, 10]
    assert (opened.depth, spool.depth(tmp_path)) == (6, 6)
    opened.close()


def test_a_receipt_beyond_the_last_record_is_refused(tmp_path: Path) -> None:
    opened = filled(tmp_path, 2)
    with pytest.raises(SpoolError, match="the last is 2"):
        opened.acknowledge(3)
    opened.close()


@pytest.mark.parametrize("cut", [1, 5, 9, 100])
def test_a_torn_tail_is_skipped_and_counted(tmp_path: Path, cut: int) -> None:
    filled(tmp_path, 3, segment_bytes=1 << 20).close()
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-cut])
    again = Spool(tmp_path)
    assert (numbers(again), again.lost) == ([1, 2], 1)
    assert again.append({}) == 3
    again.close()
    assert lost(tmp_path) == 0


def test_a_flipped_bit_loses_its_segment_and_is_counted_exactly(tmp_path: Path) -> None:
    filled(tmp_path, 40).close()
    first, second = segments(tmp_path)[:2]
    data = bytearray(first.read_bytes())
    data[20] ^= 1
    first.write_bytes(data)
    again = Spool(tmp_path)
    assert again.lost == int(second.stem) - 1
    assert numbers(again)[0] == int(second.stem)
    again.close()


def test_a_record_that_is_too_long_takes_no_number(tmp_path: Path) -> None:
    opened = Spool(tmp_path)
    with pytest.raises(SpoolError, match="too long"):
        opened.append({"what": "x" * 9000})
    assert opened.append({}) == 1
    opened.close()


def test_a_full_disk_takes_no_number_and_leaves_no_torn_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Spool(tmp_path)
    opened.append({})
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 -- closed below
    with monkeypatch.context() as patched:
        patched.setattr(opened, "_file", full)
        with pytest.raises(SpoolError, match="cannot write"):
            opened.append({})
    full.close()
    assert opened.append({}) == 2
    opened.close()
    assert lost(tmp_path) == 0


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="file"):
        Spool(tmp_path / "file")


def test_a_spool_keeps_its_name_and_a_new_one_has_another(tmp_path: Path) -> None:
    opened = filled(tmp_path / "a", 1)
    opened.close()
    again, other = Spool(tmp_path / "a"), Spool(tmp_path / "b")
    assert again.name == opened.name
    assert other.name != opened.name
    again.close()
    other.close()


@pytest.mark.parametrize("damage", [b"", b"abc", b"\xff" * 32, None])
def test_fault_22_a_name_that_is_lost_is_another_name_and_loses_nothing(
    tmp_path: Path, damage: bytes | None
) -> None:
    opened = filled(tmp_path, 3)
    opened.close()
    (tmp_path / "name").unlink()
    if damage is not None:
        (tmp_path / "name").write_bytes(damage)
    again = Spool(tmp_path)
    assert again.name != opened.name
    assert numbers(again) == [1, 2, 3]
    again.close()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"through": null}', b"\xff"])
def test_fault_22_a_damaged_acknowledgement_sends_again_and_counts_on(
    tmp_path: Path, damage: bytes
) -> None:
    opened = filled(tmp_path, 60)
    opened.acknowledge(60)
    opened.close()
    (tmp_path / "acknowledged.json").write_bytes(damage)
    again = Spool(tmp_path)
    assert again.append({}) == 61
    again.close()


def written(opened: Spool, count: int) -> int:
    """Append up to `count` records; return how many were taken."""
    for number in range(count):
        try:
            opened.append({"kind": "gap", "pad": "x" * 200})
        except SpoolError:
            return number
        opened.sync()
    return count


LIMITS = Limits(total=64_000, free_percent=0)


def test_a_spool_takes_no_more_than_its_limit(tmp_path: Path) -> None:
    opened = Spool(tmp_path, limits=LIMITS)
    taken = written(opened, 1000)
    assert 200 < taken < 300
    assert opened.is_full
    assert 63_000 < opened.size <= 64_000
    assert sum(p.stat().st_size for p in segments(tmp_path)) == opened.size
    opened.close()
    again = Spool(tmp_path, limits=LIMITS)
    assert written(again, 10) < 2
    again.close()


def test_a_full_spool_takes_nothing_until_much_room_is_back(tmp_path: Path) -> None:
    opened = Spool(tmp_path, limits=LIMITS)
    taken = written(opened, 1000)
    opened.acknowledge(1)
    assert written(opened, 10) == 0
    opened.acknowledge(40)
    assert not written(opened, 10) < 10
    assert numbers(opened)[0] == 41
    opened.acknowledge(taken + 10)
    assert opened.size == 0
    assert numbers(opened) == []
    opened.close()


def test_a_share_of_the_disk_stays_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(tmp_path)
    size, free = 1_000_000, [100_000]

    def small(directory: Path) -> os.statvfs_result:
        del directory
        values = [*real]
        values[:5] = [1, 1, size, free[0], free[0]]
        return os.statvfs_result(values)

    monkeypatch.setattr(os, "statvfs", small)
    opened = Spool(tmp_path)
    assert written(opened, 10) == 10
    free[0] = 50_100
    assert written(opened, 10) == 1
    free[0] = 50_000 + size // 16 - 1
    assert written(opened, 10) == 0
    free[0] += 1
    assert written(opened, 10) == 10
    opened.close()


def test_of_many_that_wait_the_oldest_are_in_memory(tmp_path: Path) -> None:
    opened = Spool(tmp_path, segment_bytes=2000, window=10)
    written(opened, 60)
    assert opened.depth == 60
    given: list[int] = []
    while batch := [number for number, _ in opened.batch(7)]:
        given += batch
        opened.acknowledge(batch[-1])
    assert given == [*range(1, 61)]
    assert opened.depth == 0
    written(opened, 3)
    assert numbers(opened) == [61, 62, 63]
    opened.close()


def test_what_waited_on_disk_is_found_by_the_next_run(tmp_path: Path) -> None:
    opened = Spool(tmp_path, segment_bytes=2000, window=10)
    written(opened, 60)
    opened.acknowledge(5)
    opened.close()
    again = Spool(tmp_path, segment_bytes=2000, window=10)
    assert (again.depth, numbers(again)[:2], again.last) == (55, [6, 7], 60)
    again.acknowledge(59)
    assert (again.depth, numbers(again)) == (1, [60])
    again.close()


def test_what_was_lost_and_not_told_is_told_by_the_next_run(tmp_path: Path) -> None:
    opened = Spool(tmp_path)
    opened.owe(7)
    opened.close()
    again = Spool(tmp_path)
    assert again.lost == 7
    again.owe(0)
    again.close()
    assert lost(tmp_path) == 0


def test_a_disk_that_refuses_a_new_segment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(ENOSPC, "No space left on device")

    opened = filled(tmp_path, 15)
    with monkeypatch.context() as patched:
        patched.setattr(spool, "sync_directory", full)
        for _ in range(10):
            opened.append({"kind": "gap", "pad": "x" * 200})
            with contextlib.suppress(SpoolError):
                opened.sync()
    opened.append({})
    opened.sync()
    assert numbers(opened) == list(range(1, 27))
    opened.close()
    again = Spool(tmp_path)
    assert (numbers(again), again.lost) == (list(range(1, 27)), 0)
    again.close()

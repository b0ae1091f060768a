"""What never goes back: revoked keys, the epoch, and contradictions. No database."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import StoreError
from gateway.standing import MAX_CONTRADICTIONS, RevokedKeys, Standing
from policies.compiler.epoch import parse_epoch
from policies.compiler.snapshot import open_envelope
from tests.gateway.world import public_text, signer

KEYS = tuple(public_text(name) for name in ("alice", "bob", "carol"))


def step(**changed: object) -> bytes:
    """Return the payload of a step."""
    return open_envelope(signer().step(**changed)).payload  # type: ignore[arg-type]


def test_revoked_keys_outlive_a_restart(tmp_path: Path) -> None:
    RevokedKeys(tmp_path / "revoked").add(KEYS[:2])
    again = RevokedKeys(tmp_path / "revoked")
    assert set(again) == set(KEYS[:2])
    assert KEYS[2] not in again


def test_a_key_is_written_once(tmp_path: Path) -> None:
    known = RevokedKeys(tmp_path / "revoked")
    for _ in range(3):
        known.add(KEYS)
    assert (tmp_path / "revoked").read_text().split() == [*KEYS]
    assert len(known) == 3


def test_a_line_that_a_crash_cut_short_is_dropped_and_overwritten(
    tmp_path: Path,
) -> None:
    path = tmp_path / "revoked"
    RevokedKeys(path).add(KEYS[:1])
    path.write_bytes(path.read_bytes() + KEYS[1][:20].encode())
    known = RevokedKeys(path)
    assert set(known) == {KEYS[0]}
    known.add(KEYS[1:])
    assert set(RevokedKeys(path)) == set(KEYS)


def test_a_key_that_could_not_be_written_is_known_and_written_later(
    tmp_path: Path,
) -> None:
    known = RevokedKeys(tmp_path / "later" / "revoked")
    with pytest.raises(StoreError, match="cannot be written"):
        known.add(KEYS[:1])
    assert KEYS[0] in known
    (tmp_path / "later").mkdir()
    known.add(())
    assert set(RevokedKeys(tmp_path / "later" / "revoked")) == {KEYS[0]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("revoked", b"not a key\n"),
        ("revoked", KEYS[0].encode() + b"\n\n"),
        ("epoch.json", b"{}"),
        ("epoch.json", b"[]"),
        ("epoch.json", b"{"),
    ],
)
def test_damage_is_told_and_never_read_as_nothing(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        Standing(tmp_path)


def test_the_epoch_reached_outlives_a_restart(tmp_path: Path) -> None:
    anchor = signer().anchor()
    assert Standing(tmp_path).raised(anchor) == anchor
    Standing(tmp_path).go_up(parse_epoch(step(after=3)))
    raised = Standing(tmp_path).raised(anchor)
    assert (raised.epoch, raised.floor) == (3, 10)


def test_f08_both_sides_of_a_contradiction_are_kept_once(tmp_path: Path) -> None:
    standing = Standing(tmp_path)
    kept = {*standing.keep_contradiction(b"one", b"other")}
    assert {*standing.keep_contradiction(b"other", b"one")} == kept
    assert {path.read_bytes() for path in kept} == {b"one", b"other"}
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}


def test_contradictions_never_fill_the_disk(tmp_path: Path) -> None:
    standing = Standing(tmp_path)
    for number in range(MAX_CONTRADICTIONS + 5):
        standing.keep_contradiction(b"%d" % number)
    assert len([*(tmp_path / "contradictions").iterdir()]) == MAX_CONTRADICTIONS

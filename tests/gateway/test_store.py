"""What the state directory keeps: whole or not at all, for its owner only."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import StoreError
from gateway.store import Identity, Store

IDENTITY = Identity(
    portal="https://portal.example",
    insecure_http=False,
    ca_file="",
    gateway="gw_1",
    deployment="peerage",
    epoch=1,
    snapshot_keys=(("0123456789abcdef", b"k" * 32),),
    signing_seed=b"s" * 32,
    wireguard_private_key="private",
)


def test_an_identity_comes_back_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    store.create()
    store.write_identity(IDENTITY)
    assert store.read_identity() == IDENTITY


def test_secrets_are_for_the_owner_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    store.create()
    store.write_identity(IDENTITY)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    path = tmp_path / "state" / "identity.json"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_identity_does_not_show_its_secrets() -> None:
    assert "private" not in repr(IDENTITY)
    assert "ssss" not in repr(IDENTITY)


def test_no_identity_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="enroll"):
        Store(tmp_path).read_identity()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"portal": 1}', "\x00"])
def test_a_damaged_identity_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "identity.json").write_text(content)
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path).read_identity()


def test_envelopes_come_back_as_they_were(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert (store.read_accepted(), store.read_lease()) == (None, None)
    store.write_accepted(b"snapshot")
    store.write_lease(b"lease")
    assert (store.read_accepted(), store.read_lease()) == (b"snapshot", b"lease")


def test_a_write_that_was_cut_off_leaves_the_old_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_accepted(b"old")
    (tmp_path / ".accepted.json.new").write_bytes(b"ne")
    assert store.read_accepted() == b"old"


def test_a_second_agent_on_the_same_state_is_refused(tmp_path: Path) -> None:
    first, second = Store(tmp_path), Store(tmp_path)
    assert not second.is_locked()
    first.lock()
    assert second.is_locked()
    with pytest.raises(StoreError, match="another agent"):
        second.lock()
    second.unlock()
    first.unlock()
    assert not second.is_locked()


def test_a_state_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "accepted.json").mkdir()
    with pytest.raises(StoreError, match=r"accepted\.json"):
        Store(tmp_path).write_accepted(b"")
    with pytest.raises(StoreError, match=r"accepted\.json"):
        Store(tmp_path).read_accepted()
    with pytest.raises(StoreError, match="accepted"):
        Store(tmp_path / "accepted.json" / ".." / "missing").write_lease(b"")

"""A state directory that lost something is refused, and goes on only when told to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.acceptance import accept, begin_floor, require_whole
from gateway.errors import StoreError
from gateway.spool import Spool
from gateway.stamping import Channel, Sequences
from gateway.standing import Standing, read_floor
from gateway.store import Identity, Store
from gateway.trust import Anchor
from tests.gateway.world import DEPLOYMENT, GATEWAY, NOW, signer, snapshot

LATER = NOW + timedelta(hours=1)
SIGNER = signer()
IDENTITY = Identity(
    portal="https://portal.example",
    insecure_http=False,
    ca_file="",
    gateway=GATEWAY,
    deployment=DEPLOYMENT,
    epoch=1,
    snapshot_keys=((SIGNER.keyid, SIGNER.public_key),),
    signing_seed=bytes(range(32)),
    wireguard_private_key="A" * 43 + "=",
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return the state of a gateway that accepted generation 7 and knows a key."""
    made = Store(tmp_path)
    made.write_identity(IDENTITY)
    made.write_sequences({"acks": 1000})
    begin_floor(made, IDENTITY)
    made.write_accepted(SIGNER.snapshot(snapshot(7)))
    standing = Standing(tmp_path)
    standing.revoked.add(["B" * 43 + "="])
    standing.remember(1, 7)
    Spool(made.spool_directory).close()
    return made


def check(store: Store) -> None:
    """Do what a start does before it enforces anything."""
    require_whole(store, store.read_identity())
    Sequences(store)
    floor(store)


def floor(store: Store) -> int:
    anchor = Anchor(gateway=GATEWAY, deployment=DEPLOYMENT, epoch=1, keys={})
    return Standing(store.directory).raised(anchor).floor


def accepted(store: Store) -> list[str]:
    return [*accept(store.directory, now=LATER)]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def test_what_is_whole_is_not_touched(store: Store) -> None:
    before = {p.name: p.read_bytes() for p in store.directory.iterdir() if p.is_file()}
    check(store)
    assert accepted(store) == ["nothing is damaged, nothing was changed"]
    after = {name: (store.directory / name).read_bytes() for name in before}
    assert before == after


@pytest.mark.parametrize("name", ["sequences.json", "floor.json", "revoked"])
@pytest.mark.parametrize("harm", [flip, truncate, empty, Path.unlink])
def test_fault_23_what_is_damaged_or_gone_is_refused_until_it_is_accepted(
    store: Store, name: str, harm: Callable[[Path], None]
) -> None:
    harm(store.directory / name)
    with pytest.raises(StoreError, match=rf"{name} is damaged: run .*accept --state"):
        check(store)
    said = accepted(store)
    assert said
    assert "nothing" not in said[0]
    check(store)
    assert accepted(store) == ["nothing is damaged, nothing was changed"]


@pytest.mark.parametrize("harm", [flip, truncate, empty])
def test_fault_23_a_damaged_identity_is_another_gateway(
    store: Store, harm: Callable[[Path], None]
) -> None:
    harm(store.directory / "identity.json")
    for attempt in (store.read_identity, lambda: accepted(store)):
        with pytest.raises(StoreError, match="enrol this host with a new token"):
            attempt()


def test_fault_23_a_lost_snapshot_does_not_take_the_floor_with_it(store: Store) -> None:
    (store.directory / "accepted.json").unlink()
    check(store)
    assert floor(store) == 7


def test_fault_23_a_damaged_snapshot_is_put_aside_and_the_floor_stays(
    store: Store,
) -> None:
    flip(store.directory / "accepted.json")
    assert "closed until the portal sends it" in accepted(store)[0]
    assert store.read_accepted() is None
    assert (store.directory / "accepted.json.damaged").exists()
    assert floor(store) == 7


def test_fault_23_a_lost_floor_is_given_up_only_by_the_operator(store: Store) -> None:
    (store.directory / "floor.json").unlink()
    with pytest.raises(StoreError, match=r"floor\.json"):
        check(store)
    assert accepted(store) == [
        "the generation accepted last: whatever the portal signs next counts"
    ]
    assert floor(store) == 0


def test_fault_23_new_numbers_are_above_every_number_before(store: Store) -> None:
    used = Sequences(store).next(Channel.ACKS)
    (store.directory / "sequences.json").unlink()
    accepted(store)
    again = Sequences(store)
    assert all(again.next(channel) > used for channel in Channel)


def test_fault_23_lost_revoked_keys_are_noticed_by_their_number(store: Store) -> None:
    (store.directory / "revoked").unlink()
    with pytest.raises(StoreError, match="revoked is damaged"):
        check(store)
    assert accepted(store) == [
        "revoked keys that were known: the next snapshot names them"
    ]
    assert read_floor(store.directory).generation == 7


def test_an_acceptance_is_evidence(store: Store) -> None:
    (store.directory / "floor.json").unlink()
    accepted(store)
    spool = Spool(store.spool_directory)
    [(_, record)] = spool.batch(10)
    assert b"the operator accepted a loss: the generation" in record
    spool.close()


def test_an_acceptance_beside_a_running_agent_is_refused(store: Store) -> None:
    store.lock()
    with pytest.raises(StoreError, match="another agent"):
        accepted(Store(store.directory))
    store.unlock()


def test_a_gateway_of_before_there_was_a_floor_goes_on(tmp_path: Path) -> None:
    old = Store(tmp_path)
    old.write_identity(IDENTITY)
    old.write_sequences({})
    require_whole(old, old.read_identity())
    assert begin_floor(old, old.read_identity()).keeps_floor
    assert old.read_identity().keeps_floor
    (tmp_path / "floor.json").unlink()
    with pytest.raises(StoreError, match=r"floor\.json"):
        require_whole(old, old.read_identity())


def test_files_of_before_there_were_checksums_are_read(tmp_path: Path) -> None:
    old = Store(tmp_path)
    (tmp_path / "sequences.json").write_text('{"acks": 41}')
    assert old.read_sequences() == {"acks": 41}

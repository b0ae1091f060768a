"""The key of the requests is replaced; a kill at any moment leaves one that counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway import enrollment
from gateway.client import HttpPortal
from gateway.config import EnrollCommand
from gateway.errors import (
    PortalError,
    PortalRefusedError,
    PortalUnreachableError,
    StoreError,
)
from gateway.rotation import Rotation
from gateway.stamping import Channel, RequestKeys, Sequences
from gateway.store import Identity, Store
from tests.gateway.fakes import FakePortal
from tests.gateway.httpportal import TOKEN, HttpFake, serving
from tests.gateway.world import snapshot

DAYS = timedelta(days=30)


def now() -> datetime:
    """Return the time: the verifier at the other end has a real clock."""
    return datetime.now(UTC)  # noqa: TID251 -- an edge


@dataclass
class Host:
    """A gateway's host: its state directory, and one process after another."""

    server: HttpFake
    store: Store
    clients: list[HttpPortal] = field(default_factory=list)

    def start(self, keep: Callable[[Identity], None] | None = None) -> HttpPortal:
        """Start the agent as after a kill: only what is on disk is left."""
        client = HttpPortal(
            self.store.read_identity(),
            Sequences(self.store),
            clock=now,
            keep=keep or self.store.write_identity,
        )
        self.clients.append(client)
        return client

    def rotate(self, client: HttpPortal) -> bool:
        """Step the rotation, as if the key were a month old."""
        keys = client.keys
        return Rotation(keys=keys, portal=client, period=timedelta(0)).step()

    def assert_speaks(self, client: HttpPortal) -> None:
        """The gateway is heard, and signs with what the portal knows."""
        assert client.poll(after=0, epoch=1).snapshot is not None


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Return an enrolled gateway's host."""
    portal = FakePortal()
    portal.publish(snapshot(now=now()))
    with serving(portal) as server:
        command = EnrollCommand(
            portal=server.url,
            token=TOKEN,
            state=tmp_path / "state",
            insecure_http=True,
            ca_file="",
        )
        enrollment.enroll(command)
        host = Host(server=server, store=Store(command.state))
        yield host
        for client in host.clients:
            client.close()


def test_a_new_key_is_used_and_the_old_one_forgotten(host: Host) -> None:
    before = host.store.read_identity()
    client = host.start()
    assert host.rotate(client)
    host.assert_speaks(client)
    after = host.store.read_identity()
    assert after.signing_seed != before.signing_seed
    assert after.next_signing_seed == b""
    assert host.server.offered_key == b""
    assert after.wireguard_private_key == before.wireguard_private_key
    host.assert_speaks(host.start())


def test_a_key_is_due_thirty_days_after_it_is_known(host: Host) -> None:
    client = host.start()
    rotation = Rotation(keys=client.keys, portal=client, period=DAYS)
    assert not rotation.step()
    begun = host.store.read_identity().signing_key_at
    assert begun is not None
    assert not rotation.step()
    aged = replace(host.store.read_identity(), signing_key_at=begun - DAYS)
    host.store.write_identity(aged)
    client = host.start()
    assert Rotation(keys=client.keys, portal=client, period=DAYS).step()


def test_a_kill_after_the_new_key_was_made_is_finished_by_the_next_run(
    host: Host,
) -> None:
    host.start().keys.prepare()
    made = host.store.read_identity().next_signing_seed
    again = host.start()
    host.assert_speaks(again)
    assert Rotation(keys=again.keys, portal=again, period=DAYS).step()
    assert host.store.read_identity().signing_seed == made
    host.assert_speaks(again)


def test_a_kill_before_the_answer_leaves_both_keys_and_either_is_heard(
    host: Host,
) -> None:
    host.server.loses_answer_to = "/key"
    client = host.start()
    with pytest.raises(PortalUnreachableError):
        host.rotate(client)
    assert host.server.offered_key
    host.server.loses_answer_to = ""
    again = host.start()
    host.assert_speaks(again)
    assert host.rotate(again)
    host.assert_speaks(again)


def test_a_kill_before_the_change_is_written_leaves_the_old_key_in_use(
    host: Host,
) -> None:
    writes = 0

    def fails_at_the_last(identity: Identity) -> None:
        nonlocal writes
        writes += 1
        if identity.next_signing_seed == b"" and writes > 1:
            raise StoreError("the disk is full")
        host.store.write_identity(identity)

    client = host.start(fails_at_the_last)
    with pytest.raises(StoreError):
        host.rotate(client)
    host.assert_speaks(client)
    again = host.start()
    host.assert_speaks(again)
    assert host.rotate(again)
    host.assert_speaks(again)


def test_an_old_key_that_ended_meanwhile_gives_way_to_the_new_one(host: Host) -> None:
    host.server.loses_answer_to = "/key"
    with pytest.raises(PortalUnreachableError):
        host.rotate(host.start())
    host.server.loses_answer_to = ""
    host.server.has_old_key_ended = True
    again = host.start()
    host.assert_speaks(again)
    assert host.store.read_identity().next_signing_seed == b""
    host.assert_speaks(host.start())


def test_a_portal_that_was_restored_hears_of_the_new_key_again(host: Host) -> None:
    old = host.server.signing_key
    client = host.start()
    host.rotate(client)
    host.assert_speaks(client)
    host.server.signing_key = old
    host.assert_speaks(client)
    assert host.server.signing_key != old
    host.server.signing_key, host.server.sequences = old, {}
    host.assert_speaks(host.start())


def test_a_refusal_for_another_reason_leaves_the_keys_as_they_are(host: Host) -> None:
    client = host.start()
    host.rotate(client)
    seed = host.store.read_identity().signing_seed
    host.server.refuse_with = 401
    for _ in range(3):
        with pytest.raises(PortalRefusedError):
            client.poll(after=0, epoch=1)
    host.server.refuse_with = 0
    assert host.store.read_identity().signing_seed == seed
    host.assert_speaks(client)


def test_a_key_that_is_refused_for_good_is_not_offered_again(host: Host) -> None:
    client = host.start()
    host.server.refuse_with = 422
    with pytest.raises(PortalRefusedError):
        host.rotate(client)
    assert host.store.read_identity().next_signing_seed == b""
    host.server.refuse_with = 0
    assert host.rotate(client)
    host.assert_speaks(client)


def test_a_portal_that_is_away_costs_nothing(host: Host) -> None:
    host.server.shutdown()
    host.server.server_close()
    client = host.start()
    with pytest.raises(PortalError):
        host.rotate(client)
    assert host.store.read_identity().next_signing_seed


def stamps(tmp_path: Path, clock: Callable[[], datetime], host: Host) -> RequestKeys:
    """Return the keys of a gateway whose clock this is."""
    return RequestKeys(
        host.store.read_identity(),
        Sequences(Store(tmp_path)),
        clock=clock,
        keep=lambda _: None,
    )


def test_f04_no_lower_number_bears_a_later_date(tmp_path: Path, host: Host) -> None:
    """Whatever the clock does: the portal would see a second holder."""
    begun = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    ticks = [0, 30, -20, 29, 31, 0, 61, 10]
    times = iter(begun + timedelta(seconds=second) for second in ticks)
    keys = stamps(tmp_path, lambda: next(times), host)
    given = [keys.stamp(Channel.ACKS) for _ in ticks]
    assert [stamp.sequence for stamp in given] == list(range(1, len(ticks) + 1))
    dates = [stamp.created for stamp in given]
    assert dates == sorted(dates)


def test_a_clock_that_was_an_hour_ahead_is_believed_again(
    tmp_path: Path, host: Host
) -> None:
    begun = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    times = iter([begun + timedelta(hours=1), begun])
    keys = stamps(tmp_path, lambda: next(times), host)
    first, second = (keys.stamp(Channel.ACKS).created for _ in range(2))
    assert second == first - 3600


def test_f04_threads_never_date_the_old_key_later_than_the_new(
    tmp_path: Path, host: Host
) -> None:
    """A clock that moves a second with each look makes any mix-up visible."""
    lock, seconds = threading.Lock(), [0]

    def clock() -> datetime:
        with lock:
            seconds[0] += 1
            return datetime(2026, 11, 28, 12, 0, tzinfo=UTC) + timedelta(
                seconds=seconds[0]
            )

    keys = stamps(tmp_path, clock, host)
    old = host.store.read_identity().signing_seed
    given: list[tuple[bool, int, int]] = []

    def speak() -> None:
        for _ in range(200):
            stamp = keys.stamp(Channel.ACKS)
            is_old = stamp.key.private_bytes_raw() == old
            given.append((is_old, stamp.sequence, stamp.created))

    threads = [threading.Thread(target=speak) for _ in range(4)]
    for thread in threads:
        thread.start()
    keys.prepare()
    keys.take_over()
    for thread in threads:
        thread.join()
    keys.stamp(Channel.ACKS)
    by_number = sorted(given, key=lambda item: item[1])
    assert [date for _, _, date in by_number] == sorted(date for *_, date in given)
    old_dates = [date for is_old, _, date in given if is_old]
    new_dates = [date for is_old, _, date in given if not is_old]
    assert max(old_dates, default=0) <= min(new_dates, default=10**12)

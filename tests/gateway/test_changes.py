"""Announcements as the kernel lays them out: whose, of what."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from gateway.changes import MAX_PHRASES, Changes, netlink_ports
from gateway.netlink import HEADER, NFGENMSG, attribute
from gateway.types import ForeignChange

OWN, FOREIGN = 100, 200


def message(kind: int, port: int, *names: bytes, handle: int = 0) -> bytes:
    body = NFGENMSG.pack(1, 0, 0)
    for number, name in enumerate(names, start=1):
        body += attribute(number, name + b"\0")
    if handle:
        body += attribute(3, handle.to_bytes(8))
    return HEADER.pack(HEADER.size + len(body), 10 << 8 | kind, 0, 1, port) + body


def end(port: int, process: bytes = b"nft", number: int = 7) -> bytes:
    body = NFGENMSG.pack(0, 0, 0) + attribute(1, (6).to_bytes(4))
    body += attribute(2, number.to_bytes(4)) + attribute(3, process + b"\0")
    body += bytes(-len(body) % 4)
    return HEADER.pack(HEADER.size + len(body), 10 << 8 | 15, 0, 1, port) + body


@pytest.fixture
def changes() -> Iterator[Changes]:
    """Return a listener that takes port 100 for its own."""
    made = Changes(
        "peerage_wg0",
        finished=lambda *_: None,
        own_ports=lambda: frozenset({OWN}),
    )
    yield made
    made.close()


def read(changes: Changes, *parts: bytes) -> list[ForeignChange]:
    return list(changes.read(b"".join(p + bytes(-len(p) % 4) for p in parts)))


def test_a_foreign_rule_has_its_chain_handle_and_process(changes: Changes) -> None:
    (change,) = read(
        changes,
        message(6, FOREIGN, b"peerage_wg0", b"forward", handle=57),
        end(FOREIGN),
    )
    assert change.what == ("rule added forward handle 57",)
    assert (change.by, change.rules) == ("nft pid 7", (("forward", 57),))
    assert not change.is_flush


def test_own_changes_and_other_tables_are_not_told(changes: Changes) -> None:
    assert not read(
        changes,
        message(6, OWN, b"peerage_wg0", b"forward", handle=57),
        end(OWN),
        message(6, FOREIGN, b"docker", b"forward", handle=57),
        end(FOREIGN),
    )


def test_a_deleted_table_is_foreign_whoever_did_it(changes: Changes) -> None:
    (change,) = read(
        changes,
        message(8, OWN, b"peerage_wg0", b"forward", handle=57),
        message(2, OWN, b"peerage_wg0"),
        end(OWN),
    )
    assert (change.what, change.is_flush) == (("table deleted",), True)


def test_a_transaction_may_end_in_a_later_datagram(changes: Changes) -> None:
    assert not read(changes, message(12, FOREIGN, b"peerage_wg0", b"device4"))
    (change,) = read(changes, end(FOREIGN))
    assert change.what == ("element added device4",)


def test_what_is_too_much_is_counted_and_names_are_made_printable(
    changes: Changes,
) -> None:
    rules = [
        message(6, FOREIGN, b"peerage_wg0", b"forward", handle=number)
        for number in range(1, MAX_PHRASES + 4)
    ]
    (change,) = read(changes, *rules, end(FOREIGN, b"n\nf\xfft"))
    assert change.what[-1] == "and 3 more"
    assert change.by == "n?f?t pid 7"


def test_the_ports_of_this_process_are_known() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as mine:
        mine.bind((0, 0))
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- a count
        assert mine.getsockname()[0] in netlink_ports()
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 -- a count

"""Rules of a notice of revocation as bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from policies.compiler.canonical import canonical_json
from policies.compiler.errors import SnapshotFormatError
from policies.compiler.notice import Notice, notice_bytes, parse_notice

KEYS = ("A" * 43 + "=", "B" * 42 + "A=")
NOTICE = Notice(
    deployment="acme",
    audience="gw_1",
    epoch=1,
    number=7,
    issued=datetime(2026, 11, 28, 12, 0, tzinfo=UTC),
    devices=frozenset({9, 3}),
    keys=frozenset(KEYS),
)


def test_a_notice_comes_back_as_it_was_written() -> None:
    assert parse_notice(notice_bytes(NOTICE)) == NOTICE


def test_a_key_can_be_revoked_without_its_device() -> None:
    alone = replace(NOTICE, devices=frozenset())
    assert parse_notice(notice_bytes(alone)) == alone


def test_equal_notices_are_equal_bytes() -> None:
    again = replace(NOTICE, devices=frozenset({3, 9}), keys=frozenset(reversed(KEYS)))
    assert notice_bytes(again) == notice_bytes(NOTICE)


SPOILED = {
    "version": 2,
    "number": 0,
    "epoch": -1,
    "issued": "never",
    "devices": [9, 3],
    "keys": ["no key"],
    "grants": [],
    "audience": None,
}


@pytest.mark.parametrize(("name", "value"), SPOILED.items(), ids=SPOILED.keys())
def test_anything_else_is_refused(name: str, value: object) -> None:
    document = {**json.loads(notice_bytes(NOTICE)), name: value}
    with pytest.raises(SnapshotFormatError):
        parse_notice(canonical_json(document))


@pytest.mark.parametrize("devices", [[0], [2**32], [True], [3, 3]], ids=str)
def test_a_device_is_a_mark_and_stands_once(devices: object) -> None:
    document = {**json.loads(notice_bytes(NOTICE)), "devices": devices}
    with pytest.raises(SnapshotFormatError):
        parse_notice(canonical_json(document))


def test_a_missing_part_is_refused() -> None:
    document = json.loads(notice_bytes(NOTICE))
    del document["devices"]
    with pytest.raises(SnapshotFormatError):
        parse_notice(canonical_json(document))

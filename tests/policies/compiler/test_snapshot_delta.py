"""A delta leads to the newer payload byte for byte, or nowhere. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compiler.canonical import canonical_json
from policies.compiler.compile import compile_snapshot
from policies.compiler.errors import SnapshotFormatError
from policies.compiler.snapshot import digest, snapshot_bytes
from policies.compiler.snapshot_delta import (
    LEAST_COPY,
    Delta,
    delta_bytes,
    parse_delta,
    rebuilt,
    snapshot_delta,
)
from policies.compiler.types import Device, Facts, address
from tests.gateway.world import NOW, device, facts, public_text, without

NAMES = st.text(alphabet='abc},{"\\é', max_size=6)
LEAVES = st.one_of(st.integers(0, 50), NAMES, st.none())
OBJECTS = st.dictionaries(
    st.sampled_from(["device", "key", "expires", "members"]),
    st.one_of(LEAVES, st.lists(LEAVES, max_size=8)),
    max_size=4,
)
PAYLOADS = st.dictionaries(
    st.sampled_from(["peers", "subjects", "revoked", "issued", "unheard of"]),
    st.one_of(LEAVES, st.lists(st.one_of(LEAVES, OBJECTS), max_size=12)),
    max_size=5,
)


def over_the_wire(delta: Delta) -> Delta:
    """Return a delta as it arrives."""
    return parse_delta(json.dumps(json.loads(delta_bytes(delta))).encode())


def company(people: int, *, gone: frozenset[int] = frozenset()) -> bytes:
    """Return the payload for a company, less those who are revoked."""
    made = replace(
        facts(),
        devices=tuple(numbered(n) for n in range(1, people + 1)),
        memberships=tuple((n, 4) for n in range(1, people + 1)),
    )
    return payload(without(gone, made), generation=1 + len(gone))


def numbered(number: int) -> Device:
    """Return one of many devices."""
    return replace(
        device(1, f"p{number}", number),
        id=number,
        addresses=(
            address(f"100.64.{number // 250}.{number % 250 + 1}"),
            address(f"fd5e:e4a6:e000::{number:x}"),
        ),
    )


def payload(of: Facts, *, generation: int) -> bytes:
    return snapshot_bytes(
        compile_snapshot(
            of,
            epoch=1,
            generation=generation,
            now=NOW + timedelta(seconds=generation),
        )
    )


@given(before=PAYLOADS, after=PAYLOADS)
def test_whatever_changed_the_newer_comes_out_byte_for_byte(
    before: dict[str, object], after: dict[str, object]
) -> None:
    old, new = canonical_json(before), canonical_json(after)  # type: ignore[arg-type]
    assert rebuilt(old, over_the_wire(snapshot_delta(old, new))) == new


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """Return payloads of one gateway as edits follow each other."""
    of, payloads = facts(), []
    for generation in range(1, draw(st.integers(2, 6)) + 1):
        match draw(st.sampled_from(["enrol", "revoke", "group", "grant", "nothing"])):
            case "enrol":
                number = draw(st.integers(20, 90))
                known = {d.id for d in of.devices}
                if number not in known:
                    made = device(number, f"d{number}.{generation}", number)
                    of = replace(of, devices=(*of.devices, made))
                    of = replace(of, memberships=(*of.memberships, (number, 4)))
            case "revoke":
                ids = [d.id for d in of.devices]
                if ids:
                    of = without([draw(st.sampled_from(ids))], of)
            case "group":
                of = replace(of, memberships=of.memberships[1:])
            case "grant":
                of = replace(of, grants=of.grants[: draw(st.integers(0, 2))])
            case _:
                pass
        payloads.append(payload(of, generation=generation))
    return payloads


@given(payloads=histories())
def test_snapshots_lead_to_each_other_through_any_edits(payloads: list[bytes]) -> None:
    held = payloads[0]
    for after in payloads[1:]:
        held = rebuilt(held, over_the_wire(snapshot_delta(held, after)))
        assert held == after
    back = snapshot_delta(payloads[-1], payloads[0])
    assert rebuilt(payloads[-1], back) == payloads[0]


@given(
    payloads=histories(),
    place=st.integers(0, 10_000),
    change=st.binary(min_size=1, max_size=3),
)
def test_a_corrupted_delta_is_refused_or_leads_to_the_same(
    payloads: list[bytes], place: int, change: bytes
) -> None:
    before, after = payloads[0], payloads[-1]
    written = delta_bytes(snapshot_delta(before, after))
    at = place % len(written)
    broken = written[:at] + change + written[at + len(change) :]
    try:
        delta = parse_delta(broken)
        found = rebuilt(before, delta)
    except SnapshotFormatError:
        return
    # Another spelling of the same, or of a digest: never another payload under this.
    assert digest(found) == delta.digest
    assert found == after or delta.digest != digest(after)


def test_a_revocation_among_many_is_small() -> None:
    before, after = company(400), company(400, gone=frozenset({200}))
    written = delta_bytes(snapshot_delta(before, after))
    assert len(after) > 50_000
    assert len(written) < 1500
    assert rebuilt(before, parse_delta(written)) == after


def test_nothing_changed_is_one_stretch() -> None:
    data = company(20)
    assert snapshot_delta(data, data).parts == ((0, len(data)),)


def test_what_is_short_is_written_out() -> None:
    delta = snapshot_delta(b'{"a":1,"b":2}', b'{"a":1,"b":3}')
    assert delta.parts == (b'{"a":1,"b":3}',)
    assert len("[100,23],") < LEAST_COPY


def test_a_delta_from_another_snapshot_is_refused() -> None:
    delta = snapshot_delta(company(3), company(4))
    with pytest.raises(SnapshotFormatError, match="another snapshot"):
        rebuilt(company(5), delta)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (((0, 10**9),), "beyond the end"),
        ((b"other",), "something else"),
        (((0, 1000),) * 3, "something else"),
        (((0, 5000),) * 60_000, "without end"),
    ],
    ids=["beyond", "other bytes", "other stretches", "endless"],
)
def test_a_delta_that_leads_astray_is_refused(
    parts: tuple[tuple[int, int] | bytes, ...], message: str
) -> None:
    before = company(40)
    delta = replace(snapshot_delta(before, company(41)), parts=parts)
    with pytest.raises(SnapshotFormatError, match=message):
        rebuilt(before, delta)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"base": 1},
        {"parts": None},
        {"parts": [[0]]},
        {"parts": [[0, 1, 2]]},
        {"parts": [[-1, 2]]},
        {"parts": [["0", 2]]},
        {"parts": [None]},
        {"parts": ["\ud800"]},
        {"more": 1},
    ],
    ids=str,
)
def test_anything_else_is_no_delta(change: dict[str, object]) -> None:
    document = json.loads(delta_bytes(snapshot_delta(b"{}", b"[]")))
    with pytest.raises(SnapshotFormatError):
        parse_delta(json.dumps({**document, **change}).encode())


def test_a_key_that_was_revoked_is_in_what_comes_out() -> None:
    before, after = company(9), company(9, gone=frozenset({3}))
    found = rebuilt(before, snapshot_delta(before, after))
    assert public_text("p3") in json.loads(found)["revoked"]

"""Rules of the effect: by packets, not by names; the largest first. No database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from random import Random
from typing import Final

import pytest

from policies.compiler import types
from policies.compiler.conditions import ApprovedDevice
from policies.compiler.types import PortRange, Protocol, Subject, SubjectKind
from policies.effects import Effect, effect, missing

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OWNERS: Final = {device: device + 100 for device in range(1, 11)}


def tcp(prefix: str, first: int, last: int = 0) -> types.Destination:
    return types.Destination(
        prefix=types.network(prefix),
        protocol=Protocol.TCP,
        ports=PortRange(first=first, last=last or first),
    )


def snapshot(
    grants: Mapping[int, tuple[int, ...]],
    places: Mapping[int, tuple[types.Destination, ...]],
) -> list[types.Snapshot]:
    """A gateway that grants each application to some devices."""
    subjects = {n: Subject(kind=SubjectKind.GROUP, id=n) for n in grants}
    return [
        types.Snapshot(
            deployment="peerage",
            audience="gw_1",
            epoch=1,
            generation=1,
            issued=NOW,
            listen_port=51820,
            pools=(),
            peers=(),
            subjects=tuple(
                types.SubjectMembers(subject=subjects[n], device_ids=devices)
                for n, devices in grants.items()
            ),
            applications=tuple(
                types.Application(id=n, destinations=places[n]) for n in grants
            ),
            grants=tuple(
                types.SnapshotGrant(
                    id=n,
                    subject=subjects[n],
                    application_id=n,
                    expires_at=types.NEVER,
                    requires=(),
                )
                for n in grants
            ),
            revoked_keys=(),
            conditions=(),
        )
    ]


WIKI: Final = {1: (tcp("10.1.0.0/24", 443),), 2: (tcp("10.2.0.0/24", 22),)}


def told(found: Effect) -> list[tuple[str, int, tuple[str, ...], int]]:
    return [
        (row.kind.value, row.application_id, row.destinations, len(row.people))
        for row in found.rows
    ]


def test_the_same_policy_has_no_effect() -> None:
    held = snapshot({1: (1, 2)}, WIKI)
    found = effect(held, held, owners=OWNERS)
    assert found.rows == ()
    assert (found.losers, found.holders) == (frozenset(), frozenset({101, 102}))


def test_the_largest_change_is_first() -> None:
    before = snapshot({1: (1, 2, 3), 2: (4,)}, WIKI)
    after = snapshot({1: (), 2: (1, 2)}, WIKI)
    found = effect(before, after, owners=OWNERS)
    assert told(found) == [
        ("loses", 1, ("10.1.0.0/24 tcp/443",), 3),
        ("gains", 2, ("10.2.0.0/24 tcp/22",), 2),
        ("loses", 2, ("10.2.0.0/24 tcp/22",), 1),
    ]
    assert found.losers == {101, 102, 103, 104}


def test_the_same_address_by_another_application_is_no_change() -> None:
    places = {1: WIKI[1], 2: (tcp("10.1.0.0/16", 1, 1000),)}
    before, after = snapshot({1: (1,)}, places), snapshot({2: (1,)}, places)
    found = effect(before, after, owners=OWNERS)
    assert told(found) == [("gains", 2, ("part of 10.1.0.0/16 tcp/1-1000",), 1)]
    assert not found.losers


def test_two_halves_cover_a_whole() -> None:
    halves = (tcp("10.1.0.0/25", 443), tcp("10.1.0.128/25", 443))
    before = snapshot({1: (1,)}, WIKI)
    after = snapshot({1: (1,)}, {1: halves})
    assert effect(before, after, owners=OWNERS).rows == ()


def test_one_port_less_is_a_loss_of_a_part() -> None:
    before = snapshot({1: (1,)}, {1: (tcp("10.1.0.1", 1, 10),)})
    after = snapshot({1: (1,)}, {1: (tcp("10.1.0.1", 1, 4), tcp("10.1.0.1", 6, 10))})
    found = effect(before, after, owners=OWNERS)
    assert told(found) == [("loses", 1, ("part of 10.1.0.1/32 tcp/1-10",), 1)]


def test_any_protocol_covers_tcp_and_not_the_reverse() -> None:
    every = types.Destination(
        prefix=types.network("10.1.0.0/24"), protocol=Protocol.ANY, ports=None
    )
    narrow, wide = snapshot({1: (1,)}, WIKI), snapshot({1: (1,)}, {1: (every,)})
    assert not effect(narrow, wide, owners=OWNERS).losers
    assert effect(wide, narrow, owners=OWNERS).losers == {101}


def test_a_second_device_is_the_same_person() -> None:
    owners = {1: 101, 2: 101}
    before, after = snapshot({1: (1, 2)}, WIKI), snapshot({1: (2,)}, WIKI)
    assert effect(before, after, owners=owners).rows == ()


@pytest.mark.parametrize(
    ("percent", "exceeds"), [(19, True), (20, False), (21, False), (0, True)]
)
def test_the_brake_is_on_above_its_share(percent: int, *, exceeds: bool) -> None:
    before = snapshot({1: (1, 2, 3, 4, 5)}, WIKI)
    after = snapshot({1: (1, 2, 3, 4)}, WIKI)
    assert effect(before, after, owners=OWNERS).exceeds(percent) is exceeds


def test_no_loss_never_brakes() -> None:
    gained = effect([], snapshot({1: (1,)}, WIKI), owners=OWNERS)
    assert not gained.exceeds(0)


def test_what_no_device_of_somebody_holds_is_not_reached() -> None:
    approved = ApprovedDevice()

    def demanding(*held: int) -> list[types.Snapshot]:
        (plain,) = snapshot({1: (1, 2), 2: (1, 2)}, WIKI)
        holders = tuple(types.Holder(device_id=n, expires_at=types.NEVER) for n in held)
        return [
            replace(
                plain,
                grants=(
                    plain.grants[0],
                    replace(plain.grants[1], requires=(approved,)),
                ),
                conditions=(types.Holders(requirement=approved, holders=holders),),
            )
        ]

    # Devices 1 and 2 are of people 1 and 2; both are granted application 1 as well.
    owners = {1: 1, 2: 2}
    lost = effect(demanding(1, 2), demanding(1), owners=owners)
    assert [(row.application_id, row.people) for row in lost.rows] == [(2, (2,))]
    assert lost.losers == {2}


@pytest.mark.parametrize("seed", range(60))
def test_what_is_looked_up_is_what_a_full_comparison_says(seed: int) -> None:
    random = Random(seed)  # noqa: S311 -- examples, not secrets

    def places() -> dict[int, tuple[types.Destination, ...]]:
        return {number: tuple(sorted(some(), key=by_order)) for number in range(1, 6)}

    def some() -> set[types.Destination]:
        return {somewhere(random) for _ in range(random.randint(1, 4))}

    was, is_now = places(), places()
    is_now = {n: was[n] if random.random() < 0.5 else is_now[n] for n in is_now}
    old, new = (random.sample(range(1, 6), 3) for _ in range(2))
    before = snapshot(dict.fromkeys(old, (1,)), was)
    after = snapshot(dict.fromkeys(new, (1,)), is_now)
    reached = frozenset(place for n in new for place in is_now[n])
    expected = {
        n: texts
        for n in old
        if (texts := tuple(t for place in was[n] if (t := missing(place, reached))))
    }
    rows = effect(before, after, owners=OWNERS).rows
    lost = {r.application_id: r.destinations for r in rows if r.kind.value == "loses"}
    assert lost == expected


def by_order(place: types.Destination) -> tuple[object, ...]:
    return place.sort_key


def somewhere(random: Random) -> types.Destination:
    """Return one of few places, so that they often overlap."""
    if random.random() < 0.2:
        length = random.choice([64, 96, 128])
        text = f"fd00::{random.randrange(4)}"
    else:
        length = random.choice([8, 24, 30, 32])
        text = f"10.{random.randrange(2)}.0.{random.randrange(4)}"
    prefix = ip_network(f"{text}/{length}", strict=False)
    if random.random() < 0.3:
        return types.Destination(prefix=prefix, protocol=Protocol.ANY, ports=None)
    first = random.randint(1, 6)
    ports = PortRange(first=first, last=first + random.randint(0, 3))
    return types.Destination(prefix=prefix, protocol=Protocol.TCP, ports=ports)


def named(host: str, prefix: str = "10.1.0.0/24") -> types.Destination:
    return replace(tcp(prefix, 443), host=host)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (named("a.example.com"), tcp("10.1.0.0/24", 443), ("10.1.0.0/24 tcp/443",)),
        (tcp("10.1.0.0/24", 443), named("a.example.com"), ()),
        (
            named("a.example.com"),
            named("b.example.com"),
            ("b.example.com in 10.1.0.0/24 tcp/443",),
        ),
        (named("a.example.com"), named("a.example.com", "10.1.0.0/25"), ()),
    ],
    ids=["the prefix is more", "a name is less", "another name", "a narrower bound"],
)
def test_a_name_covers_itself_and_no_prefix(
    before: types.Destination, after: types.Destination, expected: tuple[str, ...]
) -> None:
    found = effect(
        snapshot({1: (1,)}, {1: (before,)}),
        snapshot({1: (1,)}, {1: (after,)}),
        owners=OWNERS,
    )
    gained = [row for row in found.rows if row.kind.value == "gains"]
    assert tuple(text for row in gained for text in row.destinations) == expected

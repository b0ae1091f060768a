"""Which applications share an address with a prefix: as looking at all says."""

from __future__ import annotations

from ipaddress import ip_network
from random import Random

import pytest

from policies.compiler.types import Application, Destination, IPNetwork, Protocol
from policies.prefixes import Prefixes


def somewhere(random: Random) -> IPNetwork:
    """Return one of few prefixes of either family."""
    if random.random() < 0.4:
        length = random.choice([0, 16, 64, 127, 128])
        return ip_network(f"fd00::{random.randrange(4)}/{length}", strict=False)
    length = random.choice([0, 8, 24, 30, 31, 32])
    text = f"10.{random.randrange(2)}.0.{random.randrange(8)}"
    return ip_network(f"{text}/{length}", strict=False)


def at(number: int, prefix: IPNetwork) -> Application:
    place = Destination(prefix=prefix, protocol=Protocol.ANY, ports=None)
    return Application(id=number, destinations=(place,))


@pytest.mark.parametrize("seed", range(100))
def test_what_is_near_is_what_overlaps(seed: int) -> None:
    random = Random(seed)  # noqa: S311 -- examples, not secrets
    places = {number: somewhere(random) for number in range(12)}
    index = Prefixes(at(number, prefix) for number, prefix in places.items())
    for _ in range(5):
        asked = somewhere(random)
        expected = {
            number
            for number, prefix in places.items()
            if prefix.version == asked.version and prefix.overlaps(asked)
        }
        assert index.around(asked) == index.around(asked) == expected

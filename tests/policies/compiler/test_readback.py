"""Rules of reading a listing. Real listings are read in `test_kernel`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from policies.compiler.errors import SnapshotFormatError
from policies.compiler.readback import ruleset_from_nft
from policies.compiler.tables import Element, Ruleset
from policies.compiler.types import NEVER
from tests.policies.compiler.build import NOW


def read(*objects: object) -> Ruleset:
    return ruleset_from_nft({"nftables": [*objects]}, interface="wg0", now=NOW)


def elements(*entries: object, kind: str = "set", data: str = "mark") -> list[Element]:
    listed = {"name": "s", "type": "ipv4_addr", "map": data, "elem": [*entries]}
    return list(read({kind: listed}).sets[0].elements)


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("FD00:0::1", "fd00::1"),
        ("icmp", "1"),
        ("ipv6-icmp", "58"),
        ("wg0", "wg0"),
        (7, "7"),
        ({"prefix": {"addr": "10.0.0.0", "len": 22}}, "10.0.0.0-10.0.3.255"),
        ({"prefix": {"addr": "fd00::", "len": 127}}, "fd00::-fd00::1"),
        ({"prefix": {"addr": "10.0.0.1", "len": 32}}, "10.0.0.1"),
        ({"range": ["10.0.0.1", "10.0.0.3"]}, "10.0.0.1-10.0.0.3"),
        ({"concat": ["10.0.0.1", "tcp", {"range": [80, 90]}]}, "10.0.0.1 . 6 . 80-90"),
        ({"elem": {"val": "10.0.0.1"}}, "10.0.0.1"),
        ({"strange": 1}, '{"strange": 1}'),
    ],
)
def test_a_key_has_one_spelling(entry: object, key: str) -> None:
    assert elements(entry) == [Element(key, "", NEVER)]


def test_what_is_left_of_a_time_counts_from_the_listing() -> None:
    timed = {"elem": {"val": "10.0.0.1", "timeout": 60, "expires": 59}}
    assert elements(timed) == [Element("10.0.0.1", "", NOW + timedelta(seconds=59))]


def test_an_absurd_time_is_cut() -> None:
    (element,) = elements({"elem": {"val": "10.0.0.1", "expires": 10**15}})
    assert element.expires_at < NEVER


def test_marks_and_verdicts_are_data() -> None:
    assert elements(["10.0.0.1", 7], kind="map") == [Element("10.0.0.1", "7", NEVER)]
    verdict = ["10.0.0.1", {"goto": {"target": "app_1"}}]
    assert elements(verdict, kind="map") == [Element("10.0.0.1", "goto app_1", NEVER)]
    accept = ["10.0.0.1", {"accept": None}]
    assert elements(accept, kind="map") == [Element("10.0.0.1", "accept", NEVER)]


def test_the_lease_is_not_part_of_a_ruleset() -> None:
    live = {"name": "live", "type": "ifname", "flags": "timeout", "elem": ["wg0"]}
    (named,) = read({"set": live}).sets
    assert (named.elements, named.flags) == ((), ("timeout",))


def test_types_and_flags_may_be_one_word_or_several() -> None:
    listed = {"name": "m", "type": ["ipv4_addr", "mark"], "map": ["mark"], "flags": []}
    (named,) = read({"map": listed}).sets
    assert named.declaration == "type ipv4_addr . mark : mark;"
    strange = read({"set": {"name": "m", "type": {"typeof": 1}}})
    assert strange.sets[0].key_type == '{"typeof": 1}'


def test_a_foreign_object_is_listed_as_such() -> None:
    assert read({"counter": {"name": "mine"}}).foreign == (("counter", "mine"),)


def test_rules_keep_their_place_in_their_chain() -> None:
    table = read(
        {"metainfo": {"version": "1.0.6"}},
        {"table": {"name": "peerage_wg0"}},
        {"chain": {"name": "a"}},
        {"rule": {"chain": "a", "expr": [{"accept": None}]}},
        {"rule": {"chain": "a", "expr": [{"drop": None}]}},
    )
    assert table.chains[0].rules == ("accept", "drop")


def test_the_bare_list_of_a_listing_will_do() -> None:
    bare = ruleset_from_nft([{"chain": {"name": "a"}}], interface="wg0", now=NOW)
    assert bare == read({"chain": {"name": "a"}})


@pytest.mark.parametrize(
    "listing",
    [
        None,
        {},
        "nftables",
        {"nftables": {}},
        {"nftables": [1]},
        {"nftables": [{"set": {"name": "a"}, "map": {}}]},
        {"nftables": [{"set": []}]},
        {"nftables": [{"chain": {}}]},
        {"nftables": [{"map": {"name": "m", "type": "mark", "elem": [[1]]}}]},
        {"nftables": [{"rule": {"chain": "a"}}]},
    ],
    ids=repr,
)
def test_what_is_no_listing_is_refused(listing: object) -> None:
    with pytest.raises(SnapshotFormatError):
        ruleset_from_nft(listing, interface="wg0", now=NOW)

"""Rules of snapshot and lease bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from policies.compiler.canonical import canonical_json, canonical_object
from policies.compiler.errors import SnapshotFormatError
from policies.compiler.snapshot import (
    digest,
    lease_bytes,
    parse_lease,
    parse_snapshot,
    renumbered,
    snapshot_bytes,
    snapshot_members,
)
from policies.compiler.types import Facts, Lease
from tests.policies.compiler.build import NOW, key, snapshot
from tests.policies.compiler.examples import (
    company,
    company_with_names,
    hospital,
    office,
)

Change = Callable[[MutableMapping[str, Any]], object]

LEASE = Lease(
    deployment="peerage",
    audience="gw_1",
    epoch=1,
    generation=7,
    digest="0" * 64,
    issued=NOW,
    not_after=NOW + timedelta(minutes=15),
)


@pytest.mark.parametrize("policy", [company, office, hospital])
def test_a_snapshot_comes_back_as_it_was_written(policy: Callable[[], Facts]) -> None:
    written = snapshot(policy())
    assert parse_snapshot(snapshot_bytes(written)) == written


def test_a_host_name_comes_back_and_stands_only_where_there_is_one() -> None:
    written = snapshot(company_with_names())
    data = snapshot_bytes(written)
    assert parse_snapshot(data) == written
    assert data.count(b'"host":"') == 4
    assert b'"host"' not in snapshot_bytes(snapshot(company()))


@pytest.mark.parametrize("host", ["", "DB.example.com", "*.example.com", 5, None])
def test_a_host_that_is_no_exact_name_is_refused(host: object) -> None:
    document = json.loads(snapshot_bytes(snapshot(company())))
    document["applications"][0]["destinations"][0]["host"] = host
    with pytest.raises(SnapshotFormatError):
        parse_snapshot(canonical_json(document))


def test_terms_of_their_own_make_a_second_version_and_nothing_else_does() -> None:
    assert b'"version":1' in snapshot_bytes(snapshot(company()))
    data = snapshot_bytes(snapshot(hospital()))
    assert b'"version":2' in data
    # The records have ordinary terms, and do not say so.
    assert data.count(b'"evidence":') == data.count(b'"max_staleness":') == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(version=1),
        lambda document: document.update(version=3),
        lambda document: document["applications"][0].pop("max_staleness"),
        lambda document: document["applications"][0].pop("evidence"),
        lambda document: document["applications"][0].update(evidence="none"),
        lambda document: document["applications"][0].update(max_staleness=59),
        lambda document: document["applications"][0].update(max_staleness="60"),
        # Ordinary terms have one spelling: none.
        lambda document: document["applications"][0].update(evidence="strict"),
    ],
)
def test_terms_that_nobody_writes_are_refused(change: Change) -> None:
    document = json.loads(snapshot_bytes(snapshot(hospital())))
    change(document)
    with pytest.raises(SnapshotFormatError):
        parse_snapshot(canonical_json(document))


def test_order_inside_a_snapshot_never_matters() -> None:
    written = snapshot(company())
    turned = replace(
        written,
        pools=written.pools[::-1],
        peers=tuple(
            replace(peer, addresses=peer.addresses[::-1])
            for peer in written.peers[::-1]
        ),
        subjects=tuple(
            replace(m, device_ids=m.device_ids[::-1]) for m in written.subjects[::-1]
        ),
        applications=tuple(
            replace(a, destinations=a.destinations[::-1])
            for a in written.applications[::-1]
        ),
        grants=written.grants[::-1],
    )
    assert snapshot_bytes(turned) == snapshot_bytes(written)


CHANGES: dict[str, Change] = {
    "unknown key": lambda s: s.update(extra=1),
    "missing key": lambda s: s.pop("revoked"),
    "another version": lambda s: s.update(version=2),
    "generation 0": lambda s: s.update(generation=0),
    "generation 2**53": lambda s: s.update(generation=2**53),
    "no deployment": lambda s: s.update(deployment=""),
    "deployment with a newline": lambda s: s.update(deployment="a\nb"),
    "audience is no gateway": lambda s: s.update(audience="dv_1"),
    "port 0": lambda s: s.update(listen_port=0),
    "port 65536": lambda s: s.update(listen_port=65536),
    "issued without zone": lambda s: s.update(issued="2026-11-23T12:00:00.000000"),
    "missing peer expiry": lambda s: s["peers"][0].pop("expires"),
    "null peer expiry": lambda s: s["peers"][0].update(expires=None),
    "misspelt peer expiry": lambda s: s["peers"][0].update(expires="Never"),
    "missing grant expiry": lambda s: s["grants"][0].pop("expires"),
    "peer without address": lambda s: s["peers"][0].update(addresses=[]),
    "address outside pools": lambda s: s["peers"][0].update(addresses=["10.0.0.1"]),
    "address is a prefix": lambda s: s["peers"][0].update(addresses=["100.64.0.1/32"]),
    "address of another": lambda s: s["peers"][0].update(
        addresses=s["peers"][1]["addresses"]
    ),
    "key of another": lambda s: s["peers"][0].update(key=s["peers"][1]["key"]),
    "short key": lambda s: s["peers"][0].update(key="AAAA"),
    "key not canonical": lambda s: s["peers"][0].update(key="A" * 42 + "B="),
    "key not base64": lambda s: s["peers"][0].update(key="ä" * 44),
    "keys cut elsewhere": lambda s: (
        s["peers"][0].update(key=s["peers"][0]["key"][:-1]),
        s["peers"][1].update(key="=" + s["peers"][1]["key"]),
    ),
    "revoked key is a peer": lambda s: s.update(revoked=[s["peers"][0]["key"]]),
    "revoked key malformed": lambda s: s.update(revoked=["x"]),
    "device id 2**32": lambda s: s["peers"][-1].update(device=2**32),
    "device twice": lambda s: s["peers"][1].update(device=1),
    "member unknown": lambda s: s["subjects"][0].update(members=[77]),
    "member twice": lambda s: s["subjects"][0].update(members=[1, 1]),
    "subject malformed": lambda s: s["subjects"][0].update(subject="xx_1"),
    "subject id 0": lambda s: s["subjects"][0].update(subject="us_0"),
    "subject twice": lambda s: s["subjects"].append(s["subjects"][0]),
    "grant of unknown subject": lambda s: s["grants"][0].update(subject="us_77"),
    "grant of unknown application": lambda s: s["grants"][0].update(application=77),
    "grant twice": lambda s: s["grants"].append(s["grants"][0]),
    "application twice": lambda s: s["applications"].append(s["applications"][0]),
    "unknown protocol": lambda s: s["applications"][0]["destinations"][0].update(
        protocol="sctp"
    ),
    "host bits": lambda s: s["applications"][0]["destinations"][0].update(
        prefix="10.20.0.1/22"
    ),
    "one port": lambda s: s["applications"][0]["destinations"][1].update(ports=[80]),
    "no ports": lambda s: s["applications"][0]["destinations"][1].update(ports=None),
    "overlapping pools": lambda s: s.update(pools=["100.64.0.0/10", *s["pools"]]),
    "unsorted peers": lambda s: s["peers"].reverse(),
    "unsorted pools": lambda s: s["pools"].reverse(),
    "a list for an object": lambda s: s.update(peers=[[]]),
    "an object for a list": lambda s: s.update(peers={}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_snapshot_that_says_something_wrong_is_refused(change: Change) -> None:
    said = json.loads(snapshot_bytes(snapshot(company())))
    change(said)
    with pytest.raises(SnapshotFormatError):
        parse_snapshot(canonical_json(said))


DEMANDS: dict[str, Change] = {
    "no requirements": lambda s: s["grants"][1].pop("requires"),
    "an unknown requirement": lambda s: s["grants"][1]["requires"].append(["moon"]),
    "an age of nothing": lambda s: s["grants"][1].update(requires=[["age", 0]]),
    "an age and more": lambda s: s["grants"][1].update(requires=[["age", 60, 1]]),
    "no requirement at all": lambda s: s["grants"][1].update(requires=[[]]),
    "a strength of nothing": lambda s: s["grants"][1].update(
        requires=[["strength", [], []]]
    ),
    "unsorted requirements": lambda s: s["grants"][1]["requires"].reverse(),
    "a requirement nobody lists": lambda s: s["conditions"].pop(),
    "a requirement nobody makes": lambda s: s["conditions"].append(
        {"requires": ["age", 60], "holders": []}
    ),
    "unsorted conditions": lambda s: s["conditions"].reverse(),
    "no conditions": lambda s: s.pop("conditions"),
    "an unknown holder": lambda s: s["conditions"][0]["holders"].append([77, "never"]),
    "a holder twice": lambda s: s["conditions"][1]["holders"].append([1, "never"]),
    "a holder without an end": lambda s: s["conditions"][0].update(holders=[[1]]),
    "unsorted holders": lambda s: s["conditions"][0]["holders"].reverse(),
}


@pytest.mark.parametrize("change", DEMANDS.values(), ids=DEMANDS.keys())
def test_a_condition_that_is_not_understood_is_refused(change: Change) -> None:
    said = json.loads(snapshot_bytes(snapshot(office())))
    change(said)
    with pytest.raises(SnapshotFormatError):
        parse_snapshot(canonical_json(said))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data + b"\n",
        lambda data: data.replace(b'"epoch":1', b'"epoch": 1'),
        lambda data: data.replace(b"peerage", b"p\\u0065erage"),
        lambda data: data.replace(b'"epoch":1', b'"epoch":1,"epoch":1'),
        lambda data: data.replace(b'"epoch":1', b'"epoch":1.0'),
        lambda data: data.replace(b"fd5e:e4a6:e000::1", b"fd5e:e4a6:e000:0::1"),
        lambda data: data.replace(b"fd5e:e4a6:e000::1", b"FD5E:e4a6:e000::1"),
    ],
    ids=range(7),
)
def test_a_second_spelling_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    data = snapshot_bytes(snapshot(company()))
    assert spoil(data) != data
    with pytest.raises(SnapshotFormatError):
        parse_snapshot(spoil(data))


def test_a_lease_comes_back_as_it_was_written() -> None:
    assert parse_lease(lease_bytes(LEASE)) == LEASE


@pytest.mark.parametrize(
    "change",
    [
        lambda lease: lease.pop("not_after"),
        lambda lease: lease.update(not_after="never"),
        lambda lease: lease.update(digest="F" * 64),
        lambda lease: lease.update(version=True),
        lambda lease: lease.update(epoch=-1),
    ],
    ids=range(5),
)
def test_a_lease_that_says_something_wrong_is_refused(change: Change) -> None:
    said = json.loads(lease_bytes(LEASE))
    change(said)
    with pytest.raises(SnapshotFormatError):
        parse_lease(canonical_json(said))


def test_a_second_spelling_of_a_lease_is_refused() -> None:
    with pytest.raises(SnapshotFormatError, match="canonical"):
        parse_lease(lease_bytes(LEASE) + b" ")


def test_a_digest_is_sha256() -> None:
    assert digest(b"abc").startswith("ba7816bf8f01cfea")


def test_a_key_in_the_example_is_well_formed() -> None:
    assert len(key(1)) == 44


def test_another_number_and_date_are_all_that_differs() -> None:
    later = NOW + timedelta(hours=1)
    first, second = snapshot(company()), snapshot(company(), generation=2)
    members = renumbered(snapshot_members(first), generation=2, issued=later)
    assert canonical_object(members) == snapshot_bytes(replace(second, issued=later))

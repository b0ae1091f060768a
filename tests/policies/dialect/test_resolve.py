"""Rules of resolution: who is meant, where, when, and which gateway enforces it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from policies.compiler.ranges import FAMILIES, address_of
from policies.dialect.addresses import EVERYTHING, AddressSet, of_addresses
from policies.dialect.directory import Directory, Site
from policies.dialect.document import PolicyDocument
from policies.dialect.errors import UnknownNameError
from policies.dialect.meaning import meaning
from policies.dialect.reader import Options
from policies.dialect.resolve import for_site, resolve, unknown_people
from tests.policies.dialect.makers import COMPANY, NOW, acl, grant, policy

OPTIONS = Options(groups={"group:idp"}, egress=True)
ONE, TWO = COMPANY.sites
ANYWHERE = [str(ip_address(0)), "::"]


def sources(src: object, **more: object) -> list[str]:
    """The addresses that a rule from `src` lets through."""
    (found, *_) = resolve(
        policy(OPTIONS, grants=[grant(src, "gitlab")], **more), COMPANY, at=NOW
    )
    return names(found.sources)


def names(found: AddressSet) -> list[str]:
    return [
        str(address_of(family, first))
        for family in FAMILIES
        for first, _ in found.of(family)
    ]


def reached(dst: object, **more: object) -> set[str]:
    """The first addresses that `dst` leads to."""
    document = policy(OPTIONS, grants=[grant("*", dst)], **more)
    return {
        str(address_of(reach.family, reach.addresses[0]))
        for found in resolve(document, COMPANY, at=NOW)
        for reach in found.reaches
    }


@pytest.mark.parametrize(
    ("src", "expected"),
    [
        ("ana@example.com", ["100.64.0.1", "fd7a::1"]),
        ("group:eng", ["100.64.0.1", "fd7a::1"]),
        ("group:idp", ["100.64.0.3"]),
        ("user:*@vendor.example", ["100.64.0.3"]),
        ("tag:ci", ["100.64.0.9"]),
        ("autogroup:tagged", ["100.64.0.9"]),
        ("autogroup:member", ["100.64.0.1", "fd7a::1"]),
        ("autogroup:admin", ["100.64.0.1", "fd7a::1"]),
        ("autogroup:danger-all", ANYWHERE),
        ("10.0.0.7", ["10.0.0.7"]),
        ("gitlab", ["10.10.0.5"]),
        ("*", ["10.10.0.0", "10.20.0.0", "100.64.0.0", "fd10::", "fd7a::"]),
    ],
)
def test_sources_are_the_addresses_of_who_is_named(
    src: str, expected: list[str]
) -> None:
    assert sources(src) == expected


@pytest.mark.parametrize(
    "src", ["group:none", "nobody@example.com", "autogroup:auditor", "tag:gw", []]
)
def test_a_rule_from_nobody_vanishes(src: object) -> None:
    document = policy(grants=[grant(src, "gitlab")])
    assert resolve(document, COMPANY, at=NOW) == ()


def test_a_tagged_machine_is_nobodys() -> None:
    assert "100.64.0.9" not in sources("ana@example.com")


@pytest.mark.parametrize(
    ("dst", "expected"),
    [
        ("gitlab", {"10.10.0.5"}),
        (["lab", "six"], {"10.20.0.0", "fd10::5"}),
        ("tag:gw", {"10.30.0.0"}),
        ("tag:ci", {"100.64.0.9"}),
        ("*", set(ANYWHERE)),
        ("10.1.0.0/16", {"10.1.0.0"}),
    ],
)
def test_destinations_are_addresses(dst: object, expected: set[str]) -> None:
    assert reached(dst) == expected


def test_the_internet_is_everything_but_the_tunnel() -> None:
    found = resolve(
        policy(OPTIONS, grants=[grant("*", "autogroup:internet")]), COMPANY, at=NOW
    )
    spans = [reach.addresses for reach in found[0].reaches if reach.family == 4]
    assert all(not a <= int(ip_address("100.64.0.1")) <= b for a, b in spans)


def test_address_sets_add_and_remove_in_order() -> None:
    ipsets = {
        "ipset:all": ["add ipset:base", "remove gitlab", "fd00::1"],
        "ipset:base": ["10.10.0.4/31"],
    }
    assert reached("ipset:all", ipsets=ipsets) == {"10.10.0.4", "fd00::1"}


def test_an_empty_address_set_inside_another_adds_nothing() -> None:
    ipsets = {"ipset:a": ["ipset:none", "10.0.0.1"], "ipset:none": []}
    assert reached("ipset:a", ipsets=ipsets) == {"10.0.0.1"}


@pytest.mark.parametrize(
    ("dst", "site", "is_there"),
    [
        ("gitlab", ONE, True),
        ("gitlab", TWO, False),
        ("10.0.0.0/8", ONE, True),
        ("10.0.0.0/8", TWO, True),
        ("100.64.0.100", ONE, True),
        ("8.8.8.8", ONE, False),
        ("six", TWO, True),
        ("six", ONE, False),
        ("*", TWO, True),
    ],
)
def test_a_gateway_gets_what_touches_its_routes(
    dst: str, site: Site, *, is_there: bool
) -> None:
    document = policy(grants=[grant("*", dst)])
    mine = for_site(resolve(document, COMPANY, at=NOW), site)
    assert bool(mine) == is_there


def test_via_chooses_gateways_by_tag() -> None:
    document = policy(grants=[grant("*", "10.0.0.0/8", via=["tag:gw"])])
    resolved = resolve(document, COMPANY, at=NOW)
    assert for_site(resolved, ONE)
    assert not for_site(resolved, TWO)


def test_rules_keep_their_identity() -> None:
    document = policy(
        acls=[acl("*", "gitlab:22")], grants=[grant("*", "lab", id="lab-all")]
    )
    resolved = resolve(document, COMPANY, at=NOW)
    assert [found.rule.name for found in resolved] == ["acls[0]", "lab-all"]


def live(document: PolicyDocument, moment: str) -> bool:
    at = datetime.fromisoformat(moment).astimezone(UTC)
    return bool(resolve(document, COMPANY, at=at))


def test_a_rule_holds_from_its_beginning_up_to_its_end() -> None:
    document = policy(
        grants=[
            grant(
                "*",
                "gitlab",
                notBefore="2026-01-01T00:00:00Z",
                expires="2026-02-01T00:00:00Z",
            )
        ]
    )
    moments = ("2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    assert [live(document, moment) for moment in moments] == [False, True, False]


def test_a_rule_holds_in_its_hours_only() -> None:
    hours = {
        "timeZone": "Europe/Berlin",
        "windows": [{"days": ["mon"], "from": "08:00", "until": "18:00"}],
    }
    document = policy(grants=[grant("*", "gitlab", schedule=hours)])
    assert live(document, "2026-06-01T06:00:00Z")
    assert not live(document, "2026-06-01T16:00:00Z")
    with pytest.raises(UnknownNameError):
        resolve(document, replace(COMPANY, zones={}), at=NOW)


LINUX = {"posture:linux": ["node:os == 'linux'"]}


def test_postures_keep_out_devices_that_do_not_hold_them() -> None:
    found = sources("*", postures=LINUX, defaultSrcPosture=["posture:linux"])
    assert found == ["100.64.0.1", "fd7a::1"]


def test_supposed_attributes_replace_those_of_the_devices() -> None:
    entry = grant("bob@example.com", "gitlab", srcPosture=["posture:linux"])
    document = policy(grants=[entry], postures=LINUX)
    assert resolve(document, COMPANY, at=NOW) == ()
    supposed = {"node:os": "linux"}
    assert resolve(document, COMPANY, at=NOW, supposed=supposed)


def test_order_never_matters() -> None:
    entries = [grant("*", "gitlab", "22"), grant("group:eng", "lab", "tcp:1-9")]
    one, other = (
        meaning(resolve(policy(grants=grants), COMPANY, at=NOW))
        for grants in (entries, entries[::-1])
    )
    assert one == other


def test_the_same_packets_have_the_same_meaning() -> None:
    split = [grant("*", "lab", ["tcp:1-9", "tcp:10-20"]), grant("*", "lab", "tcp:5")]
    halves = [grant("*", ["10.20.0.0/17", "10.20.128.0/17"], "tcp:1-20")]
    assert meaning(resolve(policy(grants=split), COMPANY, at=NOW)) == meaning(
        resolve(policy(grants=halves), COMPANY, at=NOW)
    )


def test_people_whom_nobody_knows_are_listed() -> None:
    document = policy(
        groups={"group:eng": ["bob@example.com", "typo@example.com"]},
        grants=[grant(["group:eng", "other@example.com"], "gitlab")],
    )
    unknown = unknown_people(document, COMPANY)
    assert unknown == ("other@example.com", "typo@example.com")


def test_an_empty_directory_resolves_to_nothing() -> None:
    document = policy(grants=[grant(["*", "group:eng"], ["tag:ci"])])
    assert resolve(document, Directory(), at=NOW) == ()


def test_address_sets_subtract_and_intersect() -> None:
    own = of_addresses([ip_address("10.0.0.1"), ip_address("fd00::1")])
    assert (EVERYTHING - own) & own == AddressSet()
    assert EVERYTHING & own == own
    assert [str(n) for n in own.networks()] == ["10.0.0.1/32", "fd00::1/128"]

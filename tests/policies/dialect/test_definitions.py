"""Rules of the bridge: a file makes groups, applications and grants."""

from __future__ import annotations

import pytest

from policies.compiler.conditions import ApprovedDevice
from policies.compiler.types import (
    Destination,
    PortRange,
    Protocol,
    SubjectKind,
    network,
)
from policies.dialect.definitions import PolicyDefinition, define
from policies.dialect.errors import UnsupportedError
from tests.policies.dialect.makers import COMPANY, acl, grant, policy


def defined(*grants: object, **sections: object) -> PolicyDefinition:
    return define(policy(grants=list(grants), **sections), COMPANY)


def applications(found: PolicyDefinition) -> dict[str, list[str]]:
    return {
        application.name: [text(d) for d in application.destinations]
        for application in found.applications
    }


def text(destination: Destination) -> str:
    ports = destination.ports
    span = f" {ports.first}-{ports.last}" if ports else ""
    return f"{destination.prefix} {destination.protocol}{span}"


def pairs(found: PolicyDefinition) -> list[tuple[str, str, str]]:
    return [(g.name, g.subject, g.application) for g in found.grants]


def test_a_rule_makes_an_application_and_a_grant() -> None:
    found = defined(grant("group:eng", "gitlab", ["tcp:443", "icmp:*"], id="gt_9"))
    assert applications(found) == {
        "gitlab": ["10.10.0.5/32 icmp", "10.10.0.5/32 tcp 443-443"]
    }
    (made,) = found.grants
    assert (made.name, made.kind, made.subject) == (
        "gt_9",
        SubjectKind.GROUP,
        "group:eng",
    )
    assert [group.name for group in found.groups] == ["group:eng", "group:none"]


def test_no_protocol_is_the_default_four_and_any_is_said_by_name() -> None:
    found = defined(grant("*", ["gitlab", "six"], "22"), grant("*", "lab", "any:*"))
    assert applications(found) == {
        "gitlab": [
            "10.10.0.5/32 icmp",
            "10.10.0.5/32 tcp 22-22",
            "10.10.0.5/32 udp 22-22",
        ],
        "lab": ["10.20.0.0/16 any"],
        "six": ["fd10::5/128 icmpv6", "fd10::5/128 tcp 22-22", "fd10::5/128 udp 22-22"],
    }


def test_every_subject_and_application_of_a_rule_is_a_grant() -> None:
    found = define(
        policy(acls=[acl(["ana@example.com", "*"], ["gitlab:22", "lab:22"])])
    )
    assert pairs(found) == [
        ("acls[0]/1", "autogroup:member", "gitlab"),
        ("acls[0]/2", "autogroup:member", "lab"),
        ("acls[0]/3", "ana@example.com", "gitlab"),
        ("acls[0]/4", "ana@example.com", "lab"),
    ]


def test_different_services_of_one_alias_are_different_applications() -> None:
    found = defined(
        grant("group:eng", "gitlab", "tcp:443"),
        grant("*", "gitlab", ["tcp:22", "udp:22"]),
        grant("*", "lab", [f"tcp:{port}" for port in range(1, 9)]),
        grant("*", "lab", [f"tcp:{port}" for port in range(2, 9)]),
    )
    assert sorted(applications(found)) == [
        "gitlab.tcp22.udp22",
        "gitlab.tcp443",
        "lab",
        "lab.v2",
    ]


def test_equal_services_are_one_application() -> None:
    found = defined(grant("group:eng", "gitlab", "22"), grant("*", "gitlab", "22"))
    assert [name for _, _, name in pairs(found)] == ["gitlab", "gitlab"]
    assert len(found.applications) == 1


def test_rules_with_one_id_are_one_grant() -> None:
    hosts = {"a.part1": "10.0.0.1", "a.part2": "10.0.0.2"}
    found = defined(
        grant("*", "a.part1", "tcp:1", id="x"),
        grant("*", "a.part2", "udp:2", id="x"),
        hosts=hosts,
    )
    assert applications(found) == {"a": ["10.0.0.1/32 tcp 1-1", "10.0.0.2/32 udp 2-2"]}
    assert pairs(found) == [("x", "autogroup:member", "a")]


def test_literal_prefixes_get_names() -> None:
    found = defined(grant("*", ["10.0.0.0/8", "fd00::1"], "tcp:1"))
    assert sorted(applications(found)) == ["net-10.0.0.0-8", "net-fd00--1"]


def test_tags_are_labels_of_applications() -> None:
    found = defined(grant("tag:ci", "tag:gw", "tcp:1"))
    assert applications(found) == {"gw": ["10.30.0.0/24 tcp 1-1"]}
    assert found.grants[0].subject == "tag:ci"


def test_address_sets_are_applications() -> None:
    ipsets = {"ipset:x": ["10.0.0.0/30", "remove 10.0.0.1"]}
    found = defined(grant("*", "ipset:x", "tcp:1"), ipsets=ipsets)
    assert [d.split()[0] for d in applications(found)["x"]] == [
        "10.0.0.0/32",
        "10.0.0.2/31",
    ]


def test_everything_is_all_applications_with_a_warning() -> None:
    found = defined(grant("group:eng", "*"), grant("*", "gitlab", "22"))
    assert pairs(found)[0] == ("grants[0]", "group:eng", "*")
    assert "every application, also later ones" in found.warnings[0].text


def test_conditions_come_along() -> None:
    linux = {"posture:linux": ["node:os == 'linux'"]}
    entry = grant("*", "gitlab", via=["tag:gw"], requireApproval=True, comment="c")
    found = defined(entry, postures=linux, defaultSrcPosture=["posture:linux"])
    (made,) = found.grants
    assert made.sites == ("tag:gw",)
    assert (made.requires, made.comment) == ((ApprovedDevice(),), "c")
    assert made.postures == ("posture:linux",)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (grant("gitlab", "lab"), "src 'gitlab' is an address, not a person or a group"),
        (grant("10.0.0.1", "lab"), "src '10.0.0.1' is an address"),
        (grant("autogroup:danger-all", "lab"), "src 'autogroup:danger-all' is an addr"),
        (grant("*", "ana@example.com"), "dst 'ana@example.com' is device to device"),
        (grant("*", "group:eng"), "dst 'group:eng' is device to device"),
        (grant("*", "autogroup:member"), "dst 'autogroup:member' is no application"),
        (grant("*", "tag:ci"), "dst 'tag:ci' labels no application"),
        (grant("*", "*", "22"), "dst '\\*' is every application as it is"),
        (grant("*", "*", "tcp:*"), "dst '\\*' is every application as it is"),
        (grant("*", "lab", "gre:*"), "protocol 47 cannot be granted"),
    ],
)
def test_what_does_not_fit_hub_and_spoke_is_refused(entry: object, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        defined(entry)


def test_two_grants_of_one_name_are_refused() -> None:
    several = grant("*", ["gitlab", "lab"], id="a")
    with pytest.raises(UnsupportedError, match='two grants would be called "a/1"'):
        defined(several, grant("*", "six", id="a/1"))


def test_overlapping_prefixes_stay_two_destinations() -> None:
    hosts = {"a": "10.0.0.0/8", "b": "10.20.0.0/16"}
    found = defined(grant("*", ["a", "b"], "tcp:1"), hosts=hosts)
    assert found.applications[0].destinations == (
        Destination(
            prefix=network("10.0.0.0/8"),
            protocol=Protocol.TCP,
            ports=PortRange(first=1, last=1),
        ),
    )

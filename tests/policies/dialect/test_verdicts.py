"""Rules of policy tests."""

from __future__ import annotations

import pytest

from policies.dialect.reader import Options
from policies.dialect.verdicts import failures, run_tests
from tests.policies.dialect.makers import COMPANY, NOW, acl, claim, grant, policy

ANA, BOB = "ana@example.com", "bob@example.com"
RULES = (
    acl("group:eng", "gitlab:22,443", proto="tcp"),
    acl("tag:ci", "lab:*"),
    acl(ANA, "six:53", proto="udp"),
    acl("*", "tag:ci:80"),
)


def failing(entry: object, *more: object, **sections: object) -> list[str]:
    document = policy(
        Options(groups={"group:idp"}), acls=[*RULES, *more], tests=[entry], **sections
    )
    (report,) = run_tests(document, COMPANY, now=NOW)
    return [problem.text for problem in report.problems]


@pytest.mark.parametrize(
    "entry",
    [
        claim(ANA, accept=["gitlab:22", "gitlab:443", "10.10.0.5:22"]),
        claim("group:eng", accept="gitlab:22"),
        claim(ANA, accept="gitlab:22", proto="6"),
        claim(ANA, deny="gitlab:22", proto="udp"),
        claim(ANA, deny=["gitlab:80", "10.10.0.6:22", "10.20.0.1:80"]),
        claim("tag:ci", accept="10.20.0.1:80", deny="gitlab:22"),
        claim("100.64.0.9", accept="10.20.0.1:80"),
        claim(ANA, accept=["[fd10::5]:53", "fd10::5:53", "six:53"], proto="udp"),
        claim("autogroup:admin", accept="gitlab:22"),
        claim("autogroup:tagged", accept="tag:ci:80"),
        claim("group:idp", deny="gitlab:22"),
    ],
)
def test_claims_that_hold_pass(entry: object) -> None:
    assert failing(entry) == []


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (
            claim(BOB, accept="gitlab:80"),
            (
                "accept 'gitlab:80': 100.64.0.2 to 10.10.0.5 port 80 is denied;"
                " nearest rule: acls[0] (line 1)"
            ),
        ),
        (
            claim(BOB, deny="gitlab:22"),
            (
                "deny 'gitlab:22': 100.64.0.2 to 10.10.0.5 port 22 is allowed;"
                " nearest rule: acls[0] (line 1)"
            ),
        ),
        (
            claim("autogroup:member", accept="gitlab:22"),
            (
                "accept 'gitlab:22': 100.64.0.3 to 10.10.0.5 port 22 is denied;"
                " nearest rule: acls[0] (line 1)"
            ),
        ),
        (claim(BOB, deny="[fd10::5]:53"), f"{BOB} and [fd10::5]:53 share no address"),
        (claim(BOB, accept="lab:22"), "'lab:22': a test asks about one host"),
        (claim(BOB, accept="10.0.0.0/8:22"), "'10.0.0.0/8:22': a test asks about one"),
        (claim(BOB, accept="10.0.0.1/32:2"), "'10.0.0.1/32:2': a test asks about one"),
        (claim(BOB, accept="*:22"), "'*:22': a test asks about one host"),
        (claim(BOB, accept=f"{ANA}:22"), f"'{ANA}:22': a test asks about one host"),
        (claim(BOB, accept="autogroup:self:2"), "'autogroup:self:2': a test asks"),
        (claim(BOB, accept="gitlab:22,80"), "'gitlab:22,80': a test asks about one"),
        (claim(BOB, accept="gitlab:22-23"), "'gitlab:22-23': a test asks about one"),
        (claim(BOB, accept="gitlab:*"), "'gitlab:*': a test asks about one port"),
        (claim(BOB, accept="gitlab:ssh"), 'port range "ssh": invalid first integer'),
        (claim(BOB, accept="gitlab"), "dst 'gitlab': ports are missing"),
        (claim(BOB, accept="no:22"), "dst 'no' does not exist"),
        (claim(BOB, accept="tag:no:22"), "dst 'tag:no' does not exist"),
        (claim(BOB, accept="tag:empty:22"), "dst 'tag:empty' has no address"),
        (claim("", accept="gitlab:22"), "a test needs a src"),
        (claim("no@example.com", accept="gitlab:22"), "src 'no@example.com' does not"),
        (claim("group:no", accept="gitlab:22"), "src 'group:no' does not exist"),
        (claim("group:none", deny="gitlab:22"), "src 'group:none' has no address"),
        (claim("*", deny="gitlab:22"), "src '*' is not one user"),
        (claim("autogroup:no", deny="gitlab:22"), "src 'autogroup:no' does not exist"),
        (claim(BOB, deny="gitlab:22", proto="icmp"), "proto 'icmp' has no ports to"),
        (claim(BOB, deny="gitlab:22", proto="no"), "unknown protocol 'no'"),
        (claim(BOB), "a test needs accept or deny"),
    ],
)
def test_claims_that_do_not_hold_say_why(entry: object, text: str) -> None:
    owners: dict[str, list[str]] = {"tag:ci": [], "tag:gw": [], "tag:empty": []}
    (found,) = failing(entry, tagOwners=owners)
    assert found.startswith(text)


def test_every_destination_of_a_tag_must_be_reached() -> None:
    rules = [acl(ANA, "10.30.0.0/25:80")]
    (found,) = failing(claim(ANA, accept="tag:gw:80"), *rules)
    assert "10.30.0.128 port 80 is denied" in found


def test_no_rule_near_is_said() -> None:
    document = policy(tests=[claim(ANA, accept="gitlab:22")])
    (report,) = run_tests(document, COMPANY, now=NOW)
    assert report.problems[0].text.endswith("no rule comes near")


def test_rules_elsewhere_are_not_near() -> None:
    document = policy(
        acls=[acl(BOB, "lab:1", proto="tcp")], tests=[claim(ANA, accept="gitlab:22")]
    )
    (report,) = run_tests(document, COMPANY, now=NOW)
    assert report.problems[0].text.endswith("no rule comes near")


def test_at_asks_about_a_moment() -> None:
    ending = grant(ANA, "lab", expires="2026-07-01T00:00:00Z")
    past, future = "2026-06-30T23:59:59Z", "2026-07-01T00:00:00Z"
    for at, key in ((past, "accept"), (future, "deny")):
        entry = claim(ANA, at=at, **{key: "10.20.0.1:22"})
        assert failing(entry, grants=[ending]) == []


def test_attributes_are_supposed() -> None:
    sections = {
        "postures": {"posture:linux": ["node:os == 'linux'"]},
        "grants": [grant(BOB, "lab", srcPosture=["posture:linux"])],
    }
    linux = claim(BOB, accept="10.20.0.1:9", srcPostureAttrs={"node:os": "linux"})
    other = claim(BOB, deny="10.20.0.1:9", srcPostureAttrs={"node:os": "windows"})
    unknown = claim(ANA, deny="10.20.0.1:9")
    for entry in (linux, other, unknown):
        assert failing(entry, **sections) == []


def test_failures_are_gathered_by_source() -> None:
    tests = [claim(BOB, accept=["gitlab:1"]), claim(ANA, deny="gitlab:1")]
    document = policy(acls=list(RULES), tests=[*tests, tests[0]])
    found = failures(run_tests(document, COMPANY, now=NOW))
    assert {name: len(texts) for name, texts in found.items()} == {BOB: 2}
    assert found[BOB][0].startswith("line 1, column ")

"""Refused inputs of the dialect, in the words of the reference service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from policies.dialect.errors import PolicyError, UnsupportedError
from policies.dialect.reader import Options
from policies.dialect.validation import check_dates
from tests.policies.dialect.makers import (
    NOW,
    acl,
    claim,
    grant,
    policy,
    refusal,
    source,
    why,
)

SELF = "autogroup:self can only be used with users, groups, or supported autogroups"
ALL = 'to allow all IP addresses, use "*" or "autogroup:internet"'


@pytest.mark.parametrize(
    ("src", "dst", "reason"),
    [
        ("tag:no", "gitlab", 'src=tag not found: "tag:no"'),
        ("*", "tag:no", 'dst=tag not found: "tag:no"'),
        ("group:no", "gitlab", 'src=group not found: "group:no"'),
        ("no", "gitlab", 'src=host not found: "no"'),
        ("*", "no", 'dst=host not found: "no"'),
        ("ipset:no", "gitlab", 'src=ipset not found: "ipset:no"'),
        ("autogroup:no", "gitlab", 'src=autogroup not found: "autogroup:no"'),
        ("autogroup:self", "gitlab", '"autogroup:self" not valid on the src side of a'),
        ("autogroup:internet", "gitlab", '"autogroup:internet" not valid on the src'),
        ("*", "0.0.0.0/0", f'dst "0.0.0.0/0": {ALL}'),
        ("*", "::/0", f'dst "::/0": {ALL}'),
        ("*", "autogroup:danger-all", "cannot use autogroup:danger-all as a dst"),
        ("*", "autogroup:self", SELF),
        ("tag:ci", "autogroup:self", SELF),
        ("10.0.0.1", "autogroup:self", SELF),
        (["ana@example.com", "tag:ci"], "autogroup:self", SELF),
    ],
)
def test_refused_names(src: object, dst: object, reason: str) -> None:
    assert why({"grants": [grant(src, dst)]}).startswith(reason)


@pytest.mark.parametrize(
    ("ports", "reason"),
    [
        ("0", "first port must be >0, or use '*' for wildcard"),
        ("0-65535", "first port must be >0, or use '*' for wildcard"),
        ("ssh", "invalid first integer"),
        ("65536", "invalid first integer"),
        ("-1", "invalid first integer"),
        ("1-", "invalid last integer"),
        ("1-x", "invalid last integer"),
        ("2-1", "last port must be >= first port"),
    ],
)
def test_refused_ports(ports: str, reason: str) -> None:
    text = f'port range "{ports}": {reason}'
    assert why({"acls": [acl("*", f"gitlab:{ports}")]}) == text
    assert why({"grants": [grant("*", "gitlab", ports)]}) == text


@pytest.mark.parametrize("ports", ["22,ssh", "80,0", "22,", ",22", "80,,443", "22,80-"])
def test_every_part_of_a_list_of_ports_is_checked(ports: str) -> None:
    assert "port range" in why({"acls": [acl("*", f"gitlab:{ports}")]})


def test_a_group_without_members_is_fine_and_allows_nobody() -> None:
    (rule,) = policy(grants=[grant("group:none", "gitlab")]).rules
    assert [source.text for source in rule.sources] == ["group:none"]


@pytest.mark.parametrize("protocol", ["icmp", "tcp", "gre"])
def test_a_bare_protocol_is_refused(protocol: str) -> None:
    reason = why({"grants": [grant("*", "gitlab", protocol)]})
    assert reason == f'port range "{protocol}": invalid first integer'


def test_internet_takes_no_apps() -> None:
    app = {"example.com/cap/x": [1]}
    entry = grant("*", "autogroup:internet", app=app)
    reason = "cannot use app grants with autogroup:internet"
    assert why({"grants": [entry]}, Options(egress=True)) == reason


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"grants": [grant("*", "gitlab", via=["tag:x"])]}, 'via=tag not found: "tag'),
        (
            {"grants": [grant("*", "gitlab", srcPosture=["posture:x"])]},
            'srcPosture=posture not found: "posture:x"',
        ),
        ({"defaultSrcPosture": ["posture:x"]}, "defaultSrcPosture=posture not found"),
        ({"ipsets": {"ipset:a": ["no"]}}, 'ipset:a=host not found: "no"'),
        ({"ipsets": {"ipset:a": ["ipset:a"]}}, '"ipset:a" contains itself'),
        (
            {"ipsets": {"ipset:b": ["ipset:a"], "ipset:a": ["remove ipset:b"]}},
            '"ipset:a" contains itself',
        ),
        ({"tagOwners": {"tag:a": ["tag:b"]}}, 'tagOwners=tag not found: "tag:b"'),
        ({"tagOwners": {"tag:a": ["group:b"]}}, 'tagOwners=group not found: "group:b"'),
    ],
)
def test_refused_references(sections: dict[str, object], reason: str) -> None:
    assert why(sections).startswith(reason)


def test_owners_of_tags_may_be_people() -> None:
    assert policy(tagOwners={"tag:a": ["ana@example.com", "autogroup:admin"]})


def test_every_problem_is_told_with_its_place() -> None:
    text = source(grants=[grant("tag:a", "gitlab"), grant("tag:b", "gitlab")])
    error = refusal(text)
    assert [p.position.column for p in error.problems] == [
        text.index('"tag:a"') + 1,
        text.index('"tag:b"') + 1,
    ]


def test_self_of_everybody_is_good_in_acls_and_not_enforced() -> None:
    with pytest.raises(UnsupportedError, match="device to device"):
        policy(acls=[acl("*", "autogroup:self:*")])


def test_apps_alone_are_not_enforced() -> None:
    entry = {"src": ["*"], "dst": ["gitlab"], "app": {"example.com/cap/x": [{}]}}
    with pytest.raises(UnsupportedError, match="app capabilities"):
        policy(grants=[entry])


def test_parts_of_one_grant_share_all_but_destinations() -> None:
    one, other = grant("*", "gitlab", id="a"), grant("*", "lab", "22", id="a")
    assert len(policy(grants=[one, other]).rules) == 2
    reason = why({"grants": [one, {**other, "src": ["group:eng"]}]})
    assert reason == 'the id "a" stands for two different grants'


def test_an_id_is_not_the_place_of_another_rule() -> None:
    entries = [grant("*", "gitlab"), grant("*", "lab", id="grants[0]")]
    reason = why({"grants": entries})
    assert reason == 'the id "grants[0]" is the place of another rule'


def test_what_has_ended_is_a_warning() -> None:
    document = policy(grants=[grant("*", "gitlab", expires="2020-01-01T00:00:00Z")])
    (warning,) = check_dates(document, now=NOW)
    assert warning.text == "grants[0]: has ended, it allows nothing"


NO_TIMES = {
    "a number": 2**63,
    "a truth": True,
    "2^63": str(2**63),
    "2^63 and a zone": f"{2**63}Z",
    "leap second": "2026-06-30T23:59:60Z",
    "leap second of a zone": "2027-01-01T00:59:60+01:00",
    "no such day": "2027-02-29T00:00:00Z",
    "hour 24": "2027-01-01T24:00:00Z",
    "year 0": "0000-01-01T00:00:00Z",
    "year 10000": "10000-01-01T00:00:00Z",
    "before all times": "0001-01-01T00:00:00+23:59",
    "after all times": "9999-12-31T23:59:59-23:59",
    "no zone": "2027-01-01T00:00:00",
    "a zone by name, in its gap": "2027-03-28T02:30:00[Europe/Berlin]",
    "a day alone": "2027-01-01",
    "digits of another script": "\uff12\uff10\uff12\uff17-01-01T00:00:00Z",
    "a line feed": "2027-01-01T00:00:00Z\n",
    "NUL": "2027-01-01T00:00:00Z\x00",
}


@pytest.mark.parametrize("written", NO_TIMES.values(), ids=NO_TIMES.keys())
@pytest.mark.parametrize("key", ["notBefore", "expires", "at"])
def test_impossible_times_are_refused(key: str, written: object) -> None:
    """Attack C12, every date of a policy file."""
    entry = grant("*", "gitlab", **({} if key == "at" else {key: written}))
    tests = [claim("ana@example.com", accept="gitlab:22", at=written)]
    assert why({"grants": [entry], "tests": tests if key == "at" else []})


@pytest.mark.parametrize("key", ["notBefore", "expires"])
def test_an_hour_that_a_clock_skips_is_the_moment_its_offset_says(key: str) -> None:
    """Attack C12: half past two in Berlin on a morning that has none."""
    (rule,) = policy(
        grants=[grant("*", "gitlab", **{key: "2027-03-28T02:30:00+01:00"})]
    ).rules
    found = {"notBefore": rule.not_before, "expires": rule.expires}[key]
    assert found == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("days", [3653, 3654])
def test_a_beginning_beyond_ten_years_is_refused(days: int) -> None:
    """Attack C12."""
    begin = (NOW + timedelta(days=days)).isoformat()
    document = policy(grants=[grant("*", "gitlab", notBefore=begin)])
    if days <= 3653:
        assert check_dates(document, now=NOW) == ()
        return
    with pytest.raises(PolicyError, match="begins more than 10 years"):
        check_dates(document, now=NOW)


@pytest.mark.parametrize("days", [3653, 3654])
def test_an_end_beyond_ten_years_is_refused(days: int) -> None:
    end = (NOW + timedelta(days=days)).isoformat()
    document = policy(grants=[grant("*", "gitlab", expires=end), grant("*", "lab")])
    if days <= 3653:
        assert check_dates(document, now=NOW) == ()
        return
    with pytest.raises(PolicyError, match="more than 10 years"):
        check_dates(document, now=NOW)

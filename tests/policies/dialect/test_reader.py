"""Rules of reading: what is listed is read, the rest is an error with a place."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal

import pytest

from policies.compiler.conditions import ApprovedDevice, Schedule, Window
from policies.compiler.types import NEVER, network
from policies.dialect.document import (
    ALWAYS,
    PolicyDocument,
    Service,
)
from policies.dialect.errors import Position, UnsupportedError
from policies.dialect.reader import IGNORED, Options, read_policy
from tests.policies.dialect.makers import (
    DEFINITIONS,
    acl,
    claim,
    grant,
    policy,
    refusal,
    source,
    why,
)

HOURS = {
    "timeZone": "Europe/Berlin",
    "windows": [{"days": ["Fri", "mon"], "from": "08:00", "until": "24:00"}],
}


@pytest.mark.parametrize("text", ["", " \n", "{}", b"", '{"acls": []}'])
def test_an_empty_policy_allows_nothing(text: str | bytes) -> None:
    assert read_policy(text) == PolicyDocument()


def test_definitions_are_read() -> None:
    document = policy()
    assert document.groups["group:eng"] == ("ana@example.com", "bob@example.com")
    assert document.hosts["lab"] == network("10.20.0.0/16")
    assert document.tag_owners["tag:ci"] == ("group:eng",)
    assert document.places["gitlab"].line == 1


def test_section_and_field_names_are_case_insensitive() -> None:
    text = '{"ACLs": [{"Action": "accept", "SRC": ["*"], "dst": ["10.0.0.1:22"]}]}'
    (rule,) = read_policy(text).rules
    assert rule.name == "acls[0]"


def test_old_spellings_are_read() -> None:
    old = {"action": "accept", "users": ["*"], "ports": ["gitlab:22"]}
    test = {"user": "ana@example.com", "allow": ["gitlab:22"]}
    document = policy(acls=[old], tests=[test])
    assert document.rules == policy(acls=[acl("*", "gitlab:22")]).rules
    assert document.tests[0].source == "ana@example.com"
    assert document.tests[0].accept[0].text == "gitlab:22"


def test_a_rule_without_extensions_never_ends() -> None:
    (rule,) = policy(grants=[grant("*", "gitlab", "443")]).rules
    assert (rule.not_before, rule.expires, rule.schedule) == (ALWAYS, NEVER, None)
    assert rule.targets[0].services == (Service((1, 6, 17, 58), (443, 443), False),)


def test_extensions_are_read() -> None:
    (rule,) = policy(
        grants=[
            grant(
                "group:eng",
                "gitlab",
                "tcp:443",
                id="eng-gitlab",
                comment="why",
                notBefore="2026-01-01T00:00:00+01:00",
                expires="2026-12-31T23:59:59.5Z",
                schedule=HOURS,
                requireApproval=True,
            )
        ]
    ).rules
    assert (rule.name, rule.id, rule.comment) == ("eng-gitlab", "eng-gitlab", "why")
    assert rule.not_before == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert rule.expires == datetime(2026, 12, 31, 23, 59, 59, 500000, tzinfo=UTC)
    window = Window(days=(0, 4), begin=time(8), end=None)
    assert rule.schedule == Schedule(time_zone="Europe/Berlin", windows=(window,))
    assert rule.requires == (ApprovedDevice(),)


@pytest.mark.parametrize(
    "key",
    [
        *("id", "comment", "notBefore", "expires", "schedule", "requireApproval"),
        *("maxAuthAge", "amr", "acr"),
    ],
)
def test_extensions_are_unknown_to_the_plain_dialect(key: str) -> None:
    entry = grant("*", "gitlab", **{key: "x"})
    reason = why({"grants": [entry]}, Options(extensions=False))
    assert reason == f'unknown field "{key}"'


def test_at_is_unknown_to_the_plain_dialect() -> None:
    tests = [claim("ana@example.com", accept="gitlab:22", at="2026-01-01T00:00:00Z")]
    assert why({"tests": tests}, Options(extensions=False)) == 'unknown field "at"'


@pytest.mark.parametrize(
    "sections",
    [
        {"grants": [grant("*", "gitlab", "any:*")]},
        {"acls": [acl("*", "gitlab:*", proto="ANY")]},
    ],
)
def test_any_is_unknown_to_the_plain_dialect(sections: dict[str, object]) -> None:
    policy(**sections)
    reason = why(sections, Options(extensions=False))
    assert reason == "the protocol any is an extension"


@pytest.mark.parametrize("name", IGNORED)
def test_sections_without_meaning_are_ignored_with_a_warning(name: str) -> None:
    document = read_policy('{\n "' + name + '": {"x": [1]}}')
    assert [str(w) for w in document.warnings] == [
        f"line 2, column {len(name) + 6}: {name} has no effect here"
    ]


def test_app_beside_ip_is_ignored_with_a_warning() -> None:
    app = {"example.com/cap/x": [1]}
    document = policy(grants=[grant("*", "gitlab", "22", app=app)])
    assert "app has no effect" in document.warnings[0].text


def test_unknown_fields_say_where() -> None:
    error = refusal('{\n  "acls": [],\n  "typo": 1\n}')
    assert str(error) == 'line 3, column 3: unknown field "typo"'
    assert error.problems[0].position == Position(3, 3)


def test_tests_are_read_as_written() -> None:
    attributes = {"node:os": "linux", "custom:n": 2, "custom:b": True}
    entry = claim(
        "ana@example.com",
        accept="what ever",
        deny=["gitlab:22"],
        proto="tcp",
        srcPostureAttrs=attributes,
        at="2026-01-01T00:00:00Z",
    )
    (test,) = policy(tests=[entry]).tests
    assert test.accept[0].text == "what ever"
    assert test.attributes == {
        "node:os": "linux",
        "custom:n": Decimal(2),
        "custom:b": True,
    }
    assert test.at == datetime(2026, 1, 1, tzinfo=UTC)


def test_address_sets_are_read() -> None:
    steps = ["add 10.0.0.0/8", "remove gitlab", "ipset:other"]
    document = policy(ipsets={"ipset:all": steps, "ipset:other": ["fd00::1"]})
    assert [step.adds for step in document.ipsets["ipset:all"]] == [True, False, True]


def test_postures_are_read_in_both_forms() -> None:
    plain, objected = ["node:os == 'linux'"], {"assertions": ["node:os IS SET"]}
    document = policy(
        postures={"posture:a": plain, "posture:b": objected},
        defaultSrcPosture=["posture:a"],
        attrConfig={"custom:tier": {"type": "number"}, "custom:x": {}},
        grants=[grant("*", "gitlab", srcPosture=["posture:b"])],
    )
    assert document.default_postures == ("posture:a",)
    assert document.rules[0].postures == ("posture:b",)
    assert document.attribute_types == {"custom:tier": "number", "custom:x": "string"}


def test_groups_of_the_identity_provider_need_no_definition() -> None:
    options = Options(groups={"group:idp"})
    assert policy(options, grants=[grant("group:idp", "gitlab")]).rules


def test_egress_allows_the_internet() -> None:
    grants = [grant("*", "autogroup:internet")]
    with pytest.raises(UnsupportedError, match="egress"):
        policy(grants=grants)
    assert policy(Options(egress=True), grants=grants).rules


HOSTS = DEFINITIONS["hosts"]


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"groups": {"eng": []}}, "'eng' does not begin with 'group:'"),
        ({"groups": {"group:": []}}, "'group:' does not begin with 'group:'"),
        (
            {"groups": {"group:a": ["group:b"]}},
            "group members cannot be recursive",
        ),
        ({"groups": {"group:a": ["ana"]}}, "'ana' is not a user like ana@example.com"),
        ({"groups": {"group:a": "b@c"}}, "expected a list, found text"),
        ({"groups": {"group:a": [1]}}, "expected text, found a number"),
        ({"groups": {"group:a\n": []}}, "text with control characters"),
        ({"hosts": {"a:b": "10.0.0.1"}}, "'a:b' is not a user, group, tag, host or"),
        ({"hosts": {"a": "10.0.0.1/8"}}, "'10.0.0.1/8' has host bits set; did you"),
        ({"hosts": {"a": "b"}}, "'b' is not an IP prefix"),
        ({"ipsets": {"x": []}}, "'x' does not begin with 'ipset:'"),
        ({"ipsets": {"ipset:x": ["drop 10.0.0.1"]}}, "'drop' is neither add nor"),
        ({"ipsets": {"ipset:x": ["tag:ci"]}}, "'tag:ci' is not an address, a host"),
        ({"postures": {"x": []}}, "'x' does not begin with 'posture:'"),
        ({"postures": {"posture:x": []}}, "a posture without assertions would hold"),
        ({"postures": {"posture:x": {}}}, "assertions is missing"),
        ({"postures": {"posture:x": ["what"]}}, "'what' is not an assertion"),
        ({"attrConfig": {"x": {}}}, "'x' does not begin with 'custom:'"),
        ({"attrConfig": {"custom:x": {"type": "date"}}}, "'date' is not one of"),
        ({"tests": [{"src": "a", "user": "b"}]}, "user is the old name of src"),
        ({"tests": [{"accept": [], "allow": []}]}, "allow is the old name of accept"),
        ({"tests": [{"what": 1}]}, 'unknown field "what"'),
        ({"acls": {}}, "expected a list, found an object"),
        ({"acls": [1]}, "expected an object, found a number"),
        ({"acls": [{"src": []}]}, 'action="" is not supported'),
        ({"acls": [{"action": "deny"}]}, 'action="deny" is not supported'),
        ({"acls": [{"action": "accept", "src": ["*"]}]}, "dst is missing"),
        (
            {"acls": [acl("*", "*:*", users=["*"])]},
            "users is the old name of src; give one of them",
        ),
        ({"acls": [acl("*", "*:*", proto="x")]}, "unknown protocol 'x': use a name"),
        ({"acls": [acl("*", "gitlab")]}, "dst 'gitlab': ports are missing"),
        ({"acls": [acl("", "*:*")]}, "'' is not a user, group, tag, host or address"),
        ({"grants": [{"src": ["*"], "ip": ["*"]}]}, "dst is missing"),
        ({"grants": [{"dst": ["*"], "ip": ["*"]}]}, "src is missing"),
        ({"grants": [grant("*", "*", [])]}, "ip and app can not both be empty"),
        ({"grants": [grant("*", "*", via=["x"])]}, "via can only be a tag"),
        (
            {"grants": [grant("*", "*", app={"x": [{}]})]},
            "capability name must have the form {domain}/{path}",
        ),
        (
            {"grants": [grant("*", "*", app={"tailscale.com/cap/x": [{}]})]},
            "capability name must not be in the tailscale.com domain",
        ),
        ({"grants": [grant("*", "*", id="a b")]}, "'a b' is not an id"),
        ({"grants": [grant("*", "*", id="a"), grant("*", "*", id=1)]}, "expected text"),
        ({"grants": [grant("*", "*", expires="2026-12-31")]}, "'2026-12-31' is not a"),
        (
            {"grants": [grant("*", "*", expires="2026-02-30T00:00:00Z")]},
            "'2026-02-30T00:00:00Z' is not a time that exists",
        ),
        (
            {"grants": [grant("*", "*", expires="2016-12-31T23:59:60Z")]},
            "'2016-12-31T23:59:60Z' is not a time that exists",
        ),
        (
            {"grants": [grant("*", "*", expires="9999-12-31T23:59:59-01:00")]},
            "'9999-12-31T23:59:59-01:00' is not a time that exists",
        ),
        (
            {
                "grants": [
                    grant(
                        "*",
                        "*",
                        notBefore="2026-01-02T00:00:00Z",
                        expires="2026-01-01T00:00:00Z",
                    )
                ]
            },
            "the rule would end before it begins",
        ),
        (
            {"grants": [grant("*", "*", notBefore="9999-12-31T23:59:59.999999Z")]},
            "the rule would end before it begins",
        ),
        ({"grants": [grant("*", "*", requireApproval=1)]}, "expected true or false"),
        ({"grants": [grant("*", "*", maxAuthAge="8")]}, "'8' is not an age like 8h"),
        ({"grants": [grant("*", "*", maxAuthAge="0h")]}, "'0h' is not an age like 8h"),
        ({"grants": [grant("*", "*", maxAuthAge="59s")]}, "59 seconds are no age"),
        ({"grants": [grant("*", "*", maxAuthAge="367d")]}, "31708800 seconds are no"),
        ({"grants": [grant("*", "*", maxAuthAge=8)]}, "expected"),
        ({"grants": [grant("*", "*", amr=[])]}, "amr is empty and would demand noth"),
        ({"grants": [grant("*", "*", acr=[])]}, "acr is empty and would demand noth"),
        ({"grants": [grant("*", "*", amr=["m" * 65])]}, "'mmm"),
        ({"grants": [grant("*", "*", amr="mfa")]}, "expected"),
    ],
)
def test_what_is_not_a_policy_is_refused(
    sections: dict[str, object], reason: str
) -> None:
    assert why(sections).startswith(reason)


def test_a_field_in_two_spellings_is_refused() -> None:
    assert refusal('{"acls": [], "ACLs": []}').message.endswith("stands twice")


def test_the_policy_is_an_object() -> None:
    assert refusal("null").message == "expected an object, found null"


def test_everything_a_policy_says_survives_formatting() -> None:
    text = source(acls=[acl("*", "gitlab:22")])
    assert read_policy(text) == read_policy(text.replace(",", ", // c\n"))

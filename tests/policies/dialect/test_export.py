"""Rules of export: what is written is read back the same, and never allows more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler.conditions import (
    ApprovedDevice,
    Hours,
    MaxAge,
    Requirements,
    Strength,
    sorted_requirements,
)
from policies.compiler.strictness import ORDINARY, Evidence, Strictness
from policies.compiler.types import (
    NEVER,
    Application,
    Destination,
    Grant,
    PortRange,
    Protocol,
    Subject,
    SubjectKind,
    network,
)
from policies.dialect.bridge import (
    FactsPolicy,
    Names,
    from_facts,
    to_facts,
    unknown_names,
)
from policies.dialect.definitions import (
    ApplicationDefinition,
    GrantDefinition,
    PolicyDefinition,
    define,
)
from policies.dialect.document import ALWAYS
from policies.dialect.errors import DialectError, UnknownNameError
from policies.dialect.export import export
from policies.dialect.formatting import fmt
from policies.dialect.reader import Options, read_policy
from policies.dialect.requirements import age_text
from tests.policies.compiler.build import hours
from tests.policies.dialect.makers import COMPANY, grant, policy

BERLIN: Final = ZoneInfo("Europe/Berlin")
NAMES: Final = Names(
    users={"ana@example.com": 1, "bob@example.com": 2},
    groups={"group:eng": 1, "autogroup:member": 2, "group:idp": 3},
    applications={"gitlab": 1, "ap_2": 2, "the-lab.v2": 3},
    grants={"eng": 1},
    zones={"Europe/Berlin": BERLIN},
)
OPTIONS: Final = Options(groups={"group:idp", "group:eng"})
TIMES: Final = (
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2027, 1, 1, 5, 6, 7, 89, UTC),
)

prefixes = st.sampled_from(
    ["10.0.0.0/8", "10.0.0.4/31", "10.0.0.6/31", "10.0.0.7/32", "fd00::/64", "fd00::1"]
).map(network)
spans = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(sorted)


def _destination(
    prefix: object, protocol: Protocol, span: list[int], host: str
) -> Destination:
    net = network(str(prefix))
    icmp = Protocol.ICMP if net.version == 4 else Protocol.ICMPV6
    if protocol in {Protocol.TCP, Protocol.UDP}:
        ports = PortRange(first=span[0], last=span[1])
        return Destination(prefix=net, protocol=protocol, ports=ports, host=host)
    kind = Protocol.ANY if protocol is Protocol.ANY else icmp
    return Destination(prefix=net, protocol=kind, ports=None, host=host)


destinations = st.builds(
    _destination,
    prefixes,
    st.sampled_from(Protocol),
    spans,
    st.sampled_from(["", "", "db.example.com", "www.example.com"]),
)
subjects = st.one_of(
    st.integers(1, 2).map(lambda i: Subject(kind=SubjectKind.USER, id=i)),
    st.integers(1, 3).map(lambda i: Subject(kind=SubjectKind.GROUP, id=i)),
)
bodies = st.tuples(
    subjects,
    st.integers(1, 3),
    st.sampled_from([ALWAYS, TIMES[0]]),
    st.sampled_from([NEVER, TIMES[1]]),
    st.sampled_from([None, hours("mon-fri 08:00-18:00, sat 22:00-24:00", BERLIN)]),
    st.sampled_from(
        [
            (),
            (MaxAge(seconds=90),),
            sorted_requirements(
                (
                    ApprovedDevice(),
                    MaxAge(seconds=28_800),
                    Strength(amr=("mfa", "pwd"), acr=("gold",)),
                )
            ),
            (Strength(amr=(), acr=("gold",)),),
        ]
    ),
)


TERMS: Final = (
    ORDINARY,
    Strictness(max_staleness=90),
    Strictness(evidence=Evidence.BEST_EFFORT),
    Strictness(max_staleness=600, evidence=Evidence.BEST_EFFORT),
)


def _facts(
    served: list[tuple[list[Destination], Strictness]],
    grants: list[tuple[Subject, int, datetime, datetime, Hours | None, Requirements]],
) -> FactsPolicy:
    return FactsPolicy(
        applications=tuple(
            Application(
                id=number,
                destinations=tuple(sorted(set(listed), key=lambda d: d.sort_key)),
                strictness=strictness,
            )
            for number, (listed, strictness) in enumerate(served, 1)
        ),
        grants=tuple(
            Grant(
                id=number,
                subject=subject,
                application_id=application,
                not_before=begin,
                expires_at=end,
                hours=week,
                requires=requires,
            )
            for number, terms in enumerate(grants, 1)
            for subject, application, begin, end, week, requires in (terms,)
        ),
    )


facts_policies = st.builds(
    _facts,
    st.lists(
        st.tuples(st.lists(destinations, max_size=4), st.sampled_from(TERMS)),
        min_size=3,
        max_size=3,
    ),
    st.lists(bodies, max_size=4),
)


@settings(deadline=None)
@given(facts_policies)
def test_import_of_an_export_is_the_same_policy(facts: FactsPolicy) -> None:
    exported = from_facts(facts, NAMES)
    read = define(read_policy(export(exported), OPTIONS))
    assert read == exported
    assert to_facts(read, NAMES) == facts


@settings(deadline=None)
@given(facts_policies)
def test_an_export_is_in_canonical_style(facts: FactsPolicy) -> None:
    text = export(from_facts(facts, NAMES))
    assert fmt(text) == text


HOURS: Final = {
    "timeZone": "Europe/Berlin",
    "windows": [{"days": ["mon", "fri"], "from": "08:00", "until": "24:00"}],
}


def test_import_export_import_compiles_to_the_same() -> None:
    document = policy(
        acls=[{"action": "accept", "src": ["*"], "dst": ["gitlab:22,443", "lab:*"]}],
        grants=[
            grant(["group:eng", "tag:ci"], ["gitlab", "tag:gw"], "tcp:443", id="a"),
            grant("*", "10.0.0.0/8", "udp:53", schedule=HOURS, comment='say "hi"'),
            grant("*", "six", requireApproval=True, expires="2027-01-01T00:00:00Z"),
            grant("*", "six", "tcp:9", maxAuthAge="90m", amr=["pwd", "mfa"], acr=["b"]),
            grant("bob@example.com", "*", via=["tag:gw"], srcPosture=["posture:x"]),
        ],
        postures={"posture:x": ["node:os IN ['linux', 'macos']"]},
    )
    first = define(document, COMPANY)
    assert define(read_policy(export(first))) == first


def test_a_limit_is_never_lost_in_the_plain_dialect() -> None:
    limited = (
        grant("*", "gitlab", expires="2027-01-01T00:00:00Z", id="ends"),
        grant("*", "gitlab", schedule=HOURS, id="hours"),
        grant("*", "gitlab", requireApproval=True, id="asks"),
        grant("*", "gitlab", maxAuthAge="8h", id="fresh"),
        grant("*", "gitlab", amr=["mfa"], id="strong"),
        grant("*", "gitlab", acr=["gold"], id="gold"),
        grant("*", "gitlab", notBefore="2027-01-01T00:00:00Z", id="later"),
    )
    kept = grant("group:eng", "lab", comment="kept", id="kept")
    found = define(policy(grants=[*limited, kept]))
    text = export(found, tailscale=True)
    assert [line for line in text.splitlines() if line.startswith("//")] == [
        f"// Left out, this dialect cannot say its limits: {name}"
        for name in ("asks", "ends", "fresh", "gold", "hours", "later", "strong")
    ]
    (rule, *unused) = [
        r for r in read_policy(text, Options(extensions=False)).rules if r.sources
    ]
    assert (rule.sources[0].text, unused) == ("group:eng", [])


def test_an_application_of_nobody_is_kept() -> None:
    found = PolicyDefinition(applications=(application("gitlab", "tcp"),))
    assert define(read_policy(export(found))) == found
    plain = read_policy(export(found, tailscale=True), Options(extensions=False))
    assert plain.rules[0].sources == ()


def application(name: str, protocol: str) -> ApplicationDefinition:
    ports = None if protocol == "any" else PortRange(first=1, last=2)
    destination = Destination(
        prefix=network("10.0.0.1"), protocol=Protocol(protocol), ports=ports
    )
    return ApplicationDefinition(name=name, destinations=(destination,))


def test_any_is_not_said_in_the_plain_dialect() -> None:
    found = PolicyDefinition(applications=(application("gitlab", "any"),))
    with pytest.raises(DialectError, match="any cannot be said"):
        export(found, tailscale=True)


@pytest.mark.parametrize("name", ["a b", "10.0.0.1", "a.part1", "tag:x", "drop\nx", ""])
def test_names_that_are_no_alias_are_refused(name: str) -> None:
    found = PolicyDefinition(applications=(application(name, "tcp"),))
    with pytest.raises(DialectError):
        export(found)


@pytest.mark.parametrize("name", ["fwd", "drop", "accept", "ip", "meta", "1x"])
def test_nft_words_are_names_like_any_other(name: str) -> None:
    found = PolicyDefinition(applications=(application(name, "tcp"),))
    assert define(read_policy(export(found))) == found


def granted(**more: object) -> PolicyDefinition:
    entry = grant("group:eng", "gitlab", id="eng", **more)
    linux = {"posture:x": ["node:os == 'linux'"]}
    return define(policy(grants=[entry], postures=linux))


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"srcPosture": ["posture:x"]}, "srcPosture"),
        ({"via": ["tag:gw"]}, "via"),
    ],
)
def test_a_condition_the_compiler_does_not_know_is_refused(
    more: dict[str, object], what: str
) -> None:
    with pytest.raises(DialectError, match=f"eng: {what} cannot be compiled"):
        to_facts(granted(**more), NAMES)


def test_conditions_reach_the_compiler() -> None:
    entry = {"schedule": HOURS, "maxAuthAge": "8h", "amr": ["mfa"]}
    (fact,) = to_facts(granted(**entry, requireApproval=True), NAMES).grants
    assert fact.hours
    assert fact.hours.zone == BERLIN
    assert fact.requires == sorted_requirements(
        (MaxAge(seconds=28_800), Strength(amr=("mfa",), acr=()), ApprovedDevice())
    )


def test_hours_on_unknown_clocks_are_refused() -> None:
    elsewhere = {**HOURS, "timeZone": "Mars/Base"}
    with pytest.raises(UnknownNameError, match="eng: unknown time zone 'Mars/Base'"):
        to_facts(granted(schedule=elsewhere), NAMES)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(60, "1m"), (90, "90s"), (5400, "90m"), (28_800, "8h"), (86_400, "1d")],
)
def test_an_age_is_said_in_its_largest_unit(seconds: int, text: str) -> None:
    assert age_text(seconds) == text


def test_names_without_an_id_are_listed() -> None:
    found = define(policy(grants=[grant("group:none", "lab"), grant("x@y", "lab")]))
    missing = ("grants[0]", "grants[1]", "group:none", "lab", "x@y")
    assert unknown_names(found, NAMES) == missing
    with pytest.raises(UnknownNameError, match="group:none, lab, x@y"):
        to_facts(found, NAMES)


def test_ids_without_a_name_are_an_error() -> None:
    facts = FactsPolicy(applications=(Application(id=9, destinations=()),), grants=())
    with pytest.raises(UnknownNameError, match="ap_9 has no name"):
        from_facts(facts, NAMES)


def test_a_grant_of_everything_is_one_grant_for_each_application() -> None:
    found = PolicyDefinition(
        applications=(application("ap_2", "tcp"), application("gitlab", "tcp")),
        grants=(
            GrantDefinition(
                name="eng",
                kind=SubjectKind.USER,
                subject="ana@example.com",
                application="*",
            ),
        ),
    )
    ids = {"eng#gitlab": 7, "eng#ap_2": 8}
    names = Names(users=NAMES.users, applications=NAMES.applications, grants=ids)
    facts = to_facts(found, names)
    assert [(g.id, g.application_id) for g in facts.grants] == [(7, 1), (8, 2)]


def test_local_groups_come_along() -> None:
    facts = FactsPolicy(applications=(), grants=())
    found = from_facts(facts, NAMES, {"group:eng": ["b@c", "a@c", "b@c"]})
    assert define(read_policy(export(found))) == found
    assert found.groups[0].members == ("a@c", "b@c")


def test_moments_keep_their_microseconds() -> None:
    end = TIMES[1] + timedelta(microseconds=1)
    found = granted(expires=end.isoformat())
    assert define(read_policy(export(found))).grants[0].expires_at == end

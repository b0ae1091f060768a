"""Rules of a plan: the file is the whole policy; what is there is left alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.actor import SYSTEM
from peers.models import Device, Gateway
from policies.compiler.strictness import ORDINARY, Strictness
from policies.conditions import conditions_text
from policies.models import Application, Grant
from policies.policy_files.documents import export_policy, open_policy
from policies.policy_files.errors import PlanError
from policies.policy_files.planning import Plan, plan_policy
from policies.policy_files.state import read_state
from policies.services.locks import create_lock
from portal.accounts.models import Group, User
from tests.peers.makers import Machine
from tests.policies.makers import NOW, make_grant
from tests.policies.policy_files.makers import WINDOW, conditional, grant, source
from tests.policies.requests import approve, ask, open_for_requests

pytestmark = pytest.mark.django_db

ALICE = "alice@example.test"


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


def plan(text: str, *gateways: str) -> Plan:
    """Plan a file."""
    state = read_state(now=NOW)
    found = open_policy(text, state, now=NOW)
    return plan_policy(found.definition, state, gateways=gateways, now=NOW)


def told(found: Plan) -> list[tuple[str, str]]:
    """Who gains and who loses which application."""
    return [
        (row.kind.value, found.applications[row.application_id])
        for row in found.effect.rows
    ]


@pytest.mark.usefixtures("gw1", "laptop")
def test_a_new_application_and_a_grant_to_a_group_are_planned() -> None:
    found = plan(source(grant("group:engineering", "git")))
    assert [a.name for a in found.created] == ["git"]
    assert [wanted.application for wanted, _ in found.granted] == ["git"]
    assert told(found) == [("gains", "git")]


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_the_exported_policy_plans_nothing(wiki: Application, bob: User) -> None:
    make_grant(wiki, user=bob, not_before=NOW + timedelta(days=1))
    make_grant(wiki, user=bob, expires_at=NOW + timedelta(days=1))
    state = read_state(now=NOW)
    assert plan(export_policy(state, now=NOW)).is_empty


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_the_empty_policy_ends_every_grant(alices_grant: Grant) -> None:
    found = plan("")
    assert [grant.id for grant in found.ended] == [alices_grant.pk]
    assert told(found) == [("loses", "wiki")]
    assert found.left == ("application wiki is not in the file: it stays described",)


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_another_port_changes_the_application_and_not_the_grant() -> None:
    found = plan(source(grant(ALICE, "wiki", "tcp:444")))
    assert [a.name for a in found.changed] == ["wiki"]
    assert (found.granted, found.ended) == ((), ())
    assert sorted(told(found)) == [("gains", "wiki"), ("loses", "wiki")]


def test_another_end_replaces_the_grant(alices_grant: Grant) -> None:
    entry = grant(ALICE, "wiki", expires="2027-01-01T00:00:00Z")
    found = plan(source(entry))
    assert (len(found.granted), len(found.ended)) == (1, 1)


def test_a_grant_on_request_is_left_alone(
    wiki: Application, alice: User, dave: User
) -> None:
    given = approve(ask(open_for_requests(wiki), alice), dave).grant
    assert given is not None
    found = plan("")
    assert found.is_empty
    assert f"grant {given.ref.id} answers an access request: it stays" in found.left


@pytest.mark.usefixtures("gw1", "alice", "bob")
def test_a_group_of_the_file_is_its_members_one_by_one() -> None:
    members = [ALICE, "bob@example.test", "eve@example.test"]
    text = source(grant("group:team", "git"), groups={"group:team": members})
    assert len(plan(text).granted) == 2


@pytest.mark.usefixtures("wiki", "alice")
def test_every_application_is_also_one_that_the_file_does_not_name() -> None:
    found = plan(source(grant(ALICE, "*", "*"), grant(ALICE, "git")))
    assert {wanted.application for wanted, _ in found.granted} == {"git", "wiki"}


@pytest.mark.usefixtures("gw1")
def test_the_disabled_are_skipped_aloud(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    found = plan(source(grant(ALICE, "git")))
    assert (found.granted, found.skipped) == ((), (f"{ALICE} is disabled: no git",))


@pytest.mark.usefixtures("gw1", "alice")
def test_another_condition_is_another_grant() -> None:
    strict = plan(source(conditional(ALICE, "git"), grant(ALICE, "git")))
    said = [conditions_text(wanted.conditions) for wanted, _ in strict.granted]
    assert said == [
        "",
        (
            "Mondays 08:00–18:00 Europe/Berlin; sign-in not older than 8 hours;"
            " approved device; strong sign-in mfa"
        ),
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            grant(
                ALICE, "git", schedule={"timeZone": "Mars/Base", "windows": [WINDOW]}
            ),
            "'Mars/Base' is not the name of a time zone",
        ),
        (grant(ALICE, "git", via=["tag:x"]), "via is not enforced"),
        (grant("*", "git"), "autogroup:member is no group of the portal"),
        (grant("tag:x", "git"), "tag:x is no group of the portal"),
    ],
)
@pytest.mark.usefixtures("alice")
def test_what_is_not_enforced_is_refused(
    entry: dict[str, object], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        plan(source(entry, tagOwners={"tag:x": []}))


def test_overlapping_destinations_are_refused(alice: User) -> None:
    entry = {**grant(ALICE, "git"), "ip": ["tcp:1-10", "tcp:5"]}
    with pytest.raises(PlanError, match=r"git: .* overlap"):
        plan(source(entry))


def test_several_gateways_must_be_chosen_from(gw1: Gateway, alice: User) -> None:
    Gateway.objects.create(
        name="gw2", endpoint_host="h", state="enrolled", created_at=NOW
    )
    text = source(grant(ALICE, "git"))
    with pytest.raises(PlanError, match="what is new: gw1, gw2"):
        plan(text)
    with pytest.raises(PlanError, match="no enrolled gateway is called gw3"):
        plan(text, "gw3")
    assert plan(text, "gw1").served_by == (gw1.pk,)


@pytest.mark.usefixtures("laptop")
def test_who_is_in_two_granted_groups_loses_nothing_with_one(
    wiki: Application, engineering: Group, alices_grant: Grant
) -> None:
    make_grant(wiki, group=engineering)
    found = plan(source(grant("group:engineering", "wiki")))
    assert ([g.id for g in found.ended], told(found)) == ([alices_grant.pk], [])


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_the_locked_reach_nothing_either_time(alice: User) -> None:
    create_lock(target=alice, message="lost laptop", actor=SYSTEM, now=NOW)
    found = plan("")
    assert len(found.ended) == 1
    assert (found.effect.rows, found.effect.holders) == ((), frozenset())


@pytest.mark.usefixtures("alice")
def test_without_a_gateway_what_is_new_is_said_to_be_behind_none() -> None:
    found = plan(source(grant(ALICE, "git")))
    assert found.skipped == ("no gateway is enrolled: what is new is behind none",)
    assert (found.served_by, found.effect.rows) == ((), ())


WIDER = {
    "every service": ("10.1.0.0/24", ["*"], "part of 10.1.0.0/24 tcp/1-65535"),
    "every protocol": ("10.1.0.0/24", ["any:*"], "part of 10.1.0.0/24 any"),
    "another port": ("10.1.0.0/24", ["tcp:443", "tcp:22"], "10.1.0.0/24 tcp/22"),
    "a port beside": ("10.1.0.0/24", ["tcp:443-444"], "part of 10.1.0.0/24 tcp/443-44"),
    "another protocol": ("10.1.0.0/24", ["udp:443"], "10.1.0.0/24 udp/443"),
    "a wider prefix": ("10.1.0.0/23", ["tcp:443"], "part of 10.1.0.0/23 tcp/443"),
    "a prefix beside": ("10.1.1.0/24", ["tcp:443"], "10.1.1.0/24 tcp/443"),
    "all but everything": ("0.0.0.0/1", ["tcp:443"], "part of 0.0.0.0/1 tcp/443"),
}


@pytest.mark.parametrize(("prefix", "ip", "added"), WIDER.values(), ids=WIDER.keys())
@pytest.mark.parametrize("answers", ["owner", "approver_group"])
def test_a_file_adds_nothing_to_what_somebody_answers_for(
    answers: str, prefix: str, ip: list[str], added: str, wiki: Application, bob: User
) -> None:
    """Attack C08: destinations or wildcards beyond the owner's description."""
    who = bob if answers == "owner" else bob.groups.get()
    open_for_requests(wiki, **{answers: who})
    entry = grant(ALICE, "wiki") | {"ip": ip}
    text = source(entry, hosts={"wiki": prefix})
    with pytest.raises(PlanError) as caught:
        plan(text)
    assert f"wiki: {who} answers for it, so no file adds {added}" in str(caught.value)


@pytest.mark.parametrize(
    ("prefix", "changed"), [("10.1.0.128/25", ["wiki"]), ("10.1.0.0/24", [])]
)
@pytest.mark.usefixtures("alice")
def test_a_file_may_narrow_or_leave_what_somebody_answers_for(
    prefix: str, changed: list[str], wiki: Application, bob: User
) -> None:
    """Attack C08 is about more, not about less."""
    open_for_requests(wiki, owner=bob)
    found = plan(source(grant(ALICE, "wiki"), hosts={"wiki": prefix}))
    assert [a.name for a in found.changed] == changed


@pytest.mark.usefixtures("alice")
def test_every_application_stays_as_it_is_described(
    wiki: Application, bob: User
) -> None:
    """Attack C08: a wildcard grants what is described, and adds nothing to it."""
    open_for_requests(wiki, owner=bob)
    found = plan(source(grant(ALICE, "*", "*")))
    assert (found.created, found.changed) == ((), ())
    assert [wanted.application for wanted, _ in found.granted] == ["wiki"]


def test_terms_of_a_file_are_a_change_and_without_them_nothing_changes(
    wiki: Application,
) -> None:
    entry = grant(ALICE, "wiki")
    terms = {"wiki": {"maxStaleness": "2m"}}
    (changed,) = plan(source(entry, applicationTerms=terms)).changed
    assert changed.terms == Strictness(max_staleness=120)
    Application.objects.filter(pk=wiki.pk).update(max_staleness=120)
    assert plan(source(entry, applicationTerms=terms)).changed == ()
    assert plan(source(entry)).changed == ()
    (changed,) = plan(source(entry, applicationTerms={"wiki": {}})).changed
    assert changed.terms == ORDINARY


def test_a_limit_that_is_no_stricter_than_the_lease_is_refused(
    wiki: Application,
) -> None:
    terms = {str(wiki): {"maxStaleness": "15m"}}
    with pytest.raises(PlanError, match="wiki: every gateway closes 900 seconds"):
        plan(source(grant(ALICE, "wiki"), applicationTerms=terms))


@pytest.mark.parametrize(
    "looser",
    [{"maxStaleness": "5m"}, {}, {"maxStaleness": "2m", "evidence": "bestEffort"}],
)
def test_a_file_makes_no_terms_less_strict_that_somebody_answers_for(
    wiki: Application, bob: User, looser: dict[str, object]
) -> None:
    """Attack C08, by terms."""
    open_for_requests(wiki, owner=bob)
    Application.objects.filter(pk=wiki.pk).update(max_staleness=120)
    entry = grant(ALICE, "wiki")
    with pytest.raises(PlanError, match="no file makes its terms less strict"):
        plan(source(entry, applicationTerms={"wiki": looser}))
    stricter = {"wiki": {"maxStaleness": "1m"}}
    assert plan(source(entry, applicationTerms=stricter)).changed

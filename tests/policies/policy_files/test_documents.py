"""Rules of policy files: names are the portal's, tests are run, export round-trips."""

from __future__ import annotations

from datetime import timedelta

import pytest

from peers.models import Gateway
from policies.dialect.errors import DialectError, PolicyError
from policies.models import Application, Grant
from policies.policy_files.documents import export_policy, open_policy
from policies.policy_files.planning import plan_policy
from policies.policy_files.state import read_state
from portal.accounts.models import Group, GroupSource, User
from tests.peers.makers import Machine
from tests.policies.makers import NOW, make_application, make_grant
from tests.policies.policy_files.makers import grant, source

pytestmark = pytest.mark.django_db

ALICE = "alice@example.test"


@pytest.mark.usefixtures("pools")
def test_tests_see_the_portals_people_devices_and_groups(alice: User) -> None:
    Machine().enroll(alice)
    claims = [{"src": ALICE, "accept": ["git:443"], "deny": ["git:22"]}]
    text = source(grant("group:engineering", "git"), tests=claims)
    assert open_policy(text, read_state(now=NOW), now=NOW).failed == ()


@pytest.mark.usefixtures("pools")
def test_a_failing_test_names_address_port_and_nearest_rule(alice: User) -> None:
    device = Machine().enroll(alice)
    address = device.leases.get(address__startswith="100").address
    claims = [{"src": ALICE, "accept": ["git:22"]}]
    text = source(grant("group:engineering", "git", id="eng"), tests=claims)
    [report] = open_policy(text, read_state(now=NOW), now=NOW).failed
    said = report.problems[0].text
    assert f"{address} to 10.2.0.5 port 22 is denied; nearest rule: eng" in said


def test_a_person_without_a_device_proves_nothing(alice: User) -> None:
    claims = [{"src": ALICE, "deny": ["git:22"]}]
    text = source(grant(ALICE, "git"), tests=claims)
    [report] = open_policy(text, read_state(now=NOW), now=NOW).failed
    assert "has no address" in report.problems[0].text


def test_a_file_cannot_define_a_group_of_the_provider(alice: User) -> None:
    text = source(grant(ALICE, "git"), groups={"group:engineering": [ALICE]})
    with pytest.raises(PolicyError, match="is a group of the identity provider"):
        open_policy(text, read_state(now=NOW), now=NOW)


def test_unknown_people_are_a_warning(alice: User) -> None:
    text = source(grant("eve@example.test", "git"))
    found = open_policy(text, read_state(now=NOW), now=NOW)
    assert "eve@example.test is nobody here" in found.warnings[0].text


@pytest.mark.usefixtures("pools")
@pytest.mark.parametrize(
    ("zone", "verdict"), [("Mars/Olympus", "unknown"), ("Europe/Berlin", "passed")]
)
def test_schedules_follow_the_clocks_of_zones_that_exist(
    alice: User, zone: str, verdict: str
) -> None:
    Machine().enroll(alice)
    window = {"days": ["mon"], "from": "12:59", "until": "13:01"}
    entry = grant(ALICE, "git", schedule={"timeZone": zone, "windows": [window]})
    claims = [{"src": ALICE, "accept": ["git:443"]}]
    text = source(entry, tests=claims)
    if verdict == "unknown":
        with pytest.raises(DialectError, match="unknown time zone 'Mars/Olympus'"):
            open_policy(text, read_state(now=NOW), now=NOW)
    else:
        assert open_policy(text, read_state(now=NOW), now=NOW).failed == ()


def test_a_shared_address_names_nobody(alice: User, bob: User, mallory: User) -> None:
    User.objects.filter(pk__in=[alice.pk, bob.pk]).update(email="team@example.test")
    User.objects.filter(pk=bob.pk).update(subject="bob@provider.test")
    people = read_state(now=NOW).people
    assert people == {
        f"us_{alice.pk}@peerage": alice.pk,
        "bob@provider.test": bob.pk,
        "mallory@example.test": mallory.pk,
    }


def test_a_disabled_person_leaves_the_address_to_who_is_active(
    alice: User, bob: User
) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False, email=bob.email)
    state = read_state(now=NOW)
    assert state.people[bob.email] == bob.pk
    assert state.disabled == {alice.pk}


def test_groups_of_one_name_are_told_apart_by_id(alice: User) -> None:
    local = Group.objects.create(
        source=GroupSource.LOCAL, name="engineering", created_at=NOW
    )
    assert f"group:{local.ref.id}" in read_state(now=NOW).groups
    assert "group:engineering" not in read_state(now=NOW).groups


def test_export_is_read_back_as_the_same(
    wiki: Application, alice: User, engineering: Group
) -> None:
    make_application("idle", "10.9.0.0/24", "fd00::/64", gateways=[])
    make_grant(wiki, user=alice, expires_at=NOW + timedelta(days=1))
    make_grant(wiki, group=engineering, not_before=NOW + timedelta(days=2))
    text = export_policy(read_state(now=NOW), now=NOW)
    found = open_policy(text, read_state(now=NOW), now=NOW)
    assert {a.name for a in found.definition.applications} == {"wiki", "idle"}
    assert [(g.subject, g.not_before > NOW) for g in found.definition.grants] == [
        (ALICE, False),
        ("group:engineering", True),
    ]


def test_export_says_the_reason_and_hides_what_has_begun(alices_grant: Grant) -> None:
    Grant.objects.filter(pk=alices_grant.pk).update(reason="on call")
    text = export_policy(read_state(now=NOW), now=NOW)
    assert '"comment": "on call"' in text
    assert "notBefore" not in text


def test_what_has_ended_is_not_exported(wiki: Application, alice: User) -> None:
    make_grant(wiki, user=alice, expires_at=NOW + timedelta(hours=1))
    later = NOW + timedelta(hours=1)
    text = export_policy(read_state(now=later), now=later)
    assert ALICE not in text


def test_a_name_that_no_file_can_say_is_the_machine_id(
    gw1: Gateway, alice: User
) -> None:
    for name in ("Git Lab", "10.0.0.1", "wiki.part1", "ap_99", "group:x", "a@b"):
        made = make_application(name, "10.3.0.0/24", gateways=[gw1])
        make_grant(made, user=alice)
        assert read_state(now=NOW).applications[made.ref.id] == made.pk
    text = export_policy(read_state(now=NOW), now=NOW)
    state = read_state(now=NOW)
    found = open_policy(text, state, now=NOW)
    assert plan_policy(found.definition, state, now=NOW).is_empty

"""Labels in policy files: `tag:NAME` is every application that bears it, as it is."""

from __future__ import annotations

from typing import Final

import pytest

from audit.actor import SYSTEM
from peers.models import Device, Gateway
from policies import services
from policies.conditions import ConditionsInput
from policies.dialect.errors import DialectError
from policies.models import Application, Grant, Label, LabelGrant
from policies.policy_files.applying import apply_policy
from policies.policy_files.documents import export_policy, open_policy
from policies.policy_files.planning import Plan, plan_policy
from policies.policy_files.state import read_state
from portal.accounts.models import Group, User
from tests.peers.makers import Machine
from tests.policies.makers import NOW
from tests.policies.policy_files.makers import grant, source

pytestmark = pytest.mark.django_db
OWNERS: Final[dict[str, list[str]]] = {"tag:db": []}


@pytest.fixture
def tag(wiki: Application, gw1: Gateway) -> Label:
    """Return a label that the wiki bears."""
    made = services.create_label(name="db", actor=SYSTEM, now=NOW)
    services.label_application(application=wiki, labels=[made], actor=SYSTEM, now=NOW)
    return made


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    return Machine().enroll(alice)


def tagged(src: str = "group:engineering", **sections: object) -> str:
    return source(grant(src, "tag:db", "*"), tagOwners=OWNERS, **sections)


def planned(text: str) -> Plan:
    state = read_state(now=NOW)
    return plan_policy(open_policy(text, state, now=NOW).definition, state, now=NOW)


def apply(text: str) -> None:
    apply_policy(text, is_confirmed=True, actor=SYSTEM, now=NOW)


def opened() -> set[str]:
    return {str(row) for row in Grant.objects.filter(ended_at__isnull=True)}


def test_a_tag_grants_what_bears_the_label(
    tag: Label, wiki: Application, engineering: Group
) -> None:
    apply(tagged())
    assert LabelGrant.objects.get().group == engineering
    assert opened() == {f"engineering → {wiki} (tag:db)"}


def test_the_same_file_again_plans_nothing(tag: Label, engineering: Group) -> None:
    apply(tagged())
    assert planned(tagged()).is_empty


def test_a_plan_says_whom_a_tag_gives_what(
    tag: Label, wiki: Application, laptop: Device
) -> None:
    (row,) = planned(tagged()).effect.rows
    assert (row.application_id, row.people) == (wiki.pk, (laptop.owner_id,))


def test_what_a_file_no_longer_grants_by_tag_ends(
    tag: Label, laptop: Device, engineering: Group
) -> None:
    apply(tagged())
    plan = planned("{}")
    assert [ended.label for ended in plan.labels_ended] == ["tag:db"]
    assert plan.effect.losers == {laptop.owner_id}
    apply("{}")
    assert opened() == set()
    assert not LabelGrant.objects.filter(ended_at=None).exists()


def test_the_exported_policy_plans_nothing(tag: Label, bob: User) -> None:
    services.create_label_grant(
        label=tag, user=bob, reason="on call", actor=SYSTEM, now=NOW
    )
    text = export_policy(read_state(now=NOW), now=NOW)
    assert '["tag:db"]' in text
    assert '"comment": "on call"' in text
    assert planned(text).is_empty


def test_what_the_grant_of_a_label_demands_holds_for_all_it_gives(
    wiki: Application, gw1: Gateway, engineering: Group
) -> None:
    tag = services.create_label(name="db", actor=SYSTEM, now=NOW)
    services.create_label_grant(
        label=tag,
        group=engineering,
        conditions=ConditionsInput(needs_approved_device=True),
        actor=SYSTEM,
        now=NOW,
    )
    services.label_application(application=wiki, labels=[tag], actor=SYSTEM, now=NOW)
    assert Grant.objects.get().needs_approved_device
    assert planned(export_policy(read_state(now=NOW), now=NOW)).is_empty


def test_the_other_dialect_is_told_the_applications_one_by_one(
    tag: Label, bob: User
) -> None:
    services.create_label_grant(label=tag, user=bob, actor=SYSTEM, now=NOW)
    text = export_policy(read_state(now=NOW), now=NOW, tailscale=True)
    assert "tag:db" not in text
    assert '["wiki"]' in text


def test_ports_are_the_applications_own(tag: Label, engineering: Group) -> None:
    narrowed = source(grant("group:engineering", "tag:db", "tcp:22"), tagOwners=OWNERS)
    with pytest.raises(DialectError, match="as it is; name one to choose ports"):
        planned(narrowed)


def test_a_tag_that_is_no_label_is_refused(engineering: Group) -> None:
    unknown = source(
        grant("group:engineering", "tag:nope", "*"), tagOwners={"tag:nope": []}
    )
    with pytest.raises(DialectError, match="labels no application"):
        planned(unknown)


def test_tests_know_the_ports_of_what_bears_a_label(
    tag: Label, wiki: Application, laptop: Device
) -> None:
    first = wiki.destinations.all()[0]
    host = first.prefix.split("/")[0]
    test = {
        "src": laptop.owner.email,
        "accept": [f"{host}:443"],
        "deny": [f"{host}:22"],
    }
    found = open_policy(tagged(tests=[test]), read_state(now=NOW), now=NOW)
    assert found.failed == ()
    wrong = {"src": laptop.owner.email, "deny": [f"{host}:443"]}
    failed = open_policy(tagged(tests=[wrong]), read_state(now=NOW), now=NOW)
    assert len(failed.failed) == 1


def test_tests_see_the_destinations_that_the_file_gives(
    tag: Label, wiki: Application, laptop: Device
) -> None:
    moved = source(
        grant("group:engineering", "tag:db", "*"),
        grant("group:engineering", "wiki", "tcp:8443"),
        tagOwners=OWNERS,
        tests=[{"src": laptop.owner.email, "accept": ["10.1.0.7:8443"]}],
    )
    found = open_policy(moved, read_state(now=NOW), now=NOW)
    assert found.failed == ()

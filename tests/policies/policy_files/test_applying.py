"""Rules of applying: all or nothing, tests first, the brake, and never twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from pytest_django import Settings

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.models import AuditEvent
from peers.models import Device, Gateway
from peers.services import approve_device
from policies.conditions import conditions_text, stored_conditions
from policies.dialect.errors import PolicyError as MalformedError
from policies.errors import PolicyError
from policies.models import Application, Grant
from policies.policy_files.applying import Applied, apply_policy
from policies.policy_files.documents import export_policy
from policies.policy_files.errors import BrakeError, FailedTestsError, PlanError
from policies.policy_files.state import read_state
from portal.accounts.models import Group, User
from portal.accounts.services import keep_authentication
from tests.peers.makers import Machine
from tests.policies.makers import NOW, content, make_grant, publish
from tests.policies.policy_files.makers import conditional, grant, source
from tests.policies.requests import approve, ask, open_for_requests

pytestmark = pytest.mark.django_db

ALICE = "alice@example.test"
Commit = Callable[[], AbstractContextManager[object]]


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


def apply(text: str, *, is_confirmed: bool = False) -> Applied:
    """Apply a file."""
    return apply_policy(text, is_confirmed=is_confirmed, actor=SYSTEM, now=NOW)


def held() -> set[str]:
    """The grants that are open, in words."""
    return {str(row) for row in Grant.objects.filter(ended_at__isnull=True)}


def test_a_file_becomes_the_policy(
    gw1: Gateway, laptop: Device, commit: Commit
) -> None:
    with commit():
        apply(source(grant("group:engineering", "git", comment="sources")))
    assert held() == {"engineering → git"}
    assert Grant.objects.get().reason == "sources"
    published = content(gw1)
    assert [members.device_ids for members in published.subjects] == [(laptop.pk,)]


@pytest.mark.usefixtures("gw1", "laptop")
def test_the_same_file_again_changes_nothing() -> None:
    text = source(
        grant("group:engineering", "git"),
        grant(ALICE, "git", notBefore="2027-01-01T00:00:00Z"),
        grant(ALICE, "wiki", expires="2027-01-01T00:00:00Z"),
    )
    assert not apply(text).plan.is_empty
    events = AuditEvent.objects.count()
    assert apply(text).plan.is_empty
    assert AuditEvent.objects.count() == events


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_the_exported_policy_applies_as_nothing(
    wiki: Application, engineering: Group
) -> None:
    make_grant(wiki, group=engineering)
    text = export_policy(read_state(now=NOW), now=NOW)
    assert apply(text).plan.is_empty
    assert export_policy(read_state(now=NOW), now=NOW) == text


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_failing_tests_apply_nothing() -> None:
    claims = [{"src": ALICE, "deny": ["git:443"]}]
    text = source(grant(ALICE, "git"), grant(ALICE, "wiki"), tests=claims)
    with pytest.raises(FailedTestsError, match=r"git:443.* is allowed; nearest rule"):
        apply(text, is_confirmed=True)
    assert held() == {"Alice → wiki"}


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_the_empty_policy_denies_all_behind_the_brake() -> None:
    with pytest.raises(BrakeError, match="1 of 1 people with access would lose"):
        apply("")
    assert held() == {"Alice → wiki"}
    apply("", is_confirmed=True)
    assert held() == set()
    assert Application.objects.filter(name="wiki").exists()


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_the_brake_is_where_the_setting_says(settings: Settings) -> None:
    settings.PEERAGE_POLICY_BRAKE_PERCENT = 100
    apply("")
    assert held() == set()


def test_access_on_request_outlives_the_file(
    wiki: Application, alice: User, dave: User
) -> None:
    approve(ask(open_for_requests(wiki), alice), dave)
    apply("", is_confirmed=True)
    assert held() == {"Alice → wiki"}


@pytest.mark.usefixtures("alices_grant")
def test_changed_destinations_keep_gateway_and_description(
    gw1: Gateway, wiki: Application
) -> None:
    Application.objects.filter(pk=wiki.pk).update(description="pages")
    apply(source(grant(ALICE, "wiki", "tcp:80")), is_confirmed=True)
    wiki.refresh_from_db()
    assert [str(row) for row in wiki.destinations.all()] == ["10.1.0.0/24 tcp/80"]
    assert ([*wiki.gateways.all()], wiki.description) == ([gw1], "pages")


@pytest.mark.usefixtures("gw1", "alice")
def test_what_fails_half_way_leaves_nothing() -> None:
    text = source(grant(ALICE, "git"), grant(ALICE, "wiki", comment="x" * 300))
    with pytest.raises(PolicyError, match="at most 255"):
        apply(text)
    assert (held(), Application.objects.count()) == (set(), 0)


@pytest.mark.usefixtures("alices_grant")
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", MalformedError),
        ('{"unknown": 1}', MalformedError),
        (source(grant(ALICE, "git", expires="2040-01-01T00:00:00Z")), MalformedError),
        (source(grant(ALICE, "git", notBefore="2040-01-01T00:00:00Z")), MalformedError),
        (source(grant(ALICE, "autogroup:self")), MalformedError),
        (source(grant("*", "wiki")), PlanError),
    ],
    ids=["syntax", "key", "end", "beginning", "device to device", "everybody"],
)
def test_what_cannot_be_enforced_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        apply(text, is_confirmed=True)
    assert held() == {"Alice → wiki"}


@pytest.mark.usefixtures("alices_grant")
def test_every_change_is_an_event_of_its_service_and_the_file_one_more() -> None:
    apply(source(grant(ALICE, "git")), is_confirmed=True)
    events = AuditEvent.objects.order_by("-pk")[:4]
    assert {event.code for event in events} == {
        EventCode.APPLICATION_CREATE,
        EventCode.GRANT_END,
        EventCode.GRANT_CREATE,
        EventCode.POLICY_APPLY,
    }
    assert (events[0].outcome, events[0].details["grants_ended"]) == (Outcome.DONE, 1)


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_refusal_is_an_event_that_says_why() -> None:
    with pytest.raises(BrakeError):
        apply("")
    event = AuditEvent.objects.latest("pk")
    assert (event.code, event.outcome) == (EventCode.POLICY_APPLY, Outcome.REFUSED)
    assert "would lose something" in event.reason


@pytest.mark.usefixtures("laptop")
def test_conditions_are_enforced_kept_and_come_back(
    gw1: Gateway, alice: User, commit: Commit
) -> None:
    text = source(conditional("group:engineering", "git"))
    with commit():
        apply(text)
    made = Grant.objects.get()
    assert conditions_text(stored_conditions(made)) == (
        "Mondays 08:00–18:00 Europe/Berlin; sign-in not older than 8 hours;"
        " approved device; strong sign-in mfa"
    )
    assert content(gw1).peers == ()
    keep_authentication(
        user=alice, claims={"auth_time": int(NOW.timestamp()), "amr": ["mfa"]}, now=NOW
    )
    approve_device(device=Device.objects.get(), actor=SYSTEM, now=NOW)
    with commit():
        publish()
    assert len(content(gw1).peers) == 1
    exported = export_policy(read_state(now=NOW), now=NOW)
    for told in ('"maxAuthAge":', '"requireApproval":', '"amr":', '"timeZone":'):
        assert told in exported
    assert apply(exported).plan.is_empty
    assert apply(text).plan.is_empty
    loosened = apply(source(grant("group:engineering", "git")), is_confirmed=True)
    assert (len(loosened.plan.granted), len(loosened.plan.ended)) == (1, 1)

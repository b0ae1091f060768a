"""Who may open which page, for every page there is."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest
from django.test import Client
from django.urls import reverse

from audit.actor import SYSTEM
from audit.alarms.models import AlarmChannel
from audit.alarms.services import raise_findings
from audit.events import EventCode
from audit.models import AuditEvent, Log
from audit.search.filters import Filter
from audit.search.saved import save_search
from peers.models import Device, Gateway
from policies.models import Application, Grant, Lock, Revocation
from policies.services import create_label, create_label_grant
from portal.accounts.models import User
from portal.console.urls import urlpatterns
from tests.audit.alarms.makers import finding
from tests.audit.streams.conftest import MakeStream, make_stream
from tests.conftest import SignIn
from tests.policies.campaigns import review
from tests.policies.requests import ask, open_for_requests
from tests.portal.credentials import MakeKey, make_key

__all__ = ["make_key", "make_stream"]
pytestmark = pytest.mark.django_db
Address = Callable[[str], str]

OWN: Final = (
    "home",
    "devices",
    "add_device",
    "device",
    "access",
    "explain_mine",
    "activity",
    "requests",
    "requestable",
    "inbox",
    "request",
    "reviews",
)
OWN_ACTS: Final = ("rename_device", "revoke_device", "cancel_request")
# Each request's and review's own affair: test_requests.py and test_reviews.py.
ASKED: Final = (
    "ask",
    "approve_request",
    "refuse_request",
    "end_request",
    "review",
    "review_result",
)
READ: Final = (
    "manage_devices",
    "manage_users",
    "suggest_users",
    "user",
    "revocations",
    "revocation",
    "revocation_progress",
    "applications",
    "application",
    "labels",
    "label",
    "grants",
    "locks",
    "manage_requests",
    "explain",
    "reach",
    "reach_what",
    "reach_changes",
    "gateways",
    "gateway",
    "recovery",
    "credentials",
    "connections",
    "export_connections",
    "connection",
    "receipt",
    "download_receipt",
    "events",
    "export_events",
    "event_codes",
    "witnesses",
    "retention",
    "event",
    "streams",
    "stream",
    "alarms",
    "alarm",
    "alarm_count",
    "alarm_rules",
    "alarm_channels",
    "alarm_channel",
    "holders",
    "searches",
    "timeline",
    "used_application",
    "used_person",
)
ASKS: Final = ("explain_suppose", "evidence")
"""Pages that readers send something to, and that change nothing."""
ACTS: Final = (
    "approve_device",
    "withdraw_approval",
    "revoke_user",
    "revoke_users",
    "reactivate_user",
    "add_application",
    "edit_application",
    "delete_application",
    "edit_request_rules",
    "add_label",
    "delete_label",
    "end_label_grant",
    "add_grant",
    "end_grant",
    "choose_lock",
    "add_lock",
    "lift_lock",
    "add_gateway",
    "edit_gateway",
    "issue_token",
    "retire_gateway",
    "release_gateway",
    "recover",
    "add_credential",
    "revoke_credential",
    "add_stream",
    "edit_stream",
    "disable_stream",
    "enable_stream",
    "test_stream",
    "renew_stream_secret",
    "acknowledge_alarm",
    "assign_alarm",
    "judge_alarm",
    "add_alarm_channel",
    "edit_alarm_channel",
    "delete_alarm_channel",
    "test_alarm_channel",
    "renew_alarm_channel_secret",
    "add_search",
    "remove_search",
    "start_review",
    "finish_review",
    "call_off_review",
)
POSTED: Final = ("issue_token", "enable_stream", "test_stream")
"""Acts that are a button, without a page of their own."""


@pytest.fixture
def address(
    laptop: Device,
    wiki: Application,
    alices_grant: Grant,
    gw1: Gateway,
    alice: User,
    dave: User,
    make_key: MakeKey,
    make_stream: MakeStream,
) -> Address:
    """Return the address of a page about what exists."""
    revocation = Revocation.objects.create(
        user=alice, requested_at=laptop.created_at, reason="x", actor_label="x"
    )
    label = create_label(name="db", actor=SYSTEM, now=laptop.created_at)
    label_grant = create_label_grant(
        label=label, user=alice, actor=SYSTEM, now=laptop.created_at
    )
    ids = {
        "label_id": label.pk,
        "label_grant_id": label_grant.pk,
        "device_id": laptop.pk,
        "user_id": alice.pk,
        "application_id": wiki.pk,
        "grant_id": alices_grant.pk,
        "gateway_id": gw1.pk,
        "revocation_id": revocation.pk,
        "request_id": ask(open_for_requests(wiki), alice, now=laptop.created_at).pk,
        "kind": "user",
        "log": "control",
        "search_id": save_search(
            log=Log.CONTROL,
            name="x",
            filters=Filter(),
            is_shared=True,
            owner=alice.ref,
            actor=SYSTEM,
            now=laptop.created_at,
        ).pk,
        "about": "person",
        "ref": alice.ref.id,
        "target_id": alice.pk,
        "lock_id": Lock.objects.create(
            device=laptop, message="x", created_at=laptop.created_at
        ).pk,
        "credential_id": make_key(alice)[0].pk,
        "stream_id": make_stream().pk,
        "connection_id": 1,
        "alarm_id": raise_findings([finding()], now=laptop.created_at)[0].pk,
        "channel_id": AlarmChannel.objects.create(
            name="desk",
            kind="webhook",
            least_severity=1,
            created_at=laptop.created_at,
        ).pk,
        "campaign_id": review(wiki, by=(dave,)).pk,
        "uid": uuid.UUID(int=0),
    }
    wanted = {str(route.name): route.pattern.converters for route in urlpatterns}

    def make(name: str) -> str:
        kwargs = {key: ids[key] for key in wanted[name]}
        return reverse(f"console:{name}", kwargs=kwargs)

    return make


def test_every_page_is_in_the_matrix() -> None:
    names = {str(route.name) for route in urlpatterns}
    assert names == {*OWN, *OWN_ACTS, *ASKED, *READ, *ASKS, *ACTS}


@pytest.mark.parametrize("name", [*OWN[1:], *OWN_ACTS, *ASKED, *READ, *ASKS, *ACTS])
def test_strangers_are_sent_to_sign_in(name: str, address: Address) -> None:
    method = "post" if name in POSTED else "get"
    response = getattr(Client(), method)(address(name))
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/?next=/")


@pytest.mark.parametrize("name", [*READ, *ASKS, *ACTS])
def test_employees_may_not_manage(
    name: str, address: Address, mallory: User, sign_in: SignIn
) -> None:
    url = address(name)
    method = "post" if name in POSTED else "get"
    assert getattr(sign_in(mallory), method)(url).status_code == 403
    refused = AuditEvent.objects.get(code=EventCode.ACCESS_REFUSED)
    assert (refused.person_label, refused.target_label) == ("Mallory", url)


@pytest.mark.parametrize("name", ["device", "request", *OWN_ACTS, *ASKED[1:]])
def test_what_is_other_peoples_does_not_exist(
    name: str, address: Address, mallory: User, sign_in: SignIn
) -> None:
    assert sign_in(mallory).get(address(name)).status_code == 404


@pytest.mark.parametrize("name", [*OWN_ACTS, *ASKED[1:], *ACTS])
def test_auditors_change_nothing(
    name: str, address: Address, carol: User, sign_in: SignIn
) -> None:
    url = address(name)
    before = AuditEvent.objects.exclude(code=EventCode.ACCESS_REFUSED).count()
    response = sign_in(carol).post(url, {"reason": "because", "name": "new"})
    assert response.status_code == 403
    after = AuditEvent.objects.exclude(code=EventCode.ACCESS_REFUSED).count()
    assert before == after


@pytest.mark.parametrize("name", [*OWN[1:], *READ])
def test_pages_that_show_take_no_post(
    name: str, address: Address, dave: User, sign_in: SignIn
) -> None:
    assert sign_in(dave).post(address(name)).status_code == 405


@pytest.mark.parametrize("name", [*OWN_ACTS, *ASKED, *ASKS, *ACTS])
def test_acts_demand_the_forms_token(name: str, address: Address, dave: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(dave)
    assert browser.post(address(name), {"reason": "x"}).status_code == 403


@pytest.mark.parametrize(
    "name", [name for name in (*READ, *ASKS) if "progress" not in name]
)
def test_readers_open_every_list_and_detail(
    name: str, address: Address, carol: User, sign_in: SignIn
) -> None:
    response = sign_in(carol).get(address(name))
    missing = {"connection", "receipt", "download_receipt", "event"}
    wrong = {"export_connections", "export_events"}
    expected = 404 if name in missing else 400 if name in wrong else 200
    assert response.status_code == expected


@pytest.mark.parametrize("name", [*OWN[1:], *OWN_ACTS, "ask"])
def test_pages_about_people_are_stored_nowhere(
    name: str, address: Address, alice: User, sign_in: SignIn
) -> None:
    response = sign_in(alice).get(address(name))
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]


def test_an_old_proof_goes_back_to_the_identity_provider(
    address: Address, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave, age=timedelta(hours=2))
    response = browser.get(address("revoke_user"))
    assert response["Location"].startswith("/accounts/confirm/?next=")

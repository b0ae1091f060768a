"""Approving a device and withdrawing that, with the effect in sight."""

from __future__ import annotations

import pytest
from django.urls import reverse

from audit.actor import SYSTEM
from audit.events import EventCode
from audit.models import AuditEvent
from peers import services
from peers.models import Device
from policies.conditions import ConditionsInput
from policies.models import Application
from policies.services import create_grant
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.peers.makers import NOW
from tests.portal.console.confirming import confirm

pytestmark = pytest.mark.django_db


@pytest.fixture
def strict(wiki: Application, alice: User, laptop: Device) -> Device:
    """Alice's laptop, where she is granted the wiki on approved devices only."""
    create_grant(
        application=wiki,
        user=alice,
        conditions=ConditionsInput(needs_approved_device=True),
        actor=SYSTEM,
        now=NOW,
    )
    return laptop


def test_the_owner_sees_that_the_device_waits(
    strict: Device, alice: User, sign_in: SignIn
) -> None:
    browser = sign_in(alice)
    for url in ("/devices/", f"/devices/{strict.pk}/"):
        assert "waiting for approval" in browser.get(url).content.decode()


def test_without_a_grant_that_needs_it_nothing_waits(
    laptop: Device, alices_grant: object, alice: User, sign_in: SignIn
) -> None:
    page = sign_in(alice).get(f"/devices/{laptop.pk}/").content.decode()
    assert "waiting for approval" not in page
    assert reverse("console:approve_device", args=(laptop.pk,)) not in page


def test_approving_shows_who_gains_what_and_is_recorded(
    strict: Device, dave: User, alice: User, sign_in: SignIn
) -> None:
    url = reverse("console:approve_device", args=(strict.pk,))
    browser = sign_in(dave)
    page = browser.get(url).content.decode()
    assert "gains" in page
    assert "wiki" in page
    assert confirm(browser, url)["Location"] == f"/devices/{strict.pk}/"
    strict.refresh_from_db()
    assert (strict.is_approved, strict.approved_by) == (True, "Dave")
    assert AuditEvent.objects.get(code=EventCode.DEVICE_APPROVE).actor_label == "Dave"
    page = sign_in(alice).get("/devices/").content.decode()
    assert "waiting for approval" not in page
    assert "approved" in page


def test_withdrawing_shows_who_loses_what_and_is_recorded(
    strict: Device, dave: User, sign_in: SignIn
) -> None:
    services.approve_device(device=strict, actor=SYSTEM, now=NOW)
    url = reverse("console:withdraw_approval", args=(strict.pk,))
    browser = sign_in(dave)
    page = browser.get(url).content.decode()
    assert "loses" in page
    assert "wiki" in page
    strict.refresh_from_db()
    assert strict.is_approved
    answer = confirm(browser, url, confirmed="on")
    assert answer["Location"] == f"/devices/{strict.pk}/"
    strict.refresh_from_db()
    assert not strict.is_approved
    event = AuditEvent.objects.get(code=EventCode.DEVICE_APPROVAL_WITHDRAW)
    assert (event.actor_label, event.device_id) == ("Dave", strict.ref.id)


@pytest.mark.parametrize("act", ["approve_device", "withdraw_approval"])
def test_what_is_done_already_is_said(
    strict: Device, dave: User, sign_in: SignIn, act: str
) -> None:
    if act == "approve_device":
        services.approve_device(device=strict, actor=SYSTEM, now=NOW)
    browser = sign_in(dave)
    url = reverse(f"console:{act}", args=(strict.pk,))
    assert browser.post(url)["Location"] == f"/devices/{strict.pk}/"


def test_a_revoked_device_is_not_approved(
    strict: Device, dave: User, sign_in: SignIn
) -> None:
    services.revoke_device(device=strict, reason="lost", actor=SYSTEM, now=NOW)
    url = reverse("console:approve_device", args=(strict.pk,))
    assert sign_in(dave).post(url)["Location"] == f"/devices/{strict.pk}/"
    strict.refresh_from_db()
    assert not strict.is_approved

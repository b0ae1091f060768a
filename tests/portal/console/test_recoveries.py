"""Gateways that are ahead: in red, and recovered by an administrator who confirms."""

from __future__ import annotations

import pytest

from audit.models import AuditEvent
from peers.models import Gateway
from policies.models import GatewayRecovery
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.peers.makers import NOW

pytestmark = pytest.mark.django_db
PAGE, BEGIN = "/manage/gateways/recovery/", "/manage/gateways/recovery/begin/"
RED = "1 gateway is ahead of this portal: it was restored from a backup"


@pytest.fixture
def ahead(gw1: Gateway) -> GatewayRecovery:
    """Gw1 holds what this portal never issued."""
    return GatewayRecovery.objects.create(
        gateway=gw1, epoch=1, generation=9, noticed_at=NOW
    )


@pytest.mark.parametrize("path", ["/manage/gateways/", "/manage/gateways/{}/"])
def test_readers_see_in_red_who_is_ahead(
    carol: User, sign_in: SignIn, ahead: GatewayRecovery, path: str
) -> None:
    page = sign_in(carol).get(path.format(ahead.gateway_id)).content.decode()
    assert RED in page
    assert "alert-danger" in page


@pytest.mark.parametrize("path", ["/manage/gateways/", "/manage/gateways/{}/"])
def test_nothing_is_red_while_nobody_is_ahead(
    carol: User, sign_in: SignIn, gw1: Gateway, path: str
) -> None:
    page = sign_in(carol).get(path.format(gw1.pk)).content.decode()
    assert "restored from a backup" not in page


def test_an_administrator_begins_a_recovery(
    dave: User, sign_in: SignIn, ahead: GatewayRecovery
) -> None:
    browser = sign_in(dave)
    assert "Revoke" not in browser.get(BEGIN).content.decode()
    assert browser.post(BEGIN, {}).status_code == 302
    ahead.refresh_from_db()
    assert ahead.asked_at is not None
    assert "asked, not answered yet" in browser.get(PAGE).content.decode()
    event = AuditEvent.objects.get(code="GW031")
    assert event.actor_label == "Dave"


def test_an_administrator_goes_on_without_one(
    dave: User, sign_in: SignIn, ahead: GatewayRecovery
) -> None:
    sign_in(dave).post(BEGIN, {"without": [ahead.gateway_id]})
    ahead.refresh_from_db()
    assert ahead.is_left_out
    assert ahead.asked_at is None


def test_only_who_is_ahead_can_be_left_out(
    dave: User, sign_in: SignIn, gw1: Gateway
) -> None:
    page = sign_in(dave).post(BEGIN, {"without": [gw1.pk]})
    assert page.status_code == 200
    assert not AuditEvent.objects.filter(code="GW031").exists()


def test_a_reader_is_offered_no_button(
    carol: User, sign_in: SignIn, ahead: GatewayRecovery
) -> None:
    assert BEGIN not in sign_in(carol).get(PAGE).content.decode()

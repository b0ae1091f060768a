"""Dave revokes alice and watches the gateways confirm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from peers.models import Gateway
from policies.models import Revocation, RevocationNotice, RevocationTarget
from policies.reports import parse_notice_report
from policies.services import record_notice_report
from portal.accounts.models import User
from tests.browser.conftest import Window
from tests.peers.makers import Machine, make_pools
from tests.policies.makers import agent, make_application, make_grant, notice_report

pytestmark = [pytest.mark.django_db(transaction=True)]
WindowOf = Callable[..., Window]


def confirm(gateway: Gateway) -> None:
    """Let the gateway report that it enforces the notice."""
    revocation = Revocation.objects.get()
    moment = revocation.requested_at + timedelta(milliseconds=80)
    text = f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
    number = RevocationNotice.objects.get().number
    value = notice_report(number, received_at=text, applied_at=text, flows_cut=3)
    record_notice_report(
        gateway=gateway,
        report=parse_notice_report(value),
        actor=agent(gateway),
        now=moment,
    )


def test_an_administrator_revokes_a_person_and_sees_each_gateway_enforce_it(
    alice: User, dave: User, gw1: Gateway, window_of: WindowOf
) -> None:
    make_pools()
    laptop = Machine().enroll(alice)
    make_grant(make_application("wiki", "10.1.0.0/24", gateways=[gw1]), user=alice)
    victim, window = window_of(alice), window_of(dave)
    assert "laptop" in victim.open("/devices/")
    window.open(f"/manage/users/{alice.pk}/")
    window.page.click("text=Revoke everywhere")
    for lost in ("1 device", "1 application", "laptop", "wiki"):
        assert lost in window.text
    window.page.fill("[name=reason]", "left the company")
    window.page.click("text=Revoke everywhere, now")
    window.page.wait_for_selector("text=not confirmed yet")
    confirm(gw1)
    window.page.wait_for_selector("text=the slowest after")
    assert "3 connections cut" in window.text
    assert "ms" in window.text
    assert RevocationTarget.objects.get().enforced_at is not None
    laptop.refresh_from_db()
    assert not laptop.is_active
    victim.open("/devices/")
    assert victim.path.startswith("/accounts/login/")
    assert (window.problems, window.violations) == ([], [])


def test_the_page_stops_asking_when_all_have_answered(
    alice: User, dave: User, gw1: Gateway, window_of: WindowOf
) -> None:
    make_pools()
    Machine().enroll(alice)
    window = window_of(dave)
    polls: list[str] = []
    window.page.on("request", lambda request: polls.append(request.url))
    window.open(f"/manage/users/{alice.pk}/revoke/")
    window.page.fill("[name=reason]", "left")
    window.page.click("text=Revoke everywhere, now")
    window.page.wait_for_selector("text=not confirmed yet")
    confirm(gw1)
    window.page.wait_for_selector("text=the slowest after")
    asked = len(polls)
    window.page.wait_for_timeout(1300)
    assert len(polls) == asked
    assert sum("/progress/" in url for url in polls) >= 1

"""The progress of a revocation: enforced, not confirmed yet, and when it polls."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from peers.models import Gateway
from policies.models import Revocation, RevocationTarget
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.peers.makers import make_gateway

pytestmark = pytest.mark.django_db


@pytest.fixture
def revocation(alice: User, clock: datetime) -> Revocation:
    """Revoke alice a moment ago."""
    return Revocation.objects.create(
        user=alice,
        requested_at=clock,
        committed_at=clock,
        reason="left",
        actor_label="Dave",
    )


def progress(browser: Client, revocation: Revocation) -> str:
    url = f"/manage/revocations/{revocation.pk}/progress/"
    return browser.get(url).content.decode()


def enforce(revocation: Revocation, gateway: Gateway, milliseconds: int | None) -> None:
    enforced_at = None
    if milliseconds is not None:
        enforced_at = revocation.requested_at + timedelta(milliseconds=milliseconds)
    RevocationTarget.objects.create(
        revocation=revocation,
        gateway=gateway,
        generation=4,
        enforced_at=enforced_at,
        flows_cut=None if milliseconds is None else 2,
    )


def test_an_unconfirmed_gateway_is_red_and_says_when_it_closes_by_itself(
    revocation: Revocation, gw1: Gateway, carol: User, sign_in: SignIn
) -> None:
    enforce(revocation, gw1, None)
    page = progress(sign_in(carol), revocation)
    assert "not confirmed yet" in page
    assert "60 seconds after its agent stops" in page
    closes = revocation.requested_at + timedelta(seconds=900)
    assert f"{closes:%Y-%m-%d %H:%M}" in page


def test_it_polls_every_half_second_until_all_have_enforced(
    revocation: Revocation, gw1: Gateway, carol: User, sign_in: SignIn
) -> None:
    enforce(revocation, gw1, 64)
    other = make_gateway("lisbon")
    enforce(revocation, other, None)
    assert 'hx-trigger="every 500ms"' in progress(sign_in(carol), revocation)


def test_it_stops_polling_when_all_have_enforced(
    revocation: Revocation, gw1: Gateway, carol: User, sign_in: SignIn
) -> None:
    enforce(revocation, gw1, 64)
    page = progress(sign_in(carol), revocation)
    assert "hx-" not in page
    for expected in ("64 ms", "2 connections cut", "Enforced on 1 gateway"):
        assert expected in page


def test_after_the_lease_it_says_that_the_kernel_has_closed(
    revocation: Revocation, gw1: Gateway, carol: User, sign_in: SignIn
) -> None:
    long_ago = revocation.requested_at - timedelta(hours=1)
    Revocation.objects.filter(pk=revocation.pk).update(committed_at=long_ago)
    enforce(revocation, gw1, None)
    assert "It closed by itself" in progress(sign_in(carol), revocation)


def test_without_a_gateway_it_says_so(
    revocation: Revocation, carol: User, sign_in: SignIn
) -> None:
    page = progress(sign_in(carol), revocation)
    assert "No gateway to tell" in page
    assert "hx-" not in page


def test_the_page_names_person_reason_and_actor(
    revocation: Revocation, carol: User, sign_in: SignIn
) -> None:
    url = f"/manage/revocations/{revocation.pk}/"
    page = sign_in(carol).get(url).content.decode()
    for expected in ("Alice", "left", "Dave"):
        assert expected in page


def test_a_poll_without_a_session_moves_the_whole_page(
    revocation: Revocation, client: Client
) -> None:
    url = f"/manage/revocations/{revocation.pk}/progress/"
    response = client.get(url, headers={"HX-Request": "true"})
    assert response["HX-Redirect"].startswith("/accounts/login/")


def test_the_list_costs_the_same_for_many(
    alice: User,
    revocation: Revocation,
    gw1: Gateway,
    carol: User,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    enforce(revocation, gw1, 64)
    for _ in range(5):
        Revocation.objects.create(
            user=alice,
            requested_at=revocation.requested_at,
            reason="again",
            actor_label="Dave",
        )
    browser = sign_in(carol)
    with django_assert_num_queries(6):
        page = browser.get("/manage/revocations/").content.decode()
    assert "enforced" in page


def test_every_stage_is_shown_as_soon_as_it_is_known(
    revocation: Revocation, gw1: Gateway, carol: User, sign_in: SignIn
) -> None:
    target = RevocationTarget.objects.create(
        revocation=revocation,
        gateway=gw1,
        notified_at=revocation.requested_at + timedelta(milliseconds=41),
    )
    browser = sign_in(carol)
    page = progress(browser, revocation)
    assert "told 41 ms" in page
    assert "not confirmed yet" in page
    assert "reported" not in page
    target.received_at = revocation.requested_at + timedelta(milliseconds=43)
    target.enforced_at = revocation.requested_at + timedelta(milliseconds=60)
    target.reported_at = revocation.requested_at + timedelta(milliseconds=70)
    target.timings = {"verify_ms": 1.0, "persist_ms": 4.0, "wireguard_ms": 2.0}
    target.flows_cut = 1
    target.save()
    page = progress(browser, revocation)
    assert "received 43 ms" in page
    assert "peer removed 50 ms" in page
    assert "connections cut 60 ms" in page
    assert "reported 70 ms" in page


def test_the_list_shows_how_long_past_ones_took(
    revocation: Revocation, gw1: Gateway, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    assert "From the click" not in browser.get("/manage/revocations/").content.decode()
    enforce(revocation, gw1, 64)
    RevocationTarget.objects.update(received_at=revocation.requested_at)
    page = browser.get("/manage/revocations/").content.decode()
    assert "up to 100 ms" in page
    assert '<progress class="progress" value="1" max="1">' in page

"""My devices, one device, and everybody's devices."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.models import AuditEvent
from peers import services
from peers.models import Device, DeviceState, Gateway, KeyState
from policies.models import TunnelSighting
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.peers.makers import NOW, Machine

pytestmark = pytest.mark.django_db


def text(browser: Client, url: str) -> str:
    return browser.get(url).content.decode()


def test_the_list_names_devices_with_addresses(
    alice: User, laptop: Device, sign_in: SignIn
) -> None:
    page = text(sign_in(alice), "/devices/")
    assert "laptop" in page
    assert all(lease.address in page for lease in laptop.leases.all())
    assert "not yet" in page


def test_without_a_device_the_list_says_what_to_do(bob: User, sign_in: SignIn) -> None:
    page = text(sign_in(bob), "/devices/")
    assert "No device yet" in page
    assert reverse("console:add_device") in page


def test_the_list_does_not_name_devices_of_others(
    bob: User, laptop: Device, sign_in: SignIn
) -> None:
    assert f"/devices/{laptop.pk}/" not in text(sign_in(bob), "/devices/")


def test_the_list_costs_the_same_for_many_devices(
    alice: User,
    laptop: Device,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(5):
        Machine().enroll(alice, name=f"machine {number}")
    browser = sign_in(alice)
    with django_assert_num_queries(8):
        text(browser, "/devices/")


def test_the_detail_shows_keys_and_what_the_device_reaches(
    alice: User, laptop: Device, alices_grant: object, sign_in: SignIn
) -> None:
    page = text(sign_in(alice), f"/devices/{laptop.pk}/")
    assert laptop.keys.get().public_key in page
    assert "10.1.0.0/24 tcp/443" in page


def test_an_owner_renames_a_device(
    alice: User, laptop: Device, sign_in: SignIn
) -> None:
    url = reverse("console:rename_device", args=(laptop.pk,))
    response = sign_in(alice).post(url, {"name": "studio"})
    assert response["Location"] == f"/devices/{laptop.pk}/"
    laptop.refresh_from_db()
    assert laptop.name == "studio"
    assert AuditEvent.objects.get(code=EventCode.DEVICE_UPDATE).actor_label == "Alice"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a\u202eb", "U+202E"),
        ("a\nPostUp = touch x", "U+000A"),
        ("a\x00b", "Null characters"),
        ("a" * 65, "64"),
    ],
    ids=["bidi", "newline", "nul", "long"],
)
def test_a_bad_name_comes_back_with_a_reason_and_is_one_event(
    alice: User, laptop: Device, sign_in: SignIn, name: str, says: str
) -> None:
    url = reverse("console:rename_device", args=(laptop.pk,))
    response = sign_in(alice).post(url, {"name": name})
    assert response.status_code == 200
    assert says in response.content.decode()
    laptop.refresh_from_db()
    assert laptop.name == "laptop"
    event = AuditEvent.objects.get(code=EventCode.DEVICE_UPDATE)
    assert (event.outcome, event.device_id) == (Outcome.REFUSED, laptop.ref.id)


def test_the_confirm_page_names_what_stops_working(
    alice: User, laptop: Device, alices_grant: object, sign_in: SignIn
) -> None:
    page = text(sign_in(alice), reverse("console:revoke_device", args=(laptop.pk,)))
    assert "wiki" in page
    assert laptop.leases.all()[0].address in page
    laptop.refresh_from_db()
    assert laptop.is_active


def test_revoking_ends_device_and_key_and_is_recorded(
    alice: User, laptop: Device, sign_in: SignIn
) -> None:
    url = reverse("console:revoke_device", args=(laptop.pk,))
    response = sign_in(alice).post(url, {"reason": "lost on the train"})
    assert response["Location"] == f"/devices/{laptop.pk}/"
    laptop.refresh_from_db()
    assert laptop.state == DeviceState.REVOKED
    assert laptop.keys.get().state == KeyState.REVOKED
    event = AuditEvent.objects.get(code=EventCode.DEVICE_REVOKE)
    assert (event.reason, event.actor_label) == ("lost on the train", "Alice")


def test_revoking_demands_a_reason(
    alice: User, laptop: Device, sign_in: SignIn
) -> None:
    url = reverse("console:revoke_device", args=(laptop.pk,))
    assert sign_in(alice).post(url, {"reason": ""}).status_code == 200
    laptop.refresh_from_db()
    assert laptop.is_active


def test_an_administrator_revokes_a_device_of_another(
    dave: User, laptop: Device, sign_in: SignIn
) -> None:
    url = reverse("console:revoke_device", args=(laptop.pk,))
    sign_in(dave).post(url, {"reason": "stolen"})
    laptop.refresh_from_db()
    assert not laptop.is_active


def test_a_revoked_device_is_listed_apart_and_offers_no_act(
    alice: User, laptop: Device, sign_in: SignIn
) -> None:
    services.revoke_device(device=laptop, reason="x", actor=SYSTEM, now=NOW)
    browser = sign_in(alice)
    assert "These devices reach nothing" in text(browser, "/devices/")
    assert "/revoke/" not in text(browser, f"/devices/{laptop.pk}/")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", True),
        ("q=lap", True),
        ("q=Alice", True),
        ("q=100.64.0.", True),
        ("q=phone", False),
        ("state=active", True),
        ("state=revoked", False),
        ("page=99", True),
        ("state=nonsense", True),
    ],
)
def test_readers_search_all_devices(
    query: str, found: bool, carol: User, laptop: Device, sign_in: SignIn
) -> None:
    page = text(sign_in(carol), f"/manage/devices/?{query}")
    assert (f"/devices/{laptop.pk}/" in page) is found


def test_the_list_of_all_devices_costs_the_same_for_many(
    alice: User,
    bob: User,
    carol: User,
    laptop: Device,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(4):
        Machine().enroll(bob, name=f"machine {number}", now=NOW + timedelta(days=1))
    browser = sign_in(carol)
    with django_assert_num_queries(8):
        text(browser, "/manage/devices/")


def test_the_enrolment_page_holds_nothing_secret_and_asks_for_name_and_kind(
    alice: User, sign_in: SignIn
) -> None:
    page = text(sign_in(alice), "/devices/add/")
    assert 'name="name"' in page
    assert 'name="platform"' in page
    assert "PrivateKey" not in page


def test_without_a_tunnel_the_detail_says_so(
    alice: User, laptop: Device, sign_in: SignIn
) -> None:
    page = text(sign_in(alice), f"/devices/{laptop.pk}/")
    assert "No gateway has seen this device within seven days" in page


@pytest.mark.parametrize("viewer", ["alice", "carol", "dave"])
def test_the_detail_shows_the_last_that_each_gateway_told(
    viewer: str,
    laptop: Device,
    gw1: Gateway,
    sign_in: SignIn,
    request: pytest.FixtureRequest,
) -> None:
    seen = {"device": laptop, "gateway": gw1, "handshake_at": NOW, "port": 51820}
    for minutes, address in ((0, "198.51.100.7"), (5, "203.0.113.9")):
        TunnelSighting.objects.create(
            seen_at=NOW + timedelta(minutes=minutes),
            address=address,
            bytes_up=2048,
            bytes_down=5 * 1024**2,
            **seen,
        )
    page = text(sign_in(request.getfixturevalue(viewer)), f"/devices/{laptop.pk}/")
    assert "203.0.113.9" in page
    assert "port 51820, told" in page
    assert "198.51.100.7" not in page
    assert "2.0" in page
    assert "5.0" in page
    assert gw1.name in page


def test_what_was_told_before_transfer_was_kept_is_shown_without_it(
    alice: User, laptop: Device, gw1: Gateway, sign_in: SignIn
) -> None:
    TunnelSighting.objects.create(device=laptop, gateway=gw1, seen_at=NOW)
    page = text(sign_in(alice), f"/devices/{laptop.pk}/")
    assert "none yet" in page
    assert "not known" in page
    assert "not told" in page

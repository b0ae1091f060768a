"""Who held an address at a moment: the device, the person, the key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from audit.actor import SYSTEM
from audit.events import EventCode
from audit.models import AuditEvent
from peers import holders
from peers.keys import fingerprint
from peers.models import Device
from peers.services import revoke_device
from portal.accounts.models import User
from portal.console.holders import link_time
from tests.conftest import SignIn
from tests.peers.makers import Machine

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def began(laptop: Device) -> datetime:
    """Return when alice's laptop got its addresses."""
    return laptop.leases.get(address__contains=".").leased_at


@pytest.fixture
def address(laptop: Device) -> str:
    """Return the laptop's IPv4 address."""
    return laptop.leases.get(address__contains=".").address


def ask(browser: Client, address: str, at: datetime) -> list[tuple[str, str]]:
    answer = browser.get("/api/v1/holders/", {"address": address, "at": at.isoformat()})
    assert answer.status_code == 200
    return [(row["holding"], row["person"]["name"]) for row in answer.json()["rows"]]


def revoke(laptop: Device, at: datetime) -> None:
    revoke_device(device=laptop, reason="lost", actor=SYSTEM, now=at)


def test_an_address_belongs_to_its_holder_from_the_first_moment_on(
    laptop: Device, address: str, began: datetime, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    assert ask(browser, address, began - timedelta(microseconds=1)) == []
    assert ask(browser, address, began) == [("held", "Alice")]


def test_a_released_address_names_who_held_it_last_while_in_quarantine(
    laptop: Device, address: str, began: datetime, carol: User, sign_in: SignIn
) -> None:
    revoke(laptop, began + HOUR)
    browser = sign_in(carol)
    assert ask(browser, address, began + HOUR / 2) == [("held", "Alice")]
    assert ask(browser, address, began + HOUR) == [("in quarantine", "Alice")]
    assert ask(browser, address, began + timedelta(days=400)) == []


def test_an_address_of_ipv6_is_in_quarantine_for_ever(
    laptop: Device, began: datetime, carol: User, sign_in: SignIn
) -> None:
    address = laptop.leases.get(address__contains=":").address
    revoke(laptop, began + HOUR)
    later = began + timedelta(days=4000)
    assert ask(sign_in(carol), address, later) == [("in quarantine", "Alice")]


def test_a_prefix_lists_every_address_in_it(
    laptop: Device, began: datetime, bob: User, carol: User, sign_in: SignIn
) -> None:
    Machine().enroll(bob, now=began)
    found = ask(sign_in(carol), "100.64.0.0/10", began)
    assert {name for _, name in found} == {"Alice", "Bob"}
    assert ask(sign_in(carol), "192.0.2.0/24", began) == []


def test_the_page_names_device_person_and_key_and_records_the_question(
    laptop: Device, address: str, began: datetime, carol: User, sign_in: SignIn
) -> None:
    asked = {"address": address, "at": link_time(began)}
    page = sign_in(carol).get("/audit/addresses/", asked).content.decode()
    key = fingerprint(laptop.keys.get().public_key)
    assert [
        part for part in ("Alice", "laptop", key, address) if part not in page
    ] == []
    event = AuditEvent.objects.get(code=EventCode.POLICY_QUERY)
    assert event.details["question"] == "holder"
    assert event.details["address"] == address


def test_nobody_is_an_answer(carol: User, sign_in: SignIn) -> None:
    page = sign_in(carol).get("/audit/addresses/?address=192.0.2.1").content.decode()
    assert "No device held it at that moment" in page


@pytest.mark.parametrize("query", ["address=banana", "address=10.0.0.1/8", "at=x"])
def test_a_wrong_question_is_explained(
    query: str, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    for path in ("/audit/addresses/", "/api/v1/holders/"):
        assert browser.get(f"{path}?{query}").status_code == 400
    assert not AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).exists()


@pytest.mark.usefixtures("laptop")
def test_an_employee_may_not_ask(mallory: User, sign_in: SignIn) -> None:
    assert sign_in(mallory).get("/api/v1/holders/?address=::1").status_code == 403


def test_a_list_that_was_cut_says_so(
    laptop: Device,
    began: datetime,
    carol: User,
    sign_in: SignIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Machine().enroll(laptop.owner, name="phone", now=began)
    monkeypatch.setattr(holders, "LISTED", 1)
    page = sign_in(carol).get("/audit/addresses/?address=100.64.0.0/10")
    assert "Only the first 1 are listed" in page.content.decode()


def test_many_holders_cost_the_same(
    laptop: Device,
    carol: User,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(3):
        Machine().enroll(laptop.owner, name=f"phone {number}")
    browser = sign_in(carol)
    # Session, person, the reader's salt (sought, made, read), the event of the
    # question, the leases, their keys.
    with django_assert_num_queries(8):
        browser.get("/audit/addresses/?address=100.64.0.0/10")


@pytest.mark.parametrize(
    ("microsecond", "expected"),
    [(0, "12:00:00.000"), (1, "12:00:00.001"), (999_500, "12:00:01.000")],
)
def test_a_link_asks_for_the_moment_in_milliseconds(
    microsecond: int, expected: str
) -> None:
    at = datetime(2026, 5, 3, 12, 0, 0, microsecond, tzinfo=UTC)
    assert link_time(at) == f"2026-05-03T{expected}"

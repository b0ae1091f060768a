"""Strangers cannot fill the log, and what was not written was counted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client

from audit import refusals
from audit.actor import Actor, ActorKind
from audit.events import EventCode
from audit.models import AuditEvent, RefusalCount
from tests.audit.conftest import NOON

pytestmark = pytest.mark.django_db
CODE = EventCode.GATEWAY_REQUEST_REFUSED
MINUTE = timedelta(minutes=1)


def refuse(times: int, *, address: str = "203.0.113.9", minutes: int = 0) -> None:
    """Refuse a stranger so many times."""
    stranger = Actor(kind=ActorKind.ANONYMOUS, address=address)
    for _ in range(times):
        refusals.record_refusal(CODE, actor=stranger, now=NOON + minutes * MINUTE)


def written() -> int:
    """Return how many refusals stand in the log."""
    return AuditEvent.objects.filter(code=CODE.value, outcome="W").count()


def test_first_refusals_of_a_place_are_written_and_the_rest_counted() -> None:
    refuse(refusals.FROM_ONE_PLACE + 7)
    assert written() == refusals.FROM_ONE_PLACE
    refusals.report(now=NOON + MINUTE)
    event = AuditEvent.objects.get(code="AU010")
    assert event.outcome == "A"
    assert event.details == {
        "code": CODE.value,
        "minute": NOON.isoformat(),
        "suppressed": 7,
        "places": 1,
        "most_from": {"203.0.113.9": 7},
    }


def test_one_place_does_not_silence_another() -> None:
    refuse(refusals.FROM_ONE_PLACE + 1)
    refuse(1, address="198.51.100.1")
    assert written() == refusals.FROM_ONE_PLACE + 1


def test_all_places_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "FROM_EVERYWHERE", 5)
    for number in range(9):
        refuse(1, address=f"203.0.113.{number}")
    assert written() == 5
    refusals.report(now=NOON + MINUTE)
    told = AuditEvent.objects.get(code="AU010").details
    assert (told["suppressed"], told["places"]) == (4, 4)


def test_addresses_of_one_ipv6_network_are_one_place() -> None:
    for number in range(refusals.FROM_ONE_PLACE + 5):
        refuse(1, address=f"2001:db8::{number:x}")
    assert written() == refusals.FROM_ONE_PLACE


def test_next_minute_begins_anew() -> None:
    refuse(refusals.FROM_ONE_PLACE + 1)
    refuse(1, minutes=1)
    assert written() == refusals.FROM_ONE_PLACE + 1


def test_report_leaves_the_minute_that_runs_and_says_nothing_twice() -> None:
    refuse(refusals.FROM_ONE_PLACE + 1)
    assert refusals.report(now=NOON + MINUTE / 2) == 0
    assert refusals.report(now=NOON + MINUTE) == 1
    assert refusals.report(now=NOON + MINUTE) == 0
    assert not RefusalCount.objects.exists()


def test_what_was_not_suppressed_is_not_reported() -> None:
    refuse(refusals.FROM_ONE_PLACE)
    assert refusals.report(now=NOON + MINUTE) == 0


def knock_at_sign_in(client: Client) -> None:
    client.get("/accounts/sso/login/callback/?error=access_denied")


def knock_as_gateway(client: Client) -> None:
    client.post("/api/gateway/v1/acks")


@pytest.mark.parametrize("knock", [knock_at_sign_in, knock_as_gateway])
def test_strangers_cannot_fill_the_log(
    client: Client, knock: Callable[[Client], None]
) -> None:
    for _ in range(3 * refusals.FROM_ONE_PLACE):
        knock(client)
    # A minute may end in between.
    assert AuditEvent.objects.count() <= 2 * refusals.FROM_ONE_PLACE


@pytest.mark.django_db(transaction=True)
def test_many_at_once_are_counted_exactly() -> None:
    def knock(_number: int) -> None:
        try:
            refuse(1)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(knock, range(40)))
    assert written() == refusals.FROM_ONE_PLACE
    refusals.report(now=NOON + MINUTE)
    told = AuditEvent.objects.get(code="AU010").details
    assert told["suppressed"] == 40 - refusals.FROM_ONE_PLACE

"""Channels move once, a second holder brings quarantine, a release begins anew."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers import services
from peers.models import Gateway, GatewayChannel
from peers.sequences import Position, Verdict
from tests.peers.makers import NOW, codes

pytestmark = pytest.mark.django_db
BEGUN = int(NOW.timestamp())


def advance(gateway: Gateway, sequence: int, created: int) -> Verdict:
    seen = Position(sequence=sequence, created=BEGUN + created)
    return services.advance_channel(gateway=gateway, channel="acks", seen=seen)


def quarantine(gateway: Gateway) -> Gateway:
    seen = Position(sequence=5, created=BEGUN + 9)
    return services.quarantine_gateway(
        gateway=gateway, channel="acks", seen=seen, actor=SYSTEM, now=NOW
    )


def test_a_channel_keeps_the_latest_date_that_was_signed(gw1: Gateway) -> None:
    for sequence, created in ((5, 0), (6, 30), (7, 10)):
        assert advance(gw1, sequence, created) is Verdict.ACCEPTED
    channel = GatewayChannel.objects.get()
    assert channel.sequence == 7
    assert channel.signed_at == datetime.fromtimestamp(BEGUN + 30, UTC)


def test_a_refused_request_moves_nothing(gw1: Gateway) -> None:
    advance(gw1, 5, 0)
    assert advance(gw1, 5, 0) is Verdict.REPLAYED
    assert advance(gw1, 4, 1) is Verdict.SECOND_HOLDER
    assert GatewayChannel.objects.get().position == Position(sequence=5, created=BEGUN)


def test_quarantine_is_one_alert_that_says_what_was_seen(gw1: Gateway) -> None:
    advance(gw1, 5, 0)
    for _ in range(2):
        assert quarantine(gw1).quarantined_at == NOW
    assert codes() == ["GW020A"]
    event = AuditEvent.objects.get()
    assert event.gateway_id == gw1.ref.id
    assert event.details == {
        "channel": "acks",
        "is_former_key": False,
        "sequence": 5,
        "created": BEGUN + 9,
        "last_sequence": 5,
        "last_created": BEGUN,
    }


def test_a_released_gateway_begins_anew_but_not_with_what_was_signed_before(
    gw1: Gateway,
) -> None:
    advance(gw1, 500, 0)
    quarantine(gw1)
    services.release_gateway(
        gateway=gw1,
        reason="the copy is\ngone",
        actor=SYSTEM,
        now=NOW + timedelta(seconds=20),
    )
    assert gw1.quarantined_at is None
    event = AuditEvent.objects.latest("id")
    assert (str(event), event.reason) == ("GW021I", "the copy is gone")
    assert advance(gw1, 500, 0) is Verdict.REPLAYED
    assert advance(gw1, 501, 20) is Verdict.REPLAYED
    assert advance(gw1, 3, 21) is Verdict.ACCEPTED


def test_a_release_never_opens_for_what_a_fast_clock_signed(gw1: Gateway) -> None:
    advance(gw1, 5, 50)
    quarantine(gw1)
    services.release_gateway(gateway=gw1, reason="x", actor=SYSTEM, now=NOW)
    assert advance(gw1, 5, 50) is Verdict.REPLAYED


def test_releasing_what_is_free_changes_nothing(gw1: Gateway) -> None:
    advance(gw1, 5, 0)
    services.release_gateway(gateway=gw1, reason="x", actor=SYSTEM, now=NOW)
    assert codes() == []
    assert GatewayChannel.objects.get().sequence == 5


@pytest.mark.django_db(transaction=True)
def test_f04_of_many_at_once_each_number_is_taken_once(gw1: Gateway) -> None:
    """Twelve numbers, each sent three times at once: none twice, nobody accused."""
    advance(gw1, 1, 0)

    def attempt(number: int) -> Verdict:
        try:
            return advance(gw1, 2 + number % 12, number % 12)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        verdicts = [*threads.map(attempt, range(36))]
    assert Verdict.SECOND_HOLDER not in verdicts
    assert 1 <= verdicts.count(Verdict.ACCEPTED) <= 12
    assert GatewayChannel.objects.get().sequence == 13


@pytest.mark.django_db(transaction=True)
def test_f04_second_holders_at_once_are_one_alert(gw1: Gateway) -> None:
    advance(gw1, 9, 0)

    def attempt(number: int) -> Verdict:
        try:
            verdict = advance(gw1, number % 9 + 1, number + 1)
            quarantine(gw1)
            return verdict
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        assert {*threads.map(attempt, range(18))} == {Verdict.SECOND_HOLDER}
    assert codes() == ["GW020A"]

"""Notifications arrive at real servers, or are tried again and given up on record."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import ip_network

import pytest
from django.core import mail
from pytest_django import Settings

from audit.actor import Actor
from audit.alarms import channels, delivery
from audit.alarms.channels import ChannelInput
from audit.alarms.models import (
    AlarmChannel,
    ChannelKind,
    Delivery,
    DeliveryState,
)
from audit.alarms.routing import TRIES
from audit.alarms.services import raise_findings
from audit.models import AuditEvent
from tests.audit.alarms.mail_server import mail_server
from tests.audit.alarms.makers import NOW, after, finding
from tests.audit.receiver import receiving

pytestmark = pytest.mark.django_db
Make = Callable[..., tuple[AlarmChannel, str]]


@pytest.fixture(autouse=True)
def loopback(settings: Settings) -> None:
    """Allow plain HTTP to this machine."""
    settings.PEERAGE_OUTBOUND_HTTP = True
    settings.PEERAGE_OUTBOUND_NETWORKS = [
        ip_network("127.0.0.0/8"),
        ip_network("::1/128"),
    ]


@pytest.fixture
def make(actor: Actor) -> Make:
    """Make channels."""

    def channel(
        kind: ChannelKind, address: str, **more: object
    ) -> tuple[AlarmChannel, str]:
        wanted = ChannelInput(
            name=str(more.get("name", "desk")), kind=kind, address=address
        )
        return channels.create_channel(wanted=wanted, actor=actor, now=NOW)

    return channel


def at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


def outcomes() -> list[str]:
    rows = AuditEvent.objects.filter(code="AU009").order_by("pk")
    return [f"{row} {row.details['attempts']}" for row in rows]


def test_a_webhook_is_signed_and_recorded(make: Make) -> None:
    with receiving() as receiver:
        _, secret = make(ChannelKind.WEBHOOK, receiver.url)
        (alarm,) = raise_findings([finding()], now=NOW)
        assert delivery.deliver_due(clock=at(NOW)) == 1
    (taken,) = receiver.taken
    stamp = taken.headers["X-Peerage-Timestamp"]
    signed = f"{stamp}.".encode() + taken.body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    assert taken.headers["X-Peerage-Signature"] == f"v1={digest}"
    told = json.loads(taken.body)
    assert told["alarm"]["id"] == alarm.ref.id
    assert told["alarm"]["url"] == f"http://testserver/audit/alarms/{alarm.pk}/"
    sent = Delivery.objects.get()
    assert told["delivery"] == taken.headers["X-Peerage-Delivery"] == str(sent.uid)
    assert (sent.state, sent.ended_at) == (DeliveryState.DELIVERED, NOW)
    assert outcomes() == ["AU009I 1"]


def test_what_arrived_is_not_sent_again(make: Make) -> None:
    with receiving() as receiver:
        make(ChannelKind.WEBHOOK, receiver.url)
        raise_findings([finding()], now=NOW)
        for seconds in range(3):
            delivery.deliver_due(clock=at(after(seconds)))
    assert len(receiver.taken) == 1


def test_slack_gets_its_own_form_and_no_signature(make: Make) -> None:
    with receiving() as receiver:
        _, secret = make(ChannelKind.SLACK, receiver.url)
        raise_findings([finding()], now=NOW)
        delivery.deliver_due(clock=at(NOW))
    (taken,) = receiver.taken
    assert secret == ""
    assert "X-Peerage-Signature" not in taken.headers
    assert json.loads(taken.body)["text"].startswith("New: Gateway changed by hand")


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_failure_is_tried_again_later_with_the_same_number(
    status: int, make: Make
) -> None:
    with receiving(status, 200, location="http://localhost:1/") as receiver:
        make(ChannelKind.WEBHOOK, receiver.url)
        raise_findings([finding()], now=NOW)
        assert delivery.deliver_due(clock=at(NOW)) == 0
        waiting = Delivery.objects.get()
        assert str(status) in waiting.last_error
        assert waiting.next_attempt_at == after(30)
        assert delivery.deliver_due(clock=at(after(29))) == 0
        assert delivery.deliver_due(clock=at(after(30))) == 1
    numbers = {taken.headers["X-Peerage-Delivery"] for taken in receiver.taken}
    assert (len(receiver.taken), len(numbers)) == (2, 1)
    assert outcomes() == ["AU009I 2"]


def test_after_the_last_try_it_is_given_up_with_an_event(make: Make) -> None:
    with receiving(503) as receiver:
        make(ChannelKind.WEBHOOK, receiver.url)
        raise_findings([finding()], now=NOW)
        moment = NOW
        for _ in range(TRIES + 2):
            delivery.deliver_due(clock=at(moment))
            moment += timedelta(hours=2)
    assert len(receiver.taken) == TRIES
    assert Delivery.objects.get().state == DeliveryState.GIVEN_UP
    assert outcomes() == [f"AU009E {TRIES}"]
    assert "503" in AuditEvent.objects.get(code="AU009").reason


def test_a_channel_that_fails_costs_a_run_one_try(make: Make) -> None:
    with receiving(500) as bad, receiving() as good:
        make(ChannelKind.WEBHOOK, bad.url, name="bad")
        make(ChannelKind.WEBHOOK, good.url, name="good")
        raise_findings([finding(key=f"gw_{n}") for n in range(5)], now=NOW)
        delivery.deliver_due(clock=at(NOW))
    assert (len(bad.taken), len(good.taken)) == (1, 5)


def test_a_run_begins_nothing_after_its_time(make: Make) -> None:
    with receiving() as receiver:
        make(ChannelKind.WEBHOOK, receiver.url)
        raise_findings([finding(key=f"gw_{n}") for n in range(5)], now=NOW)
        ticks = iter(range(0, 1000, 3))
        delivery.deliver_due(clock=lambda: after(next(ticks)))
    assert 0 < len(receiver.taken) < 5


def test_two_workers_send_one_notification_once(make: Make) -> None:
    with receiving() as receiver:
        make(ChannelKind.WEBHOOK, receiver.url)
        raise_findings([finding()], now=NOW)
        first, second = (Delivery.objects.get() for _ in range(2))
        assert delivery._taken(first, NOW)  # noqa: SLF001 -- what a second worker races with
        assert not delivery._taken(second, NOW)  # noqa: SLF001 -- the same
        assert delivery.deliver_due(clock=at(NOW)) == 0
    assert receiver.taken == []


def test_what_a_dead_worker_held_is_sent_by_another(make: Make) -> None:
    with receiving() as receiver:
        make(ChannelKind.WEBHOOK, receiver.url)
        raise_findings([finding()], now=NOW)
        assert delivery._taken(Delivery.objects.get(), NOW)  # noqa: SLF001 -- it dies here
        assert delivery.deliver_due(clock=at(NOW + delivery.HOLD)) == 1
    assert len(receiver.taken) == 1


def test_nothing_goes_to_an_address_inside(make: Make, settings: Settings) -> None:
    settings.PEERAGE_OUTBOUND_NETWORKS = []
    with receiving() as receiver:
        make(ChannelKind.WEBHOOK, receiver.url)
        raise_findings([finding()], now=NOW)
        assert delivery.deliver_due(clock=at(NOW)) == 0
    assert receiver.taken == []
    assert "may not connect" in Delivery.objects.get().last_error


def test_a_channel_that_is_off_sends_nothing(make: Make) -> None:
    with receiving() as receiver:
        channel, _ = make(ChannelKind.WEBHOOK, receiver.url)
        raise_findings([finding()], now=NOW)
        AlarmChannel.objects.filter(pk=channel.pk).update(enabled=False)
        assert delivery.deliver_due(clock=at(NOW)) == 0
    assert receiver.taken == []


def test_a_secret_that_cannot_be_read_is_a_failure(
    make: Make, settings: Settings
) -> None:
    with receiving() as receiver:
        make(ChannelKind.WEBHOOK, receiver.url)
        raise_findings([finding()], now=NOW)
        settings.SECRET_KEY = "another-key" * 5
        assert delivery.deliver_due(clock=at(NOW)) == 0
    assert "another secret key" in Delivery.objects.get().last_error


def test_a_test_says_that_it_is_one(make: Make, actor: Actor) -> None:
    with receiving() as receiver:
        channel, _ = make(ChannelKind.WEBHOOK, receiver.url)
        channels.test_channel(channel=channel, actor=actor, now=NOW)
        assert delivery.deliver_due(clock=at(NOW)) == 1
    told = json.loads(receiver.taken[0].body)
    assert (told["cause"], told["alarm"]["rule"]) == ("test", "test")
    assert AuditEvent.objects.get(code="AL008").target_id == channel.ref.id


def test_mail_arrives_at_a_mail_server(make: Make, settings: Settings) -> None:
    with mail_server() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        make(ChannelKind.MAIL, "desk@example.test, night@example.test")
        (alarm,) = raise_findings([finding()], now=NOW)
        assert delivery.deliver_due(clock=at(NOW)) == 1
    assert server.recipients == ["desk@example.test", "night@example.test"]
    (message,) = server.taken
    assert message["Subject"] == "[peerage] New: Gateway changed by hand (alert)"
    assert message["Auto-Submitted"] == "auto-generated"
    assert f"/audit/alarms/{alarm.pk}/" in message.get_content()
    assert outcomes() == ["AU009I 1"]


def test_mail_that_is_refused_is_tried_again(make: Make, settings: Settings) -> None:
    with mail_server(refusal="451 later") as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        make(ChannelKind.MAIL, "desk@example.test")
        raise_findings([finding()], now=NOW)
        delivery.deliver_due(clock=at(NOW))
        server.refusal = ""
        delivery.deliver_due(clock=at(after(30)))
    assert len(server.taken) == 1
    assert outcomes() == ["AU009I 2"]


def test_mail_without_a_server_is_no_success(make: Make, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    make(ChannelKind.MAIL, "desk@example.test")
    raise_findings([finding()], now=NOW)
    assert delivery.deliver_due(clock=at(NOW)) == 0
    assert "PEERAGE_MAIL_HOST" in Delivery.objects.get().last_error


def test_a_name_forges_no_header_of_a_mail(make: Make, settings: Settings) -> None:
    settings.PEERAGE_DEPLOYMENT = "a\r\nBcc: mallory@example.test"
    make(ChannelKind.MAIL, "desk@example.test")
    raise_findings([finding()], now=NOW)
    delivery.deliver_due(clock=at(NOW))
    (message,) = mail.outbox
    assert message.recipients() == ["desk@example.test"]
    assert "\n" not in message.subject


def test_notifications_of_long_ago_are_forgotten(make: Make) -> None:
    with receiving() as receiver:
        make(ChannelKind.WEBHOOK, receiver.url)
        raise_findings([finding()], now=NOW)
        delivery.deliver_due(clock=at(NOW))
    assert delivery.forget_old(now=NOW + delivery.KEPT) == 0
    assert delivery.forget_old(now=NOW + delivery.KEPT + timedelta(seconds=1)) == 1
    assert outcomes() == ["AU009I 1"]

"""D08, D09, D11: what people write is shown as text, wherever it turns up."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest
from django.core import mail
from django.test import Client

from audit.actor import SYSTEM, Actor, ActorKind, Ref
from audit.events import EventCode, Outcome
from audit.models import AuditEvent
from audit.services import record
from peers.models import Device
from peers.services import rename_device
from policies import services
from policies.models import Application
from portal.accounts.models import User
from tests.conftest import NOW, SignIn

pytestmark = pytest.mark.django_db
TEMPLATE: Final = "{{7*7}}{% debug %}${7*7}"
MARKUP: Final = "<img src=x onerror=alert(1)>"
ESCAPED: Final = "&lt;img src=x onerror=alert(1)&gt;"
UNSEEN: Final = "a\r\n\x1b[2J\u202e\x00b"
SEEN: Final = r"a\x0d\x0a\x1b[2J\u202e\x00b"


@pytest.fixture
def reader(carol: User, sign_in: SignIn) -> Client:
    """The auditor's browser."""
    return sign_in(carol)


@pytest.mark.parametrize(
    ("name", "shown"), [(TEMPLATE, TEMPLATE), (MARKUP, ESCAPED)], ids=["D08", "D09"]
)
def test_a_devices_name_is_text_on_every_page_that_has_it(
    laptop: Device, alice: User, sign_in: SignIn, reader: Client, name: str, shown: str
) -> None:
    rename_device(device=laptop, name=name, actor=SYSTEM, now=NOW)
    for browser, path in (
        (sign_in(alice), "/devices/"),
        (sign_in(alice), f"/devices/{laptop.pk}/"),
        (reader, "/manage/devices/"),
        (reader, f"/manage/users/{alice.pk}/"),
        (reader, "/audit/events/"),
    ):
        page = browser.get(path).content.decode()
        assert shown in page, path
        assert MARKUP not in page, path


@pytest.mark.parametrize("text", [TEMPLATE, MARKUP], ids=["D08", "D09"])
def test_a_mail_is_plain_text_and_says_what_was_written(
    wiki: Application, alice: User, dave: User, text: str
) -> None:
    services.update_request_rules(
        application=wiki,
        is_requestable=True,
        owner=dave,
        approver_group=None,
        needs_two_approvals=False,
        actor=SYSTEM,
        now=NOW,
    )
    services.request_access(
        application=wiki,
        requester=alice,
        reason=text,
        duration=timedelta(hours=1),
        actor=SYSTEM,
        now=NOW,
    )
    services.remind_approvers(now=NOW)
    (letter,) = mail.outbox
    assert text in letter.body
    assert letter.content_subtype == "plain"
    assert not getattr(letter, "alternatives", [])
    assert "\n" not in letter.subject


def test_the_log_shows_what_cannot_be_seen(reader: Client) -> None:
    record(
        EventCode.ACCESS_REFUSED,
        actor=Actor(kind=ActorKind.ANONYMOUS, label=UNSEEN),
        now=NOW,
        target=Ref(id="page", label=UNSEEN),
        reason=UNSEEN,
        outcome=Outcome.REFUSED,
    )
    event = AuditEvent.objects.get()
    page = reader.get(f"/audit/events/{event.uid}/").content.decode()
    listed = reader.get("/audit/events/").content.decode()
    for text in (page, listed):
        assert SEEN in text
        assert not {"\x1b", "\u202e", "\x00"} & set(text)

"""Channels of alarms: made with a recent proof, the secret shown once, tested."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from audit.alarms.models import AlarmChannel, Delivery
from audit.models import AuditEvent
from portal.accounts.models import User
from tests.conftest import SignIn

pytestmark = pytest.mark.django_db
LIST = "/audit/alarms/channels/"
URL = "https://hooks.example/services/topsecret"
SECRET = re.compile(r"peerage_wh_[A-Za-z0-9_-]{43}")


def filled(**changed: object) -> dict[str, object]:
    return {
        "name": "desk",
        "kind": "webhook",
        "address": URL,
        "least_severity": "2",
        "rules": ["drift"],
        "enabled": "on",
        **changed,
    }


@pytest.fixture
def made(dave: User, sign_in: SignIn) -> AlarmChannel:
    """A webhook."""
    sign_in(dave).post(f"{LIST}add/", filled())
    return AlarmChannel.objects.get()


def test_the_secret_is_shown_once(dave: User, sign_in: SignIn) -> None:
    browser = sign_in(dave)
    answer = browser.post(f"{LIST}add/", filled())
    (secret,) = set(SECRET.findall(answer.content.decode()))
    assert "no-store" in answer["Cache-Control"]
    channel = AlarmChannel.objects.get()
    assert (channel.least_severity, channel.rules) == (2, "drift")
    for path in (LIST, f"{LIST}{channel.pk}/", f"{LIST}{channel.pk}/edit/"):
        page = browser.get(path).content.decode()
        assert secret not in page
        assert "topsecret" not in page


def test_mail_has_no_secret(dave: User, sign_in: SignIn) -> None:
    sent = filled(kind="mail", address="desk@example.test", rules=[])
    answer = sign_in(dave).post(f"{LIST}add/", sent)
    channel = AlarmChannel.objects.get()
    assert answer["Location"] == f"{LIST}{channel.pk}/"
    assert channel.address == "desk@example.test"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": ""}, "required"),
        ({"kind": "pigeon"}, "not one of the available"),
        ({"address": "http://hooks.example/"}, "begins with https"),
        ({"address": "https://user:word@hooks.example/"}, "no user"),
        ({"least_severity": "7"}, "not one of the available"),
        ({"rules": ["no-rule"]}, "not one of the available"),
    ],
)
def test_a_wrong_form_is_said_and_makes_nothing(
    changed: dict[str, object], says: str, dave: User, sign_in: SignIn
) -> None:
    page = sign_in(dave).post(f"{LIST}add/", filled(**changed)).content.decode()
    assert says in page
    assert not AlarmChannel.objects.exists()


def test_a_channel_is_changed_and_keeps_its_address(
    made: AlarmChannel, dave: User, sign_in: SignIn
) -> None:
    before = made.kept_url
    sent = filled(name="night", address="", least_severity="3")
    answer = sign_in(dave).post(f"{LIST}{made.pk}/edit/", sent)
    assert answer["Location"] == f"{LIST}{made.pk}/"
    made.refresh_from_db()
    assert (made.name, made.least_severity, made.kept_url) == ("night", 3, before)


def test_a_change_that_is_not_well_formed_is_recorded_as_refused(
    made: AlarmChannel, dave: User, sign_in: SignIn
) -> None:
    sign_in(dave).post(f"{LIST}{made.pk}/edit/", filled(name=""))
    assert str(AuditEvent.objects.latest("id")) == "AL006W"


def test_a_wrong_change_changes_nothing(
    made: AlarmChannel, dave: User, sign_in: SignIn
) -> None:
    sent = filled(name="a\u202eb")
    page = sign_in(dave).post(f"{LIST}{made.pk}/edit/", sent).content.decode()
    assert "visible characters" in page
    made.refresh_from_db()
    assert made.name == "desk"


def test_a_test_is_queued(made: AlarmChannel, dave: User, sign_in: SignIn) -> None:
    browser = sign_in(dave)
    page = browser.post(f"{LIST}{made.pk}/test/", follow=True).content.decode()
    assert "on its way" in page
    assert "a test" in page
    assert Delivery.objects.get().cause == "test"


def test_a_new_secret_is_shown_once(
    made: AlarmChannel, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave)
    assert "signed with another secret" in (
        browser.get(f"{LIST}{made.pk}/secret/").content.decode()
    )
    answer = browser.post(f"{LIST}{made.pk}/secret/")
    assert SECRET.search(answer.content.decode())
    assert AuditEvent.objects.get(code="AL006").details == {"secret_changed": True}


def test_only_a_webhook_has_a_secret(dave: User, sign_in: SignIn) -> None:
    browser = sign_in(dave)
    browser.post(f"{LIST}add/", filled(kind="slack"))
    channel = AlarmChannel.objects.get()
    page = browser.post(f"{LIST}{channel.pk}/secret/", follow=True).content.decode()
    assert "Only a webhook has a secret" in page


def test_deleting_asks_for_a_reason_and_says_what_stops(
    made: AlarmChannel, dave: User, sign_in: SignIn
) -> None:
    browser, url = sign_in(dave), f"{LIST}{made.pk}/delete/"
    browser.post(f"{LIST}{made.pk}/test/")
    page = browser.get(url).content.decode()
    assert "<strong>1</strong> that wait are not sent" in page
    assert browser.post(url, {"reason": ""}).status_code == 200
    assert browser.post(url, {"reason": "moved"})["Location"] == LIST
    assert not AlarmChannel.objects.exists()
    assert AuditEvent.objects.get(code="AL007", outcome="I").reason == "moved"


@pytest.mark.parametrize("act", ["edit", "delete", "test", "secret"])
def test_an_old_proof_goes_back_to_the_identity_provider(
    act: str, made: AlarmChannel, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave, age=timedelta(hours=2))
    answer = browser.post(f"{LIST}{made.pk}/{act}/", filled(reason="x"))
    assert answer["Location"].startswith("/accounts/confirm/?next=")


def test_a_reader_sees_channels_and_no_button(
    made: AlarmChannel, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    assert "https://hooks.example" in browser.get(LIST).content.decode()
    page = browser.get(f"{LIST}{made.pk}/").content.decode()
    assert "Send a test" not in page
    assert "Gateway changed by hand" in page

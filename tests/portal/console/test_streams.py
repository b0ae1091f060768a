"""Pages of streams: administrators change, auditors read, a secret is shown once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace

import pytest
from pytest_django import DjangoAssertNumQueries

from audit.models import AuditEvent
from audit.streams.models import Stream
from portal.accounts.models import User
from tests.audit.streams.conftest import MakeStream, make_stream, secret_of
from tests.audit.streams.logs import write_events
from tests.conftest import SignIn

__all__ = ["make_stream"]
pytestmark = pytest.mark.django_db
LIST = "/audit/streams/"
ADD = "/audit/streams/add/"
TOKEN = "11111111-2222-3333-4444-555555555555"


def filled(**changed: object) -> dict[str, object]:
    return {
        "name": "siem",
        "kind": "webhook",
        "address": "https://siem.example.test/in",
        "form": "native",
        "logs": ["control", "connections"],
        "begin": "now",
        "least_severity": "info",
        **changed,
    }


def test_a_secret_that_signs_is_shown_once(dave: User, sign_in: SignIn) -> None:
    browser = sign_in(dave)
    answer = browser.post(ADD, filled())
    made = Stream.objects.get()
    secret = secret_of(made)
    assert secret in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    for url in (LIST, f"{LIST}{made.pk}/", f"{LIST}{made.pk}/edit/"):
        assert secret not in browser.get(url).content.decode()
    assert AuditEvent.objects.get(code="AU030").actor_label == "Dave"


def test_a_token_is_never_shown_again(dave: User, sign_in: SignIn) -> None:
    browser = sign_in(dave)
    answer = browser.post(ADD, filled(kind="hec", secret=TOKEN))
    made = Stream.objects.get()
    assert answer["Location"] == f"{LIST}{made.pk}/"
    for url in (LIST, f"{LIST}{made.pk}/", f"{LIST}{made.pk}/edit/"):
        assert TOKEN not in browser.get(url).content.decode()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": ""}, "required"),
        ({"logs": []}, "required"),
        ({"kind": "file"}, "not one of the available"),
        ({"address": "ftp://x"}, "begins with https"),
        ({"kind": "hec"}, "demands a token"),
        ({"codes": "DV012, XX1"}, "no codes: XX1"),
    ],
)
def test_a_wrong_form_is_said_and_makes_nothing(
    changed: dict[str, object], says: str, dave: User, sign_in: SignIn
) -> None:
    assert says in sign_in(dave).post(ADD, filled(**changed)).content.decode()
    assert not Stream.objects.exists()


def test_a_wrong_form_does_not_repeat_a_token(dave: User, sign_in: SignIn) -> None:
    changed = filled(kind="hec", secret=TOKEN, name="")
    assert TOKEN not in sign_in(dave).post(ADD, changed).content.decode()


def test_a_change_is_made_and_recorded(
    dave: User, make_stream: MakeStream, sign_in: SignIn
) -> None:
    made = make_stream()
    url = f"{LIST}{made.pk}/edit/"
    browser = sign_in(dave)
    assert "siem.example.test" in browser.get(url).content.decode()
    answer = browser.post(url, filled(codes="DV012 ID008", logs=["control"]))
    assert answer["Location"] == f"{LIST}{made.pk}/"
    made.refresh_from_db()
    assert made.codes == "DV012 ID008"
    assert AuditEvent.objects.get(code="AU031").details["logs"] == ["control"]


def test_stopping_asks_for_a_reason_and_says_what_stops(
    dave: User, make_stream: MakeStream, sign_in: SignIn
) -> None:
    made = make_stream()
    browser, url = sign_in(dave), f"{LIST}{made.pk}/stop/"
    assert "gets no entry any more" in browser.get(url).content.decode()
    assert browser.post(url, {"reason": ""}).status_code == 200
    assert browser.post(url, {"reason": "moving"})["Location"] == f"{LIST}{made.pk}/"
    made.refresh_from_db()
    assert not made.enabled
    assert browser.get(url)["Location"] == f"{LIST}{made.pk}/"
    assert "Stopped" in browser.get(f"{LIST}{made.pk}/").content.decode()
    browser.post(f"{LIST}{made.pk}/start/")
    made.refresh_from_db()
    assert made.enabled


def test_a_change_that_is_not_well_formed_is_recorded_as_refused(
    dave: User, make_stream: MakeStream, sign_in: SignIn
) -> None:
    url = f"{LIST}{make_stream().pk}/edit/"
    sign_in(dave).post(url, filled(name=""))
    assert str(AuditEvent.objects.latest("id")) == "AU031W"


def test_a_test_event_that_arrives_is_recorded(
    dave: User,
    make_stream: MakeStream,
    sign_in: SignIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[object] = []

    def send(records: Sequence[object], **_when: object) -> None:
        heard.extend(records)

    there = SimpleNamespace(send=send)
    monkeypatch.setattr("audit.streams.services.receiver", lambda _stream: there)
    answer = sign_in(dave).post(f"{LIST}{make_stream().pk}/test/", follow=True)
    assert "took the test event" in answer.content.decode()
    assert len(heard) == 1
    assert str(AuditEvent.objects.latest("id")) == "AU034I"


def test_a_test_event_that_fails_says_why(
    dave: User, make_stream: MakeStream, sign_in: SignIn
) -> None:
    # Nobody listens on the discard port; nothing leaves this machine.
    made = make_stream(address="https://127.0.0.1:9/")
    url = f"{LIST}{made.pk}/test/"
    page = sign_in(dave).post(url, follow=True).content.decode()
    assert "The test failed" in page
    event = AuditEvent.objects.get(code="AU034")
    assert (event.outcome, event.actor_label) == ("E", "Dave")
    assert event.reason


def test_a_renewed_secret_is_shown_once_after_a_confirmation(
    dave: User, make_stream: MakeStream, sign_in: SignIn
) -> None:
    made = make_stream()
    browser, url = sign_in(dave), f"{LIST}{made.pk}/secret/"
    assert "refuses every batch" in browser.get(url).content.decode()
    page = browser.post(url).content.decode()
    made.refresh_from_db()
    assert secret_of(made) in page


def test_the_page_says_how_far_it_is_behind_and_why(
    carol: User, make_stream: MakeStream, sign_in: SignIn
) -> None:
    write_events(1)
    made = make_stream(from_beginning=False)
    write_events(6)
    Stream.objects.update(
        failures=3,
        last_error="the receiver answered with status 503",
        last_error_at=made.created_at,
    )
    browser = sign_in(carol)
    for url in (LIST, f"{LIST}{made.pk}/"):
        page = browser.get(url).content.decode()
        for expected in ("status 503", "failing", ">7<"):
            assert expected in page
    assert "2026-11-23 12:00" in browser.get(f"{LIST}{made.pk}/").content.decode()


def test_auditors_see_no_buttons(
    carol: User, make_stream: MakeStream, sign_in: SignIn
) -> None:
    made = make_stream()
    browser = sign_in(carol)
    for url in (LIST, f"{LIST}{made.pk}/"):
        page = browser.get(url).content.decode()
        for forbidden in ("/add/", "/edit/", "/stop/", "/test/", "/secret/"):
            assert forbidden not in page


def test_no_stream_is_said_as_such(carol: User, dave: User, sign_in: SignIn) -> None:
    assert ADD not in sign_in(carol).get(LIST).content.decode()
    assert "Add a stream" in sign_in(dave).get(LIST).content.decode()


def test_listing_takes_a_fixed_number_of_queries(
    carol: User,
    make_stream: MakeStream,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    browser = sign_in(carol)
    for name in ("a", "b"):
        make_stream(name=name)
        with django_assert_num_queries(7):
            browser.get(LIST)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "add/"),
        ("post", "{}/edit/"),
        ("post", "{}/stop/"),
        ("post", "{}/start/"),
        ("post", "{}/test/"),
        ("post", "{}/secret/"),
    ],
)
def test_an_old_proof_goes_back_to_the_identity_provider(
    method: str, path: str, dave: User, make_stream: MakeStream, sign_in: SignIn
) -> None:
    url = LIST + path.format(make_stream().pk)
    answer = getattr(sign_in(dave, age=timedelta(hours=2)), method)(url, filled())
    assert answer["Location"].startswith("/accounts/confirm/?next=")


@pytest.mark.parametrize("path", ["", "edit/", "stop/", "secret/"])
def test_what_is_not_there_is_not_found(path: str, dave: User, sign_in: SignIn) -> None:
    assert sign_in(dave).get(f"{LIST}999999/{path}").status_code == 404

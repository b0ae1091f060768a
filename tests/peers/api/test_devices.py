"""Enrolling, listing, configuring and revoking over the people's API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

from audit.actor import SYSTEM
from audit.events import EventCode
from audit.models import AuditEvent
from audit.services import record
from peers.keys import fingerprint
from peers.models import AddressPool, Device, EnrolmentChallenge
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.peers.api.calls import enrolment, post
from tests.peers.api.conftest import Bearer
from tests.peers.makers import NOW, Machine, codes

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

pytestmark = pytest.mark.usefixtures("pools")
DEVICES = "/api/v1/devices/"


def assert_problem(answer: Answer, status: int, words: str = "") -> None:
    """Check the shape of a refusal."""
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert (told["type"], told["status"]) == ("about:blank", status)
    assert words in told["detail"]


@pytest.fixture
def laptop(alice: User) -> Device:
    """Return alice's laptop."""
    return Machine().enroll(alice)


def test_a_browser_enrols_a_device(alice: User, sign_in: SignIn) -> None:
    browser, machine = sign_in(alice), Machine()
    answer = post(browser, DEVICES, enrolment(browser, machine))
    assert answer.status_code == 201
    told = answer.json()
    device = Device.objects.get()
    assert told["device"]["id"] == device.pk
    assert told["device"]["addresses"] == ["100.64.0.2", "fd5e:e4a6:e000::2"]
    assert told["device"]["fingerprint"] == fingerprint(machine.public_key)
    assert told["config"].startswith("[Interface]\nAddress")
    assert "PrivateKey" not in told["config"]


def test_enrolment_is_recorded_with_who_where_and_which_request(
    alice: User, sign_in: SignIn
) -> None:
    browser = sign_in(alice)
    answer = post(browser, DEVICES, enrolment(browser, Machine()))
    assert codes()[-3:] == ["DV004I", "KY001I", "DV007I"]
    event = AuditEvent.objects.get(code="DV004")
    assert (event.actor_id, event.actor_address) == (alice.ref.id, "127.0.0.1")
    assert event.request_id == answer["X-Request-ID"]


def told_sign_in() -> str:
    """Return the sign-in that the last enrolment names."""
    return str(AuditEvent.objects.filter(code="DV004").latest("id").details["sign_in"])


def test_enrolment_names_the_sign_in_of_its_session(
    alice: User, sign_in: SignIn, bearer: Bearer
) -> None:
    browser = sign_in(alice)
    session = browser.session
    session["sign_in"] = "7d0ed0a9-0d6c-4a2e-a4a3-7c7b1c7f0a01"
    session.save()
    last = record(EventCode.USER_LOGIN, actor=SYSTEM, now=NOW, person=alice.ref)
    post(browser, DEVICES, enrolment(browser, Machine()))
    assert told_sign_in() == session["sign_in"]
    program = bearer(alice)
    # A session beside a token is not what the request is judged by.
    program.cookies = browser.cookies
    post(program, DEVICES, enrolment(program, Machine(), name="phone"))
    assert told_sign_in() == str(last.uid)


def test_a_command_line_enrols_a_device(alice: User, bearer: Bearer) -> None:
    program = bearer(alice)
    answer = post(program, DEVICES, enrolment(program, Machine()))
    assert answer.status_code == 201
    assert Device.objects.get().owner == alice
    assert AuditEvent.objects.latest("id").actor_id == alice.ref.id


def test_a_token_without_the_scope_is_refused(alice: User, bearer: Bearer) -> None:
    assert_problem(post(bearer(alice, scopes="openid"), "/api/v1/challenges/"), 403)
    assert not EnrolmentChallenge.objects.exists()


@pytest.mark.parametrize("path", ["challenges/", "devices/", "devices/1/revoke/"])
def test_nobody_posts_anonymously(path: str) -> None:
    answer = post(Client(), f"/api/v1/{path}")
    assert answer.status_code in {401, 403}
    assert answer["Content-Type"] == "application/problem+json"


def test_a_session_needs_the_csrf_token(alice: User, sign_in: SignIn) -> None:
    browser = sign_in(alice)
    browser.handler.enforce_csrf_checks = True
    assert_problem(post(browser, "/api/v1/challenges/"), 403, "CSRF")


def test_answers_stay_out_of_caches(
    alice: User, sign_in: SignIn, laptop: Device
) -> None:
    answer = sign_in(alice).get(f"{DEVICES}{laptop.pk}/config/")
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"public_key": "x"}, "base64"),
        ({"name": "a\nb"}, "U+000A"),
        ({"name": "laptop\n"}, "U+000A"),
        ({"name": "a\0b"}, "U+0000"),
        ({"proof": "x"}, "proof"),
        ({"challenge": "5c1f6c68-8f6e-4e7a-9f5e-2d1f2f6b8a10"}, "unknown"),
    ],
)
def test_a_bad_enrolment_is_a_problem_with_one_event(
    alice: User, sign_in: SignIn, changed: dict[str, str], words: str
) -> None:
    browser = sign_in(alice)
    before = codes()
    answer = post(browser, DEVICES, enrolment(browser, Machine(), **changed))
    assert_problem(answer, 400, words)
    assert codes() == [*before, "DV001W"]
    assert not Device.objects.exists()


@pytest.mark.parametrize(
    "changed", [{"name": 7}, {"name": ["x"]}, {"name": "x" * 2000}, {"challenge": "x"}]
)
def test_an_ill_typed_enrolment_is_a_problem(
    alice: User, sign_in: SignIn, changed: dict[str, object]
) -> None:
    browser = sign_in(alice)
    assert_problem(
        post(browser, DEVICES, enrolment(browser, Machine(), **changed)), 400
    )
    assert not Device.objects.exists()


def test_what_is_not_json_is_a_problem(alice: User, sign_in: SignIn) -> None:
    answer = sign_in(alice).post(DEVICES, "{", content_type="application/json")
    assert_problem(answer, 400)


def test_a_seen_key_is_a_conflict_that_names_nobody(
    bob: User, laptop: Device, sign_in: SignIn
) -> None:
    browser, machine = sign_in(bob), Machine()
    laptop.keys.update(public_key=machine.public_key)
    answer = post(browser, DEVICES, enrolment(browser, machine))
    assert_problem(answer, 409, "used before")
    text = answer.content.decode().lower()
    assert not any(word in text for word in ("alice", "dv_", laptop.name))


def test_a_full_pool_is_a_conflict(alice: User, sign_in: SignIn) -> None:
    AddressPool.objects.all().delete()
    browser = sign_in(alice)
    answer = post(browser, DEVICES, enrolment(browser, Machine()))
    assert_problem(answer, 409, "pool")


def test_people_list_their_own_devices_in_few_queries(
    alice: User,
    bob: User,
    sign_in: SignIn,
    django_assert_max_num_queries: pytest.FixtureRequest,
) -> None:
    for name in ("laptop", "phone", "desk"):
        Machine().enroll(alice, name=name)
    Machine().enroll(bob, name="other")
    browser = sign_in(alice)
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        listed = browser.get(DEVICES).json()["devices"]
    assert [device["name"] for device in listed] == ["desk", "phone", "laptop"]


def test_the_owner_gets_the_configuration(
    alice: User, sign_in: SignIn, laptop: Device
) -> None:
    answer = sign_in(alice).get(f"{DEVICES}{laptop.pk}/config/")
    assert answer.json()["config"].startswith("[Interface]\n")
    assert codes()[-1] == "DV007I"


@pytest.mark.parametrize(
    ("who", "status"), [("mallory", 404), ("bob", 404), ("carol", 403), ("dave", 403)]
)
def test_nobody_else_gets_the_configuration(
    request: pytest.FixtureRequest,
    sign_in: SignIn,
    laptop: Device,
    who: str,
    status: int,
) -> None:
    browser = sign_in(request.getfixturevalue(who))
    assert_problem(browser.get(f"{DEVICES}{laptop.pk}/config/"), status)
    assert "DV007I" not in codes()


@pytest.mark.parametrize(
    ("who", "status"),
    [("alice", 204), ("dave", 204), ("mallory", 404), ("bob", 404), ("carol", 403)],
)
def test_the_owner_and_administrators_revoke(
    request: pytest.FixtureRequest,
    sign_in: SignIn,
    laptop: Device,
    who: str,
    status: int,
) -> None:
    browser = sign_in(request.getfixturevalue(who))
    answer = post(browser, f"{DEVICES}{laptop.pk}/revoke/", {"reason": "lost"})
    assert answer.status_code == status
    laptop.refresh_from_db()
    assert laptop.is_active == (status != 204)
    assert laptop.revoked_reason == ("lost" if status == 204 else "")


def test_a_revoked_device_has_no_configuration(
    alice: User, sign_in: SignIn, laptop: Device
) -> None:
    browser = sign_in(alice)
    post(browser, f"{DEVICES}{laptop.pk}/revoke/")
    assert_problem(browser.get(f"{DEVICES}{laptop.pk}/config/"), 409, "revoked")
    (listed,) = browser.get(DEVICES).json()["devices"]
    told = (listed["state"], listed["addresses"], listed["fingerprint"])
    assert told == ("revoked", [], None)


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", "challenges/"), ("put", "devices/"), ("post", "me/")],
)
def test_other_methods_are_refused(
    alice: User, sign_in: SignIn, method: str, path: str
) -> None:
    answer = getattr(sign_in(alice), method)(f"/api/v1/{path}")
    assert_problem(answer, 405)


def test_me_is_who_asks(alice: User, sign_in: SignIn) -> None:
    assert sign_in(alice).get("/api/v1/me/").json() == {
        "id": alice.pk,
        "name": "Alice",
        "email": "alice@example.test",
        "role": "employee",
        "groups": ["engineering"],
    }


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '{"a":' * 100_000], ids=["arrays", "objects"]
)
def test_deep_json_is_a_bad_request(alice: User, sign_in: SignIn, body: str) -> None:
    answer = sign_in(alice).post(DEVICES, body, content_type="application/json")
    assert_problem(answer, 400, "nested too deeply")


def test_unknown_field_is_refused(alice: User, sign_in: SignIn) -> None:
    browser = sign_in(alice)
    body = enrolment(browser, Machine(), owner=1, is_admin=True)
    assert_problem(post(browser, DEVICES, body), 400, "unknown field: 'is_admin'")
    assert not Device.objects.exists()


def test_refusal_names_each_field_in_words(alice: User, sign_in: SignIn) -> None:
    answer = post(sign_in(alice), DEVICES, {"name": 1, "proof": "x", "challenge": "x"})
    assert_problem(answer, 400, "name: must be a text of at most 1024 characters; ")
    assert "ErrorDetail" not in answer.json()["detail"]


def test_token_of_an_administrator_ends_nobody_elses_device(
    laptop: Device, dave: User, bearer: Bearer
) -> None:
    answer = post(bearer(dave), f"{DEVICES}{laptop.pk}/revoke/")
    assert_problem(answer, 403)
    laptop.refresh_from_db()
    assert laptop.is_active

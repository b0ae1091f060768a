"""The API's questions: one's own with a token, everybody's for readers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import urlencode

import pytest
from django.test import Client

from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import Device
from policies.models import Application, Grant
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.peers.api.calls import post
from tests.peers.api.conftest import Bearer, bearer
from tests.peers.makers import Machine
from tests.policies.makers import publish

__all__ = ["bearer"]
pytestmark = pytest.mark.django_db
EXPLAIN = "/api/v1/explain/?destination=10.1.0.7&port=443"


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_person_asks_about_themself(alice: User, sign_in: SignIn) -> None:
    told = sign_in(alice).get(EXPLAIN).json()
    assert (told["verdict"], told["person"]["id"]) == ("allowed", alice.ref.id)
    assert told["gateways"][0]["grants"][0]["grant"]["name"] == "Alice → wiki"
    event = AuditEvent.objects.get(code=EventCode.POLICY_QUERY)
    assert (event.actor_id, event.person_id) == (alice.ref.id, alice.ref.id)


@pytest.mark.usefixtures("alices_grant")
def test_a_token_asks_about_its_owner_only(
    alice: User, laptop: Device, carol: User, bearer: Bearer
) -> None:
    assert bearer(alice).get(EXPLAIN).json()["verdict"] == "allowed"
    program = bearer(carol)
    for about in (f"user={alice.ref.id}", f"device={laptop.ref.id}"):
        assert program.get(f"{EXPLAIN}&{about}").status_code == 404
    assert program.get("/api/v1/reach/changes/?since=2026-05-03").status_code == 403


@pytest.mark.usefixtures("alices_grant")
def test_a_reader_asks_about_anybody(
    alice: User, bob: User, laptop: Device, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    for about in (f"user={alice.ref.id}", f"device={laptop.ref.id}", "user=alice"):
        assert browser.get(f"{EXPLAIN}&{about}").json()["verdict"] == "allowed"
    other = browser.get(f"{EXPLAIN}&user={bob.ref.id}&device={laptop.ref.id}")
    assert other.status_code == 400
    assert "does not belong" in other.json()["detail"]


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_an_employee_learns_nothing_of_others(mallory: User, sign_in: SignIn) -> None:
    answer = sign_in(mallory).get(EXPLAIN)
    assert answer.json()["verdict"] == "denied"
    assert [
        name for name in ("Alice", "wiki", "gw1") if name in answer.content.decode()
    ] == []


@pytest.mark.parametrize("about", ["user={user}", "device={device}", "user=us_999"])
def test_what_an_employee_may_not_know_is_not_there(
    about: str, alice: User, laptop: Device, mallory: User, sign_in: SignIn
) -> None:
    asked = about.format(user=alice.ref.id, device=laptop.ref.id)
    assert sign_in(mallory).get(f"{EXPLAIN}&{asked}").status_code == 404
    assert not AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).exists()


def test_a_device_that_does_not_exist_is_not_there(
    carol: User, sign_in: SignIn
) -> None:
    assert sign_in(carol).get(f"{EXPLAIN}&device=banana").status_code == 404


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "destination: This field is required."),
        ("destination=10.1.0.7", "needs a port"),
        ("destination=10.1.0.7&port=443&protocol=256", "run from 1 to 255"),
    ],
)
def test_a_wrong_question_is_a_problem(
    query: str, words: str, alice: User, sign_in: SignIn
) -> None:
    answer = sign_in(alice).get(f"/api/v1/explain/?{query}")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert words in answer.json()["detail"]


def test_reach_is_answered_to_readers(
    alice: User, wiki: Application, alices_grant: Grant, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    who = browser.get(f"/api/v1/reach/applications/{wiki.pk}/").json()
    what = browser.get(f"/api/v1/reach/people/{alice.pk}/").json()
    assert who["rows"] == what["rows"]
    [row] = who["rows"]
    assert (row["person_id"], row["application_id"]) == (alice.ref.id, wiki.ref.id)
    assert (row["grants"], row["expires_at"]) == (["Alice → wiki"], None)
    rows = AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).order_by("pk")
    assert [event.details["question"] for event in rows] == ["who", "what"]


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_changes_are_answered_to_readers(carol: User, sign_in: SignIn) -> None:
    now = datetime.now(UTC)  # noqa: TID251 -- a test's edge
    publish(now=now - timedelta(hours=1))
    query = urlencode({"since": (now - timedelta(hours=2)).isoformat()})
    told = sign_in(carol).get(f"/api/v1/reach/changes/?{query}").json()
    assert [row["kind"] for row in told["rows"]] == ["opened", "gained"]
    assert told["rows"][0]["person_id"] is None
    assert "had acknowledged nothing" in told["notes"][0]


@pytest.mark.parametrize(
    "path", ["applications/{wiki}/", "people/{alice}/", "changes/?since=2026-05-03"]
)
def test_reach_is_not_for_employees(
    path: str, alice: User, wiki: Application, sign_in: SignIn
) -> None:
    url = "/api/v1/reach/" + path.format(wiki=wiki.pk, alice=alice.pk)
    assert sign_in(alice).get(url).status_code == 403
    assert Client().get(url).status_code in {401, 403}
    assert sign_in(alice).post(url).status_code == 405


@pytest.mark.parametrize("path", ["applications/999/", "people/999/"])
def test_what_does_not_exist_is_not_there(
    path: str, carol: User, sign_in: SignIn
) -> None:
    assert sign_in(carol).get(f"/api/v1/reach/{path}").status_code == 404


SUPPOSED: dict[str, object] = {
    "policy": "{}",
    "user": "alice",
    "destination": "10.1.0.7",
    "port": 443,
}


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_readers_suppose_a_policy_that_is_not_applied(
    carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    told = post(browser, "/api/v1/explain/", SUPPOSED).json()
    assert (told["verdict"], told["source"]) == ("denied", "supposed")
    assert browser.get(f"{EXPLAIN}&user=alice").json()["verdict"] == "allowed"
    event = AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).earliest("pk")
    assert event.details["policy_sha256"] == sha256(b"{}").hexdigest()
    codes = AuditEvent.objects.filter(actor_id=carol.ref.id).values_list("code")
    assert {code for (code,) in codes} == {EventCode.POLICY_QUERY}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"policy": "{"}, "line 1, column 2"),
        ({"policy": "x" * (4 * 2**20 + 1)}, "at most 4194304"),
        ({"policy": None}, "may not be null"),
        ({"at": "2020-01-01T00:00:00Z"}, "what is past"),
        ({"at": 5}, "must be a text"),
        ({"port": True}, "must be a number"),
        ({"gateways": ["gw9"]}, "no enrolled gateway is called gw9"),
        ({"confirm": True}, "unknown field"),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.usefixtures("alice")
def test_what_cannot_be_supposed_is_a_problem(
    changed: dict[str, object], words: str, carol: User, sign_in: SignIn
) -> None:
    answer = post(sign_in(carol), "/api/v1/explain/", {**SUPPOSED, **changed})
    assert answer.status_code == 400, answer.content
    assert words in answer.json()["detail"]


def test_supposing_is_for_readers_in_their_browser(
    alice: User, sign_in: SignIn, bearer: Bearer
) -> None:
    for client in (sign_in(alice), bearer(alice)):
        assert post(client, "/api/v1/explain/", SUPPOSED).status_code == 403

"""The API's dry run: what a change would do, for administrators, and nothing stays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers.models import Device, Gateway
from policies import services
from policies.models import Application, Grant, Lock
from portal.accounts.models import Group, User
from tests.conftest import SignIn
from tests.peers.api.calls import post
from tests.peers.api.conftest import Bearer, bearer
from tests.peers.makers import Machine
from tests.policies.makers import make_grant
from tests.policies.requests import ask, open_for_requests

__all__ = ["bearer"]
pytestmark = pytest.mark.django_db
EFFECT = "/api/v1/effect/"
PLACE = "10.1.0.0/24 tcp/443"


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


@pytest.fixture
def browser(dave: User, sign_in: SignIn) -> Client:
    return sign_in(dave)


def asking(browser: Client, change: str, target: str, **more: object) -> Any:  # noqa: ANN401 -- the test client's own type
    return post(browser, EFFECT, {"change": change, "target": target, **more})


def told(answer: Any) -> list[tuple[str, str, list[str], list[str]]]:  # noqa: ANN401 -- the same
    assert answer.status_code == 200, answer.content
    return [
        (
            row["kind"],
            row["application"]["name"],
            row["destinations"],
            [person["name"] for person in row["people"]],
        )
        for row in answer.json()["rows"]
    ]


LOSES = [("loses", "wiki", [PLACE], ["Alice"])]
GAINS = [("gains", "wiki", [PLACE], ["Alice"])]


def test_a_grant_to_a_person_or_a_group(
    laptop: Device, wiki: Application, engineering: Group, browser: Client
) -> None:
    for subject in (laptop.owner.ref.id, engineering.ref.id):
        answer = asking(browser, "grant.create", wiki.ref.id, subject=subject)
        assert told(answer) == GAINS
        assert answer["Cache-Control"] == "no-store"
    assert not Grant.objects.exists()


def test_the_end_of_a_grant_and_its_brake(
    laptop: Device, alices_grant: Grant, browser: Client
) -> None:
    answer = asking(browser, "grant.end", alices_grant.ref.id)
    assert told(answer) == LOSES
    found = answer.json()
    assert found["brake"] == {"percent": 20, "is_on": True}
    assert (found["people_losing"], found["people_with_access"]) == (1, 1)
    assert found["devices_losing"] == [laptop.ref.id]
    assert found["connections"] == {"count": 0, "cut": []}
    alices_grant.refresh_from_db()
    assert alices_grant.ended_at is None


def test_other_destinations_and_other_gateways(
    laptop: Device, alices_grant: Grant, wiki: Application, browser: Client
) -> None:
    change, target = "application.update", wiki.ref.id
    assert told(asking(browser, change, target)) == []
    assert told(asking(browser, change, target, gateways=[])) == LOSES
    wider = asking(browser, change, target, destinations=[PLACE, "10.9.0.0/24 any"])
    assert told(wider) == [("gains", "wiki", ["10.9.0.0/24 any"], ["Alice"])]
    assert [str(row) for row in wiki.destinations.all()] == [PLACE]


def test_locks_and_gateways(
    laptop: Device, alices_grant: Grant, gw1: Gateway, browser: Client
) -> None:
    now = datetime.now(UTC)  # noqa: TID251 -- a test's edge
    assert told(asking(browser, "lock.create", laptop.ref.id)) == LOSES
    assert told(asking(browser, "gateway.retire", gw1.ref.id)) == LOSES
    lock = services.create_lock(target=laptop, message="lost", actor=SYSTEM, now=now)
    assert told(asking(browser, "lock.lift", lock.ref.id)) == GAINS
    assert Lock.objects.get().lifted_at is None


def test_an_approval(
    laptop: Device, wiki: Application, bob: User, browser: Client
) -> None:
    now = datetime.now(UTC)  # noqa: TID251 -- a test's edge
    open_for_requests(wiki, owner=bob)
    asked = ask(wiki, laptop.owner, now=now)
    assert told(asking(browser, "request.approve", asked.ref.id)) == GAINS
    asked.refresh_from_db()
    assert asked.is_pending


@pytest.mark.parametrize(
    ("change", "target", "more", "status"),
    [
        ("grant.create", "ap_{wiki}", {"subject": "dv_1"}, 404),
        ("grant.create", "ap_{wiki}", {"subject": "ap_{wiki}"}, 400),
        ("grant.create", "us_{alice}", {"subject": "us_{alice}"}, 400),
        ("grant.create", "ap_{wiki}", {}, 400),
        ("grant.create", "ap_99999", {"subject": "us_{alice}"}, 404),
        ("grant.end", "ap_{wiki}", {}, 404),
        ("grant.end", "gt_99999", {}, 404),
        ("lock.create", "zz_1", {}, 400),
        ("application.update", "ap_{wiki}", {"destinations": ["nonsense"]}, 400),
        ("application.update", "ap_{wiki}", {"gateways": ["us_{alice}"]}, 400),
        ("user.delete", "us_{alice}", {}, 400),
        ("lock.create", "us_{alice}", {"more": 1}, 400),
    ],
)
def test_what_cannot_be_asked_is_a_problem_and_leaves_no_event(
    change: str,
    target: str,
    more: dict[str, Any],
    status: int,
    alice: User,
    wiki: Application,
    browser: Client,
) -> None:
    ids = {"wiki": wiki.pk, "alice": alice.pk}
    sent = {
        name: value.format(**ids)
        if isinstance(value, str)
        else [text.format(**ids) for text in value]
        if isinstance(value, list)
        else value
        for name, value in more.items()
    }
    before = AuditEvent.objects.count()
    answer = asking(browser, change, target.format(**ids), **sent)
    assert (answer.status_code, answer["Content-Type"]) == (
        status,
        "application/problem+json",
    )
    assert AuditEvent.objects.count() == before


def test_only_administrators_in_their_browser_ask(
    alices_grant: Grant,
    alice: User,
    carol: User,
    dave: User,
    sign_in: SignIn,
    bearer: Bearer,
) -> None:
    for who in (sign_in(alice), sign_in(carol), bearer(dave)):
        assert asking(who, "grant.end", alices_grant.ref.id).status_code == 403
    assert asking(Client(), "grant.end", alices_grant.ref.id).status_code in {401, 403}
    assert sign_in(dave).get(EFFECT).status_code == 405


def test_a_question_is_on_record(
    laptop: Device, wiki: Application, browser: Client
) -> None:
    make_grant(wiki, user=laptop.owner)
    asking(browser, "lock.create", laptop.ref.id)
    event = AuditEvent.objects.get(code="AU011")
    assert event.details == {
        "question": "effect",
        "change": "lock.create",
        "target": laptop.ref.id,
    }

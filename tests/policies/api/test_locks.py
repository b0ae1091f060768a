"""Locks over the API: the same rules as on the pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers.models import Device, Gateway
from policies import services
from policies.models import Application, Grant, Lock, Lockable
from portal.accounts.models import Group, User
from tests.conftest import SignIn
from tests.peers.api.calls import post
from tests.peers.api.conftest import Bearer, bearer
from tests.peers.makers import Machine

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

__all__ = ["bearer"]
pytestmark = pytest.mark.django_db
LOCKS = "/api/v1/locks/"
KINDS = ("user", "device", "group", "application", "gateway")


@pytest.fixture
def clock() -> datetime:
    """Return the time: the API is asked now, whatever the cast's clock says."""
    return datetime.now(UTC)  # noqa: TID251 -- a test's edge


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


@pytest.fixture
def targets(laptop: Device, wiki: Application, gw1: Gateway) -> dict[str, Lockable]:
    """Return one of each kind."""
    return {
        "user": laptop.owner,
        "device": laptop,
        "group": Group.objects.get(users=laptop.owner),
        "application": wiki,
        "gateway": gw1,
    }


@pytest.fixture
def lock(alice: User, clock: datetime) -> Lock:
    """Alice is locked."""
    return services.create_lock(
        target=alice, message="Lost in a taxi", actor=SYSTEM, now=clock
    )


def locking(locked: Lockable, **changed: object) -> dict[str, Any]:
    return {"target": locked.ref.id, "message": "Lost in a taxi", **changed}


def assert_problem(answer: Answer, status: int, words: str = "") -> None:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_administrator_locks_and_lifts(
    kind: str, targets: dict[str, Lockable], dave: User, sign_in: SignIn
) -> None:
    browser, target = sign_in(dave), targets[kind]
    answer = post(browser, LOCKS, locking(target))
    told = answer.json()
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert (told["kind"], told["target"]["id"]) == (kind, target.ref.id)
    assert (told["message"], told["expires_at"]) == ("Lost in a taxi", None)
    assert browser.get(LOCKS).json() == {"locks": [told]}
    assert AuditEvent.objects.get(code="RQ009").actor_label == "Dave"
    lifted = post(browser, f"{LOCKS}{told['id']}/lift/").json()
    assert (lifted["is_in_force"], lifted["id"]) == (False, told["id"])
    assert AuditEvent.objects.get(code="RQ010").actor_label == "Dave"
    assert browser.get(LOCKS).json() == {"locks": []}


def test_a_lock_may_end_by_itself(alice: User, dave: User, sign_in: SignIn) -> None:
    answer = post(
        sign_in(dave), LOCKS, locking(alice, expires_at="2030-01-01T00:00:00Z")
    )
    assert answer.json()["expires_at"] == "2030-01-01T00:00:00Z"


def test_lifting_again_changes_nothing(lock: Lock, dave: User, sign_in: SignIn) -> None:
    browser = sign_in(dave)
    first = post(browser, f"{LOCKS}{lock.pk}/lift/").json()
    assert post(browser, f"{LOCKS}{lock.pk}/lift/").json() == first
    assert AuditEvent.objects.filter(code="RQ010").count() == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"message": ""}, "say why"),
        ({"message": "x" * 256}, "255"),
        ({"message": None}, "message"),
        ({"message": "a\nb"}, ""),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "is past"),
        ({"expires_at": "9999-01-01T00:00:00Z"}, "ten years"),
        ({"expires_at": 2**63}, "expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, ""),
        ({"target": "alice"}, "machine id"),
        ({"target": "us_0"}, "machine id"),
        ({"target": "us_" + "9" * 19}, "machine id"),
        ({"target": 7}, "target"),
        ({"is_forced": True}, "unknown field"),
    ],
)
def test_a_wrong_lock_is_said_and_nothing_changes(
    changed: dict[str, object], words: str, alice: User, dave: User, sign_in: SignIn
) -> None:
    answer = post(sign_in(dave), LOCKS, locking(alice, **changed))
    assert_problem(answer, 400, words)
    assert not Lock.objects.exists()


@pytest.mark.parametrize("target", ["us_999999", "dv_1", "gr_999999", "gw_999999"])
def test_what_is_not_there_cannot_be_locked(
    target: str, dave: User, sign_in: SignIn
) -> None:
    answer = post(sign_in(dave), LOCKS, {"target": target, "message": "why"})
    assert_problem(answer, 404)


def test_a_refused_lock_is_an_event(alice: User, dave: User, sign_in: SignIn) -> None:
    post(sign_in(dave), LOCKS, locking(alice, message=""))
    event = AuditEvent.objects.get(code="RQ009")
    assert (event.outcome, event.person_id) == ("W", alice.ref.id)


def test_readers_list_by_state_and_before_an_id(
    lock: Lock, bob: User, carol: User, clock: datetime, sign_in: SignIn
) -> None:
    over = services.create_lock(
        target=bob,
        message="why",
        expires_at=clock - timedelta(hours=1),
        actor=SYSTEM,
        now=clock - timedelta(hours=2),
    )
    browser = sign_in(carol)

    def listed(query: str) -> list[int]:
        return [row["id"] for row in browser.get(f"{LOCKS}{query}").json()["locks"]]

    assert listed("") == listed("?state=in_force") == [lock.pk]
    assert listed("?state=ended") == [over.pk]
    assert listed("?state=all") == [over.pk, lock.pk]
    assert listed(f"?state=all&before={over.pk}") == [lock.pk]
    for query in ("?state=none", "?before=x", "?before=-1"):
        assert_problem(browser.get(f"{LOCKS}{query}"), 400)


def test_listing_takes_a_fixed_number_of_queries(
    targets: dict[str, Lockable],
    carol: User,
    clock: datetime,
    sign_in: SignIn,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for target in [*targets.values()] * 3:
        services.create_lock(target=target, message="why", actor=SYSTEM, now=clock)
    browser = sign_in(carol)
    with django_assert_max_num_queries(3):
        assert len(browser.get(LOCKS).json()["locks"]) == 15


def test_who_is_no_administrator_changes_nothing(
    lock: Lock, alice: User, carol: User, mallory: User, sign_in: SignIn
) -> None:
    for user, seen in ((carol, 200), (mallory, 403), (alice, 403)):
        browser = sign_in(user)
        assert browser.get(LOCKS).status_code == seen
        assert_problem(post(browser, LOCKS, locking(alice)), 403)
    assert_problem(post(sign_in(carol), f"{LOCKS}{lock.pk}/lift/"), 403)
    assert_problem(post(sign_in(mallory), f"{LOCKS}{lock.pk}/lift/"), 404)
    lock.refresh_from_db()
    assert (lock.lifted_at, Lock.objects.count()) == (None, 1)


def test_a_stale_proof_must_be_renewed_first(
    lock: Lock, bob: User, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave, age=timedelta(hours=2))
    assert browser.get(LOCKS).status_code == 200
    assert_problem(post(browser, LOCKS, locking(bob)), 403, "confirm who you are")
    assert_problem(post(browser, f"{LOCKS}{lock.pk}/lift/"), 403, "confirm who you are")
    assert Lock.objects.count() == 1


def test_strangers_and_tokens_are_refused(
    lock: Lock, bob: User, dave: User, bearer: Bearer
) -> None:
    for client, status in ((Client(), 401), (bearer(dave), 403)):
        assert client.get(LOCKS).status_code == status
        assert post(client, LOCKS, locking(bob)).status_code == status
        assert post(client, f"{LOCKS}{lock.pk}/lift/").status_code == status


def test_a_foreign_page_cannot_lock(bob: User, dave: User, sign_in: SignIn) -> None:
    forged = Client(enforce_csrf_checks=True)
    forged.cookies = sign_in(dave).cookies
    assert_problem(post(forged, LOCKS, locking(bob)), 403, "CSRF")


def test_other_methods_are_refused(lock: Lock, dave: User, sign_in: SignIn) -> None:
    browser = sign_in(dave)
    assert browser.delete(LOCKS).status_code == 405
    assert browser.get(f"{LOCKS}{lock.pk}/lift/").status_code == 405


def test_lifting_takes_nothing(lock: Lock, dave: User, sign_in: SignIn) -> None:
    answer = post(sign_in(dave), f"{LOCKS}{lock.pk}/lift/", {"when": "later"})
    assert_problem(answer, 400)
    lock.refresh_from_db()
    assert lock.lifted_at is None


def test_above_the_brake_a_program_says_that_it_means_it(
    laptop: Device, alices_grant: Grant, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave)
    held = post(browser, LOCKS, locking(laptop))
    assert_problem(held, 409, "1 of 1 people with access would lose something")
    assert not Lock.objects.exists()
    assert post(browser, LOCKS, locking(laptop, confirm=True)).status_code == 201
    outcomes = AuditEvent.objects.filter(code="PL025").order_by("pk")
    assert [*outcomes.values_list("outcome", flat=True)] == ["W", "I"]

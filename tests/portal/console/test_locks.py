"""Locks: made with their effect in sight, told to whom they stop, lifted on purpose."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers.models import Device, Gateway
from policies import services
from policies.models import Application, Grant, Lock, Lockable
from portal.accounts.models import Group, User
from tests.conftest import SignIn
from tests.peers.makers import Machine
from tests.policies.makers import make_grant
from tests.portal.console.confirming import confirm

pytestmark = pytest.mark.django_db
CHOOSE = "/manage/locks/add/"
QUERIES = 55
KINDS = ("user", "device", "group", "application", "gateway")


@pytest.fixture
def targets(
    laptop: Device, alices_grant: Grant, wiki: Application, gw1: Gateway
) -> dict[str, Lockable]:
    """Return one of each kind; each stops alice's laptop."""
    assert alices_grant.pk
    return {
        "user": laptop.owner,
        "device": laptop,
        "group": Group.objects.get(users=laptop.owner),
        "application": wiki,
        "gateway": gw1,
    }


def make_lock(target: Lockable, now: datetime, *, days: int | None = None) -> Lock:
    """Lock something now."""
    return services.create_lock(
        target=target,
        message="Lost in a taxi",
        expires_at=None if days is None else now + timedelta(days=days),
        actor=SYSTEM,
        now=now,
    )


def choosing(**given: object) -> dict[str, object]:
    fields = ("person", "device", "group", "application", "gateway")
    return {name: given.get(name, "") for name in fields}


@pytest.mark.parametrize("kind", KINDS)
def test_the_confirm_page_names_who_loses_what_and_locks(
    kind: str, targets: dict[str, Lockable], dave: User, sign_in: SignIn
) -> None:
    url = f"{CHOOSE}{kind}/{targets[kind].pk}/"
    browser = sign_in(dave)
    page = browser.get(url).content.decode()
    for expected in (
        "Alice",
        "loses",
        "laptop of Alice",
        "wiki",
        "1 of 1</strong>",
    ):
        assert expected in page
    assert not Lock.objects.exists()
    response = confirm(browser, url, {"message": "Lost in a taxi"}, confirmed="on")
    assert response["Location"] == "/manage/locks/"
    assert Lock.objects.get().target == targets[kind]
    assert AuditEvent.objects.get(code="RQ009").actor_label == "Dave"


@pytest.mark.parametrize("kind", KINDS)
def test_the_list_leads_to_the_confirm_page(
    kind: str, targets: dict[str, Lockable], dave: User, sign_in: SignIn
) -> None:
    target = targets[kind]
    typed = {"user": "Alice", "device": target.ref.id}.get(kind, target.pk)
    field = "person" if kind == "user" else kind
    response = sign_in(dave).post(CHOOSE, choosing(**{field: typed}))
    assert response["Location"] == f"{CHOOSE}{kind}/{target.pk}/"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "Name one thing"),
        ({"person": "Alice", "device": "dv_1"}, "Name one thing"),
        ({"person": "Nobody"}, "Nobody is called"),
        ({"device": "laptop"}, "There is no device"),
        ({"device": "dv_999999"}, "There is no device"),
        ({"gateway": "999999"}, "not one of the available"),
    ],
)
def test_a_wrong_choice_is_said(
    given: dict[str, str], says: str, laptop: Device, dave: User, sign_in: SignIn
) -> None:
    if given.get("device") == "dv_1":
        given = {**given, "device": laptop.ref.id}
    page = sign_in(dave).post(CHOOSE, choosing(**given)).content.decode()
    assert says in page


@pytest.mark.parametrize("path", ["user/999999", "group/999999", "server/1"])
def test_what_is_not_there_cannot_be_locked(
    path: str, dave: User, sign_in: SignIn
) -> None:
    assert sign_in(dave).get(f"{CHOOSE}{path}/").status_code == 404


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"message": ""}, "required"),
        ({"message": "x" * 256}, "at most 255"),
        ({"message": "why", "expires_at": "2020-01-01T00:00"}, "is past"),
        ({"message": "why", "expires_at": "9999-01-01T00:00"}, "ten years"),
    ],
)
def test_a_wrong_lock_is_said_and_nothing_changes(
    data: dict[str, str], says: str, alice: User, dave: User, sign_in: SignIn
) -> None:
    page = sign_in(dave).post(f"{CHOOSE}user/{alice.pk}/", data).content.decode()
    assert says in page
    assert not Lock.objects.exists()


def test_lifting_is_confirmed_recorded_and_done_once(
    targets: dict[str, Lockable], clock: datetime, dave: User, sign_in: SignIn
) -> None:
    lock = make_lock(targets["device"], clock)
    url = reverse("console:lift_lock", args=(lock.pk,))
    browser = sign_in(dave)
    page = browser.get(url).content.decode()
    for expected in ("laptop", "Lost in a taxi", "gains", "wiki"):
        assert expected in page
    assert confirm(browser, url)["Location"] == "/manage/locks/"
    assert browser.post(url)["Location"] == "/manage/locks/"
    assert AuditEvent.objects.filter(code="RQ010").count() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_stopped_reads_why(
    kind: str,
    targets: dict[str, Lockable],
    clock: datetime,
    alice: User,
    mallory: User,
    sign_in: SignIn,
) -> None:
    make_lock(targets[kind], clock)
    for path in ("/access/", "/devices/"):
        assert "Lost in a taxi" in sign_in(alice).get(path).content.decode()
        assert "Lost in a taxi" not in sign_in(mallory).get(path).content.decode()


@pytest.mark.parametrize("kind", ["user", "group", "application"])
def test_my_access_leaves_out_what_is_locked(
    kind: str,
    targets: dict[str, Lockable],
    clock: datetime,
    alice: User,
    sign_in: SignIn,
) -> None:
    lock = make_lock(targets[kind], clock)
    page = sign_in(alice).get("/access/").content.decode()
    assert "10.1.0.0/24" not in page
    assert "You reach nothing while this is locked" in page
    services.lift_lock(lock=lock, actor=SYSTEM, now=clock)
    assert "10.1.0.0/24" in sign_in(alice).get("/access/").content.decode()


@pytest.mark.parametrize("kind", ["user", "device", "application", "gateway"])
def test_readers_see_the_lock_on_the_page_of_what_is_locked(
    kind: str,
    targets: dict[str, Lockable],
    clock: datetime,
    carol: User,
    dave: User,
    sign_in: SignIn,
) -> None:
    target = targets[kind]
    lift = reverse("console:lift_lock", args=(make_lock(target, clock).pk,))
    url = reverse(f"console:{kind}", args=(target.pk,))
    read, changed = (sign_in(who).get(url).content.decode() for who in (carol, dave))
    assert "Lost in a taxi" in read
    assert lift not in read
    assert f"{CHOOSE}{kind}/" not in read
    assert lift in changed
    assert f"{CHOOSE}{kind}/{target.pk}/" in changed


@pytest.mark.parametrize("kind", KINDS)
def test_reach_leaves_out_what_is_locked(
    kind: str,
    targets: dict[str, Lockable],
    clock: datetime,
    carol: User,
    sign_in: SignIn,
) -> None:
    url = f"/manage/reach/applications/?application={targets['application'].pk}"
    # The menu has an icon of that name.
    gone = "gw1" if kind == "gateway" else "laptop"
    before = sign_in(carol).get(url).content.decode().replace("device-laptop", "")
    assert gone in before
    make_lock(targets[kind], clock)
    after = sign_in(carol).get(url).content.decode().replace("device-laptop", "")
    assert gone not in after


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ("", {"forever", "ending"}),
        ("ended", {"lifted", "past"}),
        ("all", {"forever", "ending", "lifted", "past"}),
    ],
)
def test_the_list_shows_locks_in_force_unless_asked_for_more(
    state: str,
    names: set[str],
    alice: User,
    clock: datetime,
    carol: User,
    sign_in: SignIn,
) -> None:
    day = timedelta(days=1)
    for name, end, lifted in (
        ("forever", None, None),
        ("ending", clock + day, None),
        ("lifted", None, clock),
        ("past", clock - day, None),
    ):
        Lock.objects.create(
            user=alice,
            message=f"is {name}!",
            created_at=clock - 2 * day,
            expires_at=end,
            lifted_at=lifted,
        )
    page = sign_in(carol).get(f"/manage/locks/?state={state}").content.decode()
    found = {n for n in ("forever", "ending", "lifted", "past") if f"is {n}!" in page}
    assert found == names


def test_without_a_lock_the_list_says_what_locks_do(
    carol: User, sign_in: SignIn
) -> None:
    assert (
        "whatever is granted" in sign_in(carol).get("/manage/locks/").content.decode()
    )


def test_the_list_costs_the_same_for_many(
    targets: dict[str, Lockable],
    clock: datetime,
    carol: User,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for target in [*targets.values()] * 2:
        make_lock(target, clock)
    browser = sign_in(carol)
    with django_assert_num_queries(4):
        browser.get("/manage/locks/")


def test_the_effect_costs_the_same_for_many(
    targets: dict[str, Lockable],
    bob: User,
    wiki: Application,
    dave: User,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    url = f"{CHOOSE}user/{targets['user'].pk}/"
    browser = sign_in(dave)
    browser.get(url)
    for person in (bob, bob, bob):
        make_grant(wiki, user=person)
    with django_assert_num_queries(QUERIES):
        browser.get(url)


def test_a_second_device_is_told_though_its_owner_keeps_access(
    laptop: Device, alices_grant: Grant, dave: User, sign_in: SignIn
) -> None:
    Machine().enroll(laptop.owner, name="phone")
    page = sign_in(dave).get(f"{CHOOSE}device/{laptop.pk}/").content.decode()
    assert "Devices that lose something: laptop of Alice." in page
    assert "No person gains or loses an application now" in page


def test_lifting_one_of_two_locks_gives_nothing_back(
    targets: dict[str, Lockable], clock: datetime, dave: User, sign_in: SignIn
) -> None:
    lock = make_lock(targets["device"], clock)
    make_lock(targets["device"], clock)
    page = sign_in(dave).get(f"/manage/locks/{lock.pk}/lift/").content.decode()
    assert "changes nothing for anybody" in page


def test_lifting_names_the_device_that_has_access_again(
    laptop: Device, alices_grant: Grant, clock: datetime, dave: User, sign_in: SignIn
) -> None:
    Machine().enroll(laptop.owner, name="phone")
    lock = make_lock(laptop, clock)
    page = sign_in(dave).get(f"/manage/locks/{lock.pk}/lift/").content.decode()
    assert "Devices that gain something: laptop of Alice." in page

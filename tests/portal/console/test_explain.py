"""Pages that explain: about anybody for readers, about themself for employees."""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import Device
from policies.models import Application, Grant
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.peers.makers import Machine
from tests.policies.makers import make_application, make_grant, publish

pytestmark = pytest.mark.django_db
WIKI = "destination=10.1.0.7&protocol=tcp&port=443"
READER, OWN = "/manage/explain/", "/access/explain/"
SUPPOSE = "/manage/explain/policy/"


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_reader_sees_the_verdict_and_the_grant(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    response = sign_in(carol).get(f"{READER}?person={alice.ref.id}&{WIKI}")
    page = response.content.decode()
    assert response.status_code == 200
    for expected in ("allowed", "Alice → wiki", "named in the log", "10.1.0.7 tcp/443"):
        assert expected in page


@pytest.mark.usefixtures("alices_grant", "pools")
def test_a_denial_lists_every_condition(
    bob: User, carol: User, sign_in: SignIn
) -> None:
    Machine().enroll(bob)
    url = f"{READER}?person=Bob&destination=10.1.0.7&protocol=tcp&port=22"
    page = sign_in(carol).get(url).content.decode()
    assert "it is for Alice, who is somebody else" in page
    assert "wiki listens on another port; the nearest is 10.1.0.0/24 tcp/443" in page


@pytest.mark.usefixtures("alices_grant")
def test_a_device_can_be_asked_about(
    laptop: Device, carol: User, bob: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    page = browser.get(f"{READER}?device={laptop.ref.id}&{WIKI}").content.decode()
    assert "Alice → wiki" in page
    wrong = browser.get(f"{READER}?person=Bob&device={laptop.ref.id}&{WIKI}")
    assert wrong.status_code == 400
    assert "It belongs to Alice." in wrong.content.decode()


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_the_past_is_told_as_past(alice: User, carol: User, sign_in: SignIn) -> None:
    now = datetime.now(UTC)  # noqa: TID251 -- a test's edge
    publish(now=now - timedelta(hours=2))
    at = f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
    url = f"{READER}?person=Alice&{WIKI}&at={at}"
    page = sign_in(carol).get(url).content.decode()
    assert "as the gateways enforced it at that time" in page
    assert "published, not known to be in force" in page


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (f"{WIKI}", "Name a person or a device."),
        (f"person=Nobody&{WIKI}", "Nobody is called"),
        (f"device=dv_0&{WIKI}", "No device is"),
        (f"device=us_1&{WIKI}", "No device is"),
        ("person=Alice&destination=banana", "is not an IP address"),
        ("person=Alice&destination=fe80::1%25eth0&port=1", "carries a zone"),
        ("person=Alice&destination=10.1.0.7", "needs a port"),
        ("person=Alice&destination=10.1.0.7&port=0", "greater than or equal to 1"),
        ("person=Alice&destination=10.1.0.7&port=70000", "less than or equal to"),
        ("person=Alice&destination=10.1.0.7&protocol=icmp&port=1", "has no ports"),
        ("person=Alice&destination=10.1.0.7&protocol=0", "run from 1 to 255"),
        ("person=Alice&destination=10.1.0.7&protocol=x", "Say tcp, udp"),
        (f"person=Alice&{WIKI}&at=soon", "Enter a valid date/time."),
        (f"person=Alice&{WIKI}&at=0001-01-01T00:00%2B14:00", "No calendar"),
    ],
)
def test_a_question_that_makes_no_sense_is_explained_and_not_recorded(
    query: str, message: str, alice: User, carol: User, sign_in: SignIn
) -> None:
    response = sign_in(carol).get(f"{READER}?{query}")
    assert response.status_code == 400
    assert message in response.content.decode()
    assert not AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).exists()


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_every_question_is_recorded(alice: User, carol: User, sign_in: SignIn) -> None:
    browser = sign_in(carol)
    browser.get(READER)
    assert not AuditEvent.objects.filter(code=EventCode.POLICY_QUERY).exists()
    browser.get(f"{READER}?person=Alice&{WIKI}&at=2026-05-03T12:00")
    event = AuditEvent.objects.get(code=EventCode.POLICY_QUERY)
    assert (event.actor_label, event.person_label) == ("Carol", "Alice")
    assert event.details == {
        "question": "explain",
        "destination": "10.1.0.7 tcp/443",
        "at": "2026-05-03T12:00:00Z",
    }


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_an_employee_explains_themself(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice).get(f"{OWN}?{WIKI}").content.decode()
    assert "for you" in page
    assert "Alice → wiki" in page
    assert "/manage/" not in page


@pytest.mark.usefixtures("alices_grant")
def test_an_employee_cannot_ask_about_others(
    alice: User, laptop: Device, mallory: User, sign_in: SignIn
) -> None:
    browser = sign_in(mallory)
    page = browser.get(f"{OWN}?{WIKI}&person={alice.ref.id}").content.decode()
    assert "for you" in page
    assert "denied" in page
    shown = page.split('id="content"')[1]
    assert "None of your grants comes near this." in shown
    assert [name for name in ("Alice", "wiki", "gw1") if name in shown] == []
    other = browser.get(f"{OWN}?{WIKI}&device={laptop.ref.id}")
    assert other.status_code == 400
    assert ">laptop<" not in other.content.decode()


def test_names_from_outside_are_escaped(
    alice: User, carol: User, laptop: Device, wiki: Application, sign_in: SignIn
) -> None:
    Application.objects.filter(pk=wiki.pk).update(name="<b>wiki</b>")
    make_grant(Application.objects.get(pk=wiki.pk), user=alice)
    page = sign_in(carol).get(f"{READER}?person=Alice&{WIKI}").content.decode()
    assert "<b>wiki" not in page
    assert "&lt;b&gt;wiki" in page


@pytest.mark.parametrize("extra", [0, 4])
def test_the_page_costs_the_same_for_many(
    extra: int,
    alices_grant: Grant,
    laptop: Device,
    carol: User,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    gateways = list(alices_grant.application.gateways.all())
    for number in range(extra):
        found = make_application(f"a{number}", "10.1.0.0/24", gateways=gateways)
        make_grant(found, user=laptop.owner)
    publish()
    browser = sign_in(carol)
    with django_assert_num_queries(29):
        browser.get(f"{READER}?person=Alice&{WIKI}")


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_reader_asks_about_a_policy_that_is_not_applied(
    carol: User, sign_in: SignIn
) -> None:
    asked = {"person": "Alice", "destination": "10.1.0.7", "port": "443"}
    browser = sign_in(carol)
    page = browser.post(SUPPOSE, {**asked, "policy": "{}"}).content.decode()
    assert "as if the policy file had been applied; it is not" in page
    assert ">denied<" in page
    assert "not applied" in page
    assert Grant.objects.filter(ended_at__isnull=True).exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"policy": "{"}, "line 1, column 2"),
        ({"policy": ""}, "This field is required"),
        ({"at": "2020-01-01T00:00"}, "what is past"),
        ({"person": ""}, "Name a person or a device"),
    ],
)
@pytest.mark.usefixtures("alice")
def test_a_policy_that_cannot_be_supposed_says_why(
    changed: dict[str, str], words: str, carol: User, sign_in: SignIn
) -> None:
    asked = {"person": "Alice", "destination": "10.1.0.7", "port": "443"}
    answer = sign_in(carol).post(SUPPOSE, {**asked, "policy": "{}", **changed})
    assert answer.status_code == 400
    assert words in html.unescape(answer.content.decode())

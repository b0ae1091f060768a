"""The page of who could beside who did."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from audit.events import EventCode
from audit.models import AuditEvent
from audit.services import record_flows
from peers.models import Device
from policies.models import Application
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.policies.makers import make_grant, publish
from tests.portal.console.test_log import EDGE, flow

pytestmark = pytest.mark.django_db


@pytest.fixture
def used(
    laptop: Device, wiki: Application, alice: User, bob: User, clock: datetime
) -> None:
    """Alice may and did; bob may and did not."""
    for user in (alice, bob):
        make_grant(wiki, user=user)
    publish()
    at = clock - timedelta(minutes=5)
    told = flow(1, alice, at=at, application=wiki.ref)
    record_flows(gateway=EDGE, flows=[told], now=clock)


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize("about", ["applications/{wiki}", "people/{alice}"])
def test_what_was_done_stands_beside_what_could_be(
    about: str, alice: User, wiki: Application, carol: User, sign_in: SignIn
) -> None:
    path = about.format(wiki=wiki.pk, alice=alice.pk)
    page = sign_in(carol).get(f"/audit/used/{path}/").content.decode()
    assert "/audit/timeline/application/" in page
    link = f"/audit/connections/?person={alice.ref.id}&amp;application={wiki.ref.id}"
    assert link in page
    event = AuditEvent.objects.get(code=EventCode.POLICY_QUERY)
    assert event.details["question"] == "used"


@pytest.mark.usefixtures("used")
def test_the_link_to_what_was_done_finds_it(
    alice: User, wiki: Application, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    page = browser.get(f"/audit/used/applications/{wiki.pk}/").content.decode()
    href = page.split('href="/audit/connections/?')[1].split('"')[0]
    found = browser.get(f"/audit/connections/?{href.replace('&amp;', '&')}")
    assert "1 found" in found.content.decode()


@pytest.mark.parametrize("query", ["from=banana", "last=year", "from=2999-01-01"])
def test_a_wrong_period_is_explained(
    query: str, wiki: Application, carol: User, sign_in: SignIn
) -> None:
    url = f"/audit/used/applications/{wiki.pk}/?{query}"
    assert sign_in(carol).get(url).status_code == 400


@pytest.mark.usefixtures("alice")
def test_nobody_could_and_nobody_did(
    wiki: Application, carol: User, sign_in: SignIn
) -> None:
    page = sign_in(carol).get(f"/audit/used/applications/{wiki.pk}/")
    assert "Nobody could, and nobody did" in page.content.decode()

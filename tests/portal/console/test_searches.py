"""Searches that are kept: whose they are, who sees them, and what the log says."""

from __future__ import annotations

from datetime import datetime

import pytest

from audit.actor import SYSTEM
from audit.events import EventCode
from audit.models import AuditEvent, Log, SavedSearch
from audit.search.filters import Filter
from audit.search.saved import save_search
from portal.accounts.models import User
from tests.conftest import SignIn

pytestmark = pytest.mark.django_db
ADD = "/audit/searches/add/connections/?port=22&verdict=denied"


def keep(owner: User, now: datetime, *, is_shared: bool, name: str = "ssh") -> int:
    return save_search(
        log=Log.CONNECTIONS,
        name=name,
        filters=Filter(port=22),
        is_shared=is_shared,
        owner=owner.ref,
        actor=SYSTEM,
        now=now,
    ).pk


@pytest.mark.parametrize("shared", [True, False])
def test_a_search_is_kept_with_its_filter_and_the_log_says_so(
    shared: bool, dave: User, sign_in: SignIn
) -> None:
    data = {"name": "ssh denied", **({"is_shared": "on"} if shared else {})}
    response = sign_in(dave).post(ADD, data)
    kept = SavedSearch.objects.get()
    assert response["Location"] == f"/audit/connections/?{kept.query}"
    assert kept.query == "port=22&verdict=denied"
    event = AuditEvent.objects.get(code=EventCode.SAVED_SEARCH_CREATE)
    assert (event.target_label, event.actor_label) == ("ssh denied", "Dave")
    assert event.details == {
        "log": "connections",
        "query": kept.query,
        "shared": shared,
        "owner": dave.ref.id,
    }


@pytest.mark.parametrize(("shared", "seen"), [(True, True), (False, False)])
def test_others_see_what_is_shared_only(
    shared: bool, seen: bool, dave: User, carol: User, clock: datetime, sign_in: SignIn
) -> None:
    keep(dave, clock, is_shared=shared, name="Night watch")
    browser = sign_in(carol)
    for path in ("/audit/searches/", "/audit/connections/"):
        page = browser.get(path).content.decode()
        assert ('">Night watch</a>' in page) is seen
    events = browser.get("/audit/events/").content.decode()
    assert '">Night watch</a>' not in events
    assert "/remove/" not in browser.get("/audit/searches/").content.decode()


def test_a_search_of_anothers_own_is_not_there(
    carol: User, dave: User, clock: datetime, sign_in: SignIn
) -> None:
    number = keep(carol, clock, is_shared=False)
    url = f"/audit/searches/{number}/remove/"
    browser = sign_in(dave)
    assert (browser.get(url).status_code, browser.post(url).status_code) == (404, 404)
    assert SavedSearch.objects.exists()


def test_removing_a_shared_search_leaves_its_event(
    carol: User, dave: User, clock: datetime, sign_in: SignIn
) -> None:
    number = keep(carol, clock, is_shared=True)
    url = f"/audit/searches/{number}/remove/"
    browser = sign_in(dave)
    assert "nobody who reads the log finds it" in browser.get(url).content.decode()
    browser.post(url)
    assert not SavedSearch.objects.exists()
    event = AuditEvent.objects.get(code=EventCode.SAVED_SEARCH_DELETE)
    assert event.details["query"] == "port=22"


def test_a_second_search_of_the_same_name_is_refused(
    dave: User, clock: datetime, sign_in: SignIn
) -> None:
    keep(dave, clock, is_shared=False)
    page = sign_in(dave).post(ADD, {"name": "ssh"}).content.decode()
    assert "you have a search of this name" in page
    assert SavedSearch.objects.count() == 1


@pytest.mark.parametrize("path", ["nothing/", "connections/?address=banana", "events/"])
def test_what_cannot_be_asked_cannot_be_kept(
    path: str, dave: User, sign_in: SignIn
) -> None:
    url = f"/audit/searches/add/{path}"
    assert sign_in(dave).post(url, {"name": "x"}).status_code == 404


def test_a_nameless_search_is_refused(dave: User, sign_in: SignIn) -> None:
    assert "required" in sign_in(dave).post(ADD, {}).content.decode()
    assert not SavedSearch.objects.exists()

"""G15, G16: no address, by no method, changes anything without an event.

A privileged person, a program, an auditor and a stranger go to every page and every
operation of the API with data that fits. The log has no switch among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

from portal.accounts.models import Scope
from tests.conftest import SignIn
from tests.portal.credentials import MakeKey, make_key, with_key
from tests.walks.company import Company
from tests.walks.lines import LINES
from tests.walks.routes import GATEWAYS, PROGRAMS, admin_addresses, routes
from tests.walks.tables import Ledger
from tests.walks.walker import METHODS, UNSAFE, Visit, Walker

if TYPE_CHECKING:
    from tests.walks.walker import Commits

__all__ = ["make_key"]
pytestmark = pytest.mark.django_db
# These take a question by POST; readers may ask, and nothing changes.
QUESTIONS = {"manage/explain/policy/", "api/v1/explain/", "audit/evidence/"}
# Proving anew who one is, and going: a session is all that changes.
SESSIONS = {
    "accounts/login/",
    "accounts/confirm/",
    "accounts/logout/",
    "accounts/sso/login/",
    "accounts/sso/login/callback/",
    "accounts/cancelled/",
    "accounts/error/",
    "accounts/sessions/",
    "identity/o/api/device/code",
    "identity/o/api/token",
    "identity/o/api/revoke",
    "healthz",
}


def pages() -> list[str]:
    """Return the addresses of people, in a browser."""
    return [route for route in routes() if not route.startswith((GATEWAYS, PROGRAMS))]


def walked(walker: Walker, chosen: list[str]) -> dict[str, list[Visit]]:
    """Go everywhere; the visits by route."""
    return {route: [*walker.visits(route, LINES[route])] for route in chosen}


def silent(found: dict[str, list[Visit]]) -> list[str]:
    """Return the visits that changed something and left no event."""
    return [
        str(visit) for visits in found.values() for visit in visits if visit.is_silent
    ]


def idle(found: dict[str, list[Visit]]) -> list[str]:
    """Return the posts that changed nothing although they should."""
    return [
        str(visit)
        for route, visits in found.items()
        for visit in visits
        if LINES[route].must_change and visit.method == "post" and not visit.changed
    ]


def restless(found: dict[str, list[Visit]]) -> list[str]:
    """Return the visits that changed something where nothing should."""
    return [
        str(visit)
        for route, visits in found.items()
        for visit in visits
        if visit.changed and not LINES[route].must_change
    ]


def test_every_address_has_a_line_and_every_line_an_address() -> None:
    assert sorted(LINES) == routes()


def test_no_page_changes_anything_in_silence(
    company: Company, commits: Commits, sign_in: SignIn
) -> None:
    found = walked(Walker(company, sign_in(company.owner), commits), pages())
    assert silent(found) == []
    assert idle(found) == []
    assert restless(found) == []


def test_no_operation_of_programs_changes_anything_in_silence(
    company: Company, commits: Commits, make_key: MakeKey
) -> None:
    _, secret = make_key(company.owner, Scope.POLICY_READ, Scope.POLICY_WRITE)
    chosen = [route for route in routes() if route.startswith(PROGRAMS)]
    found = walked(Walker(company, with_key(secret), commits), chosen)
    assert silent(found) == []
    assert idle(found) == []
    assert restless(found) == []


def test_the_admin_changes_nothing_at_all(
    company: Company, commits: Commits, sign_in: SignIn
) -> None:
    walker = Walker(company, sign_in(company.owner), commits)
    found = [
        walker.visit(method, address)
        for address in admin_addresses()
        for method in ("get", *UNSAFE)
    ]
    assert len(found) > 500
    assert [str(visit) for visit in found if visit.changed] == []


def test_an_auditor_reaches_nothing_that_changes_anything(
    company: Company, commits: Commits, sign_in: SignIn
) -> None:
    walker = Walker(company, sign_in(company.auditor), commits)
    found = walked(walker, pages())
    assert [str(v) for visits in found.values() for v in visits if v.changed] == []
    reached = [
        str(visit)
        for route, visits in found.items()
        for visit in visits
        if visit.method in UNSAFE
        and not visit.is_closed
        and route not in QUESTIONS | SESSIONS
    ]
    assert reached == []


def test_an_auditor_reaches_nothing_in_the_admin(
    company: Company, commits: Commits, sign_in: SignIn
) -> None:
    walker = Walker(company, sign_in(company.auditor), commits)
    found = [
        walker.visit(method, address)
        for address in admin_addresses()
        for method in UNSAFE
    ]
    assert [str(visit) for visit in found if visit.changed] == []


def test_a_stranger_changes_nothing(company: Company, commits: Commits) -> None:
    chosen = [route for route in routes() if not route.startswith(GATEWAYS)]
    found = walked(Walker(company, Client(), commits), chosen)
    assert [str(v) for visits in found.values() for v in visits if v.changed] == []


@pytest.mark.django_db(transaction=True)
def test_a_stranger_changes_nothing_on_the_gateways_lane(company: Company) -> None:
    """It has threads and connections of its own, so nothing here is taken back."""
    before = Ledger().before
    for route in routes():
        if route.startswith(GATEWAYS):
            for method in METHODS:
                answer = getattr(Client(), method)(f"/{route}")
                assert answer.status_code in {400, 401, 405, 422}, (method, route)
    assert Ledger().before == before

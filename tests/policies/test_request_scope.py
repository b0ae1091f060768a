"""A request is for an application as it is described, and for nothing beside it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from policies.compiler.types import Destination
from policies.facts import destination_of
from policies.models import AccessRequest, Application, Grant
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.peers.api.calls import post
from tests.peers.makers import Machine
from tests.policies.makers import content, publish
from tests.policies.requests import approve, open_for_requests

pytestmark = pytest.mark.django_db

MORE = {
    "destinations": ["0.0.0.0/0", "10.9.0.0/16"],
    "destination": "*",
    "prefix": "0.0.0.0/0",
    "ports": "1-65535",
    "protocol": "any",
    "applications": [1, 2],
    "gateways": [1],
    "group": 1,
    "user": 1,
}
"""What somebody might hope to slip into a request (attack C08)."""


@pytest.fixture
def vault(wiki: Application, bob: User) -> Application:
    """Bob answers for the wiki."""
    return open_for_requests(wiki, owner=bob)


@pytest.fixture
def clock() -> datetime:
    """Return the time: pages and the API are asked now."""
    return datetime.now(UTC)  # noqa: TID251 -- a test's edge


def described(application: Application) -> list[Destination]:
    return [destination_of(row) for row in application.destinations.all()]


@pytest.mark.parametrize("name", MORE)
def test_the_api_takes_no_destination_with_a_request(
    name: str, vault: Application, alice: User, sign_in: SignIn
) -> None:
    """Attack C08, over the API: an unknown field refuses the whole request."""
    body = {"application": vault.pk, "reason": "on call", "duration_seconds": 7200}
    answer = post(sign_in(alice), "/api/v1/requests/", {**body, name: MORE[name]})
    assert (answer.status_code, AccessRequest.objects.count()) == (400, 0)
    assert "unknown field" in answer.json()["detail"]


@pytest.mark.parametrize("application", ["*", "0.0.0.0/0", [1, 2], None, {"id": 1}])
def test_the_api_asks_for_one_application_by_number(
    application: object, vault: Application, alice: User, sign_in: SignIn
) -> None:
    """Attack C08: there is no way to write a wildcard."""
    body = {"application": application, "reason": "x", "duration_seconds": 7200}
    answer = post(sign_in(alice), "/api/v1/requests/", body)
    assert (answer.status_code, AccessRequest.objects.count()) == (400, 0)


def test_what_is_approved_is_what_is_described(
    vault: Application, alice: User, bob: User, clock: datetime, sign_in: SignIn
) -> None:
    """Attack C08, on the page: more fields than the form has grant nothing more."""
    before = described(vault)
    Machine().enroll(alice)
    form = {"reason": "on call", "count": "2", "unit": "hours", **MORE}
    sign_in(alice).post(f"/requests/new/{vault.pk}/", form)
    approve(AccessRequest.objects.get(), bob, now=clock)
    publish(now=clock)
    assert described(vault) == before
    grant, gateway = Grant.objects.get(), vault.gateways.get()
    assert (grant.application, grant.user, grant.group) == (vault, alice, None)
    published = content(gateway)
    assert [g.id for g in published.grants] == [grant.pk]
    assert [a.destinations for a in published.applications] == [tuple(before)]

"""The API's connections: for readers, recorded, with every grant that allowed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from audit.events import EventCode
from audit.models import AuditEvent, Connection
from peers.models import Device, Gateway
from policies import services
from policies.models import Application, Grant
from portal.accounts.models import Group, User
from tests.conftest import SignIn
from tests.peers.api.conftest import Bearer, bearer
from tests.peers.makers import Machine
from tests.policies.makers import NOW, agent, make_grant, opened, publish

__all__ = ["bearer"]
pytestmark = pytest.mark.django_db
URL = "/api/v1/connections/"
Connect = Callable[..., Connection]


@pytest.fixture
def second(engineering: Group, wiki: Application, alices_grant: Grant) -> Grant:
    """A second grant on what alice's own lets her reach."""
    assert alices_grant.pk
    return make_grant(wiki, group=engineering)


@pytest.fixture
def connected(
    gw1: Gateway, alice: User, alices_grant: Grant, second: Grant, pools: None
) -> Connection:
    """Alice reached the wiki."""
    device: Device = Machine().enroll(alice, now=NOW - timedelta(hours=1))
    publish()
    record = opened(
        1,
        device=device.pk,
        source=device.leases.get(address__contains=".").address,
        grant=alices_grant.pk,
        application=alices_grant.application_id,
    )
    services.ingest_evidence(gateway=gw1, records=[record], actor=agent(gw1), now=NOW)
    return Connection.objects.get()


def test_one_connection_names_every_grant(
    connected: Connection, second: Grant, carol: User, sign_in: SignIn
) -> None:
    told = sign_in(carol).get(f"{URL}{connected.pk}/").json()
    assert (told["grant_label"], told["snapshot"]) == ("Alice → wiki", "1.1")
    assert told["also_allowed_by"] == [
        {"id": second.ref.id, "name": "engineering → wiki"}
    ]
    assert told["also_allowed_doubt"] == ""
    event = AuditEvent.objects.get(code=EventCode.AUDIT_QUERY)
    assert (event.actor_label, event.details["log"]) == ("Carol", "connections")


def test_what_is_unknown_is_null(
    connected: Connection, carol: User, sign_in: SignIn
) -> None:
    Connection.objects.update(generation=77)
    told = sign_in(carol).get(f"{URL}{connected.pk}/").json()
    assert (told["snapshot"], told["also_allowed_by"]) == (None, None)
    assert "generation 77" in told["also_allowed_doubt"]


def test_connections_are_filtered_as_on_the_page(
    connected: Connection, second: Grant, alice: User, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    [row] = browser.get(f"{URL}?person={alice.ref.id}").json()["rows"]
    assert (row["id"], row["also_allowed_by"]) == (connected.pk, [second.ref.id])
    assert browser.get(f"{URL}?verdict=denied").json() == {"rows": [], "older": None}
    wrong = browser.get(f"{URL}?colour=red")
    assert wrong.status_code == 400
    assert "there is no such filter" in wrong.json()["detail"]


def test_pages_of_connections_follow_each_other(
    connected: Connection, carol: User, sign_in: SignIn
) -> None:
    for number in range(60):
        connected.pk, connected.flow = None, f"f{number}"
        connected.save(force_insert=True)
    browser = sign_in(carol)
    first = browser.get(URL).json()
    rest = browser.get(f"{URL}?cursor={first['older']}").json()
    assert (len(first["rows"]), len(rest["rows"]), rest["older"]) == (50, 11, None)


@pytest.mark.parametrize("path", ["", "{pk}/"])
def test_connections_are_for_readers_in_their_browser(
    path: str, connected: Connection, alice: User, sign_in: SignIn, bearer: Bearer
) -> None:
    url = URL + path.format(pk=connected.pk)
    assert sign_in(alice).get(url).status_code == 403
    assert bearer(alice).get(url).status_code == 403
    assert Client().get(url).status_code in {401, 403}
    assert not AuditEvent.objects.filter(code=EventCode.AUDIT_QUERY).exists()


def test_a_connection_that_does_not_exist_is_not_there(
    carol: User, sign_in: SignIn
) -> None:
    assert sign_in(carol).get(f"{URL}999/").status_code == 404

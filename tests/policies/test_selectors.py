"""Who sees what, what a person may reach, and what their device routes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404

from audit.actor import SYSTEM
from peers.models import Gateway
from policies import selectors, services
from policies.compiler.wireguard import device_allowed_ips
from policies.facts import gateway_facts
from policies.models import Application, Grant, Revocation
from policies.reports import parse_report
from portal.accounts.models import Group, User
from tests.peers.makers import Machine
from tests.policies.makers import (
    NOW,
    agent,
    make_application,
    make_grant,
    publish,
    report,
)

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
KEY = "FZm8wqFiEDqcIP2Tl0M7fxXhDOxuzqLhVSNNqvyDfWg="


@pytest.fixture
def revocation(alice: User) -> Revocation:
    """A revocation to look at."""
    return Revocation.objects.create(
        user=alice, requested_at=NOW, actor_label="dave", reason="left"
    )


Gate = Callable[[User, int], object]
GATES: dict[str, tuple[Gate, str]] = {
    "application": (selectors.get_application_for, "wiki"),
    "grant": (selectors.get_grant_for, "alices_grant"),
    "revocation": (selectors.get_revocation_for, "revocation"),
}
CHANGES: dict[str, tuple[Gate, str]] = {
    "application": (selectors.get_application_to_change_for, "wiki"),
    "grant": (selectors.get_grant_to_change_for, "alices_grant"),
}


@pytest.mark.parametrize(("gate", "name"), GATES.values(), ids=GATES.keys())
def test_readers_see_policy_and_employees_do_not(
    gate: Gate,
    name: str,
    carol: User,
    alice: User,
    request: pytest.FixtureRequest,
) -> None:
    row = request.getfixturevalue(name)
    assert gate(carol, row.pk) == row
    with pytest.raises(Http404):
        gate(alice, row.pk)
    with pytest.raises(Http404):
        gate(carol, row.pk + 1000)


@pytest.mark.parametrize(("gate", "name"), CHANGES.values(), ids=CHANGES.keys())
def test_administrators_change_policy_and_auditors_do_not(
    gate: Gate, name: str, carol: User, dave: User, request: pytest.FixtureRequest
) -> None:
    row = request.getfixturevalue(name)
    assert gate(dave, row.pk) == row
    with pytest.raises(PermissionDenied):
        gate(carol, row.pk)


def test_access_names_the_grants_and_the_last_end(
    wiki: Application, alice: User, engineering: Group, gw1: Gateway
) -> None:
    own = make_grant(wiki, user=alice, expires_at=NOW + HOUR)
    group = make_grant(wiki, group=engineering, expires_at=NOW + 2 * HOUR)
    [found] = selectors.my_access(alice, NOW)
    assert found.application == wiki
    assert found.grants == (own, group)
    assert found.gateways == (gw1,)
    assert [str(row) for row in found.destinations] == ["10.1.0.0/24 tcp/443"]
    assert found.expires_at == NOW + 2 * HOUR


def test_access_without_end_says_never(alice: User, alices_grant: Grant) -> None:
    make_grant(alices_grant.application, user=alice, expires_at=NOW + HOUR)
    assert selectors.my_access(alice, NOW)[0].expires_at is None


@pytest.mark.parametrize("now", [NOW, NOW + 2 * HOUR], ids=["before", "after"])
def test_access_outside_its_time_is_none(
    wiki: Application, alice: User, now: datetime
) -> None:
    make_grant(wiki, user=alice, not_before=NOW + HOUR, expires_at=NOW + 2 * HOUR)
    assert selectors.my_access(alice, now) == ()


def test_disabled_person_has_no_access(alice: User, alices_grant: Grant) -> None:
    assert alices_grant.pk
    alice.is_active = False
    assert selectors.my_access(alice, NOW) == ()


def test_strangers_have_no_access(mallory: User, alices_grant: Grant) -> None:
    assert alices_grant.pk
    assert selectors.my_access(mallory, NOW) == ()


def test_device_routes_exactly_what_its_owner_was_granted(
    gw1: Gateway, alice: User, wiki: Application, engineering: Group
) -> None:
    make_grant(wiki, user=alice)
    twice = make_application("files", "10.1.1.0/24", "fd10::/64", gateways=[gw1])
    make_grant(twice, group=engineering)
    make_application("payroll", "10.66.0.0/24", gateways=[gw1])
    text = selectors.client_config(Machine().enroll(alice), now=NOW)
    assert "AllowedIPs = 10.1.0.0/23, fd10::/64\n" in text
    assert "Endpoint = gw1.example.test:51820\n" in text
    assert "PrivateKey" not in text


def test_device_routes_what_the_compiler_says(
    gw1: Gateway, alice: User, alices_grant: Grant
) -> None:
    assert alices_grant.pk
    text = selectors.client_config(Machine().enroll(alice), now=NOW)
    expected = device_allowed_ips(gateway_facts(gw1), user_id=alice.pk, now=NOW)
    routes = ", ".join(str(prefix) for prefix in expected)
    assert f"AllowedIPs = {routes}\n" in text


def test_each_gateway_is_a_peer_of_its_own(
    gw1: Gateway, alice: User, wiki: Application
) -> None:
    other = Gateway.objects.create(
        name="gw2",
        endpoint_host="2001:db8::2",
        state="enrolled",
        public_key=KEY,
        created_at=NOW,
    )
    make_grant(wiki, user=alice)
    make_grant(make_application("hr", "10.3.0.0/24", gateways=[other]), user=alice)
    both = make_application("crm", "10.2.0.0/24", gateways=[gw1, other])
    make_grant(both, user=alice)
    text = selectors.client_config(Machine().enroll(alice), now=NOW)
    first, second = text.split("[Peer]")[1:]
    assert "AllowedIPs = 10.1.0.0/24, 10.2.0.0/24\n" in first
    assert "AllowedIPs = 10.3.0.0/24\n" in second
    assert "Endpoint = [2001:db8::2]:51820\n" in second


def test_device_without_grants_routes_nothing(pools: None, mallory: User) -> None:
    assert pools is None
    text = selectors.client_config(Machine().enroll(mallory), now=NOW)
    assert "[Peer]" not in text
    assert text.startswith("[Interface]\nAddress = 100.64.0.")


def test_pending_gateway_is_no_peer(
    gw1: Gateway, alice: User, alices_grant: Grant
) -> None:
    assert alices_grant.pk
    Gateway.objects.filter(pk=gw1.pk).update(state="pending")
    assert "[Peer]" not in selectors.client_config(Machine().enroll(alice), now=NOW)


def test_status_follows_a_gateway_from_published_to_in_force(
    gw1: Gateway, alices_grant: Grant
) -> None:
    assert alices_grant.pk
    assert selectors.gateway_statuses([gw1])[0].published is None
    [snapshot] = publish()
    assert not selectors.gateway_statuses([gw1])[0].is_current
    services.record_acknowledgement(
        gateway=gw1, report=parse_report(report(snapshot)), actor=agent(gw1), now=NOW
    )
    [status] = selectors.gateway_statuses([gw1])
    assert status.is_current
    assert status.in_force == status.acknowledged
    services.end_grant(grant=alices_grant, actor=SYSTEM, now=NOW)
    publish()
    assert not selectors.gateway_statuses([gw1])[0].is_current


def test_positions_are_of_published_gateways_only(gw1: Gateway) -> None:
    assert selectors.published_position(gw1.pk) == selectors.NOTHING
    assert selectors.published_positions() == {}
    publish()
    assert selectors.published_positions() == {gw1.pk: (1, 1)}
    assert selectors.published_position(gw1.pk) == (1, 1)

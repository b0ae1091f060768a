"""The bridge lets live people's live devices across, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from pytest_django import Settings

from audit.actor import SYSTEM
from peers import services as peers_services
from peers.models import Gateway
from policies import services
from policies.compiler.types import NEVER, Subject, SubjectKind
from policies.facts import gateway_facts
from policies.models import Application, Grant
from portal.accounts.models import Group, User
from tests.peers.makers import Machine
from tests.policies.makers import NOW, make_application, make_grant

pytestmark = pytest.mark.django_db


def test_device_crosses_with_key_and_both_addresses(
    gw1: Gateway, alices_grant: Grant, alice: User
) -> None:
    machine = Machine()
    device = machine.enroll(alice)
    [found] = gateway_facts(gw1).devices
    assert (found.id, found.user_id) == (device.pk, alice.pk)
    assert found.public_key == machine.public_key
    assert [address.version for address in found.addresses] == [4, 6]
    assert found.expires_at == NEVER
    assert alices_grant.pk


def test_grant_crosses_with_its_subject_and_times(
    gw1: Gateway, wiki: Application, engineering: Group
) -> None:
    end = NOW + timedelta(days=1)
    grant = make_grant(wiki, group=engineering, expires_at=end)
    [found] = gateway_facts(gw1).grants
    assert found.subject == Subject(kind=SubjectKind.GROUP, id=engineering.pk)
    assert (found.id, found.application_id) == (grant.pk, wiki.pk)
    assert (found.not_before, found.expires_at) == (NOW, end)


def test_pools_and_port_are_the_gateways(gw1: Gateway, pools: None) -> None:
    assert pools is None
    found = gateway_facts(gw1)
    assert found.pools == (
        ip_network("100.64.0.0/24"),
        ip_network("fd5e:e4a6:e000::/64"),
    )
    assert (found.gateway_id, found.listen_port) == (gw1.pk, 51820)


def test_application_of_another_gateway_stays_out(gw1: Gateway, alice: User) -> None:
    other = Gateway.objects.create(name="gw2", endpoint_host="b.test", created_at=NOW)
    make_grant(make_application("crm", "10.2.0.0/24", gateways=[other]), user=alice)
    found = gateway_facts(gw1)
    assert (found.applications, found.grants, found.devices) == ((), (), ())


def disable(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)


def revoke(alice: User) -> None:
    peers_services.revoke_devices_of(users=[alice], reason="x", actor=SYSTEM, now=NOW)


def end(_alice: User) -> None:
    for grant in Grant.objects.all():
        services.end_grant(grant=grant, actor=SYSTEM, now=NOW)


@pytest.mark.parametrize("stop", [disable, revoke, end])
def test_who_may_not_connect_does_not_cross(
    gw1: Gateway,
    alices_grant: Grant,
    alice: User,
    pools: None,
    stop: Callable[[User], None],
) -> None:
    assert alices_grant.pk
    assert pools is None
    Machine().enroll(alice)
    assert len(gateway_facts(gw1).devices) == 1
    stop(alice)
    assert gateway_facts(gw1).devices == ()


def test_revoked_keys_are_named_on_every_gateway(
    gw1: Gateway, alice: User, pools: None
) -> None:
    assert pools is None
    machine = Machine()
    machine.enroll(alice)
    revoke(alice)
    assert gateway_facts(gw1).revoked_keys == (machine.public_key,)


def test_queries_do_not_grow_with_devices(
    gw1: Gateway,
    wiki: Application,
    engineering: Group,
    alice: User,
    bob: User,
    settings: Settings,
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    settings.PEERAGE_DEVICE_LIMIT = 100
    make_grant(wiki, group=engineering)
    for person in (alice, bob):
        for number in range(5):
            Machine().enroll(person, name=f"laptop {number}")
    with django_assert_num_queries(11):
        found = gateway_facts(gw1)
    assert len(found.devices) == 10
    assert found.memberships == tuple(
        sorted((person.pk, engineering.pk) for person in (alice, bob))
    )
    assert found.devices[0].addresses[0] in ip_network("100.64.0.0/24")

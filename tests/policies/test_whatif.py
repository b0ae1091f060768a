"""Trying a change: what it would do is told, and nothing of it stays."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from ipaddress import ip_address

import pytest
from django.db import connection, transaction

from audit.actor import SYSTEM
from audit.flows import AttributedFlow
from audit.models import Connection, FlowKind
from audit.services import record_flows
from peers.models import Device, Gateway
from policies import services
from policies.destinations import DestinationInput
from policies.effects import EffectKind
from policies.errors import InvalidGrantError
from policies.models import Application, Grant, Publication
from policies.whatif import Outlook, outlook
from portal.accounts.models import Group, User
from tests.peers.makers import Machine, codes
from tests.policies.makers import NOW, make_grant, web

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    return Machine().enroll(alice)


def ending(grant: Grant) -> Outlook:
    return outlook(
        partial(services.end_grant, grant=grant, actor=SYSTEM, now=LATER), now=LATER
    )


def granting(application: Application, user: User) -> Outlook:
    return outlook(
        partial(
            services.create_grant,
            application=application,
            user=user,
            actor=SYSTEM,
            now=LATER,
        ),
        now=LATER,
    )


def moving(application: Application, *places: DestinationInput) -> Outlook:
    return outlook(
        partial(
            services.update_application,
            application=application,
            name=application.name,
            description="",
            destinations=places,
            gateways=application.gateways.all(),
            actor=SYSTEM,
            now=LATER,
        ),
        now=LATER,
    )


def open_connection(
    device: Device, gateway: Gateway, application: Application, *, port: int = 443
) -> None:
    """Record a flow that has begun and not ended."""
    lease = next(x for x in device.leases.all() if "." in x.address)
    host = application.destinations.all()[0].prefix.split("/")[0]
    number = Connection.objects.count() + 1
    flow = AttributedFlow(
        kind=FlowKind.OPEN,
        sequence=number,
        at=NOW,
        flow=f"f{number}",
        protocol=6,
        source=ip_address(lease.address),
        source_port=50_000 + number,
        destination=ip_address(host),
        destination_port=port,
        person=device.owner.ref,
        device=device.ref,
        application=application.ref,
        started_at=NOW,
        generation=1,
        reason="",
        body={},
    )
    record_flows(gateway=gateway.ref, flows=[flow], now=NOW)


def test_who_loses_what_is_told(alices_grant: Grant, laptop: Device) -> None:
    (row,) = ending(alices_grant).effect.rows
    assert row.kind is EffectKind.LOSES
    assert row.people == (laptop.owner_id,)
    assert row.application_id == alices_grant.application_id


def test_who_gains_what_is_told(wiki: Application, laptop: Device) -> None:
    (row,) = granting(wiki, laptop.owner).effect.rows
    assert (row.kind, row.people) == (EffectKind.GAINS, (laptop.owner_id,))


def test_nothing_of_a_trial_stays(alices_grant: Grant, laptop: Device) -> None:
    before = (codes(), [*Publication.objects.values()])
    hooks = len(connection.run_on_commit)
    ending(alices_grant)
    assert (codes(), [*Publication.objects.values()]) == before
    assert Grant.objects.get().ended_at is None
    assert len(connection.run_on_commit) == hooks


def test_a_trial_inside_a_transaction_takes_back_itself_alone(
    alices_grant: Grant, laptop: Device, bob: User, wiki: Application
) -> None:
    with transaction.atomic():
        make_grant(wiki, user=bob)
        ending(alices_grant)
    assert Grant.objects.filter(ended_at=None).count() == 2


def test_a_refusal_is_raised_and_its_event_is_kept(
    wiki: Application, alice: User
) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    alice.refresh_from_db()
    with pytest.raises(InvalidGrantError, match="is disabled"):
        granting(wiki, alice)
    assert codes()[-1] == "PL004W"
    assert not Grant.objects.exists()


def test_a_crash_leaves_nothing(alices_grant: Grant) -> None:
    def change() -> None:
        services.end_grant(grant=alices_grant, actor=SYSTEM, now=LATER)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        outlook(change, now=LATER)
    assert Grant.objects.get().ended_at is None


def test_who_keeps_access_by_another_grant_loses_nothing(
    alices_grant: Grant, laptop: Device, engineering: Group, wiki: Application
) -> None:
    make_grant(wiki, group=engineering)
    found = ending(alices_grant)
    assert found.effect.rows == ()
    assert found.cut == ()


def test_open_connections_that_would_not_be_allowed_are_named(
    alices_grant: Grant, laptop: Device, gw1: Gateway, wiki: Application
) -> None:
    open_connection(laptop, gw1, wiki)
    (cut,) = ending(alices_grant).cut
    assert (cut.person_id, cut.application_id) == (laptop.owner.ref.id, wiki.ref.id)


def test_connections_that_go_on_are_not_named(
    alices_grant: Grant, laptop: Device, gw1: Gateway, wiki: Application
) -> None:
    open_connection(laptop, gw1, wiki)
    prefix = wiki.destinations.all()[0].prefix
    wider = moving(wiki, web(prefix), web("10.77.0.0/24"))
    assert wider.cut == ()
    elsewhere = moving(wiki, web("10.77.0.0/24"))
    assert len(elsewhere.cut) == 1


def test_connections_that_have_ended_are_not_named(
    alices_grant: Grant, laptop: Device, gw1: Gateway, wiki: Application
) -> None:
    open_connection(laptop, gw1, wiki)
    Connection.objects.update(ended_at=NOW)
    assert ending(alices_grant).cut == ()


def test_the_digest_is_the_same_until_something_else_would_come_of_it(
    wiki: Application, laptop: Device, engineering: Group
) -> None:
    first, second = granting(wiki, laptop.owner), granting(wiki, laptop.owner)
    assert first.digest == second.digest
    make_grant(wiki, group=engineering)
    assert granting(wiki, laptop.owner).digest != first.digest


def test_names_of_what_a_change_makes_are_known(gw1: Gateway) -> None:
    found = outlook(
        partial(
            services.create_application,
            name="payroll",
            destinations=[web("10.8.0.0/24")],
            gateways=[gw1],
            actor=SYSTEM,
            now=LATER,
        ),
        now=LATER,
    )
    assert "payroll" in found.applications.values()
    assert not Application.objects.filter(name="payroll").exists()

"""Trying a change: what it would do is told, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries, Settings

from audit.actor import SYSTEM
from audit.models import AuditEvent, Connection
from peers.models import Device, Gateway
from peers.services import retire_gateway
from policies import services
from policies.compiler.strictness import ORDINARY, Strictness
from policies.destinations import DestinationInput
from policies.effects import EffectKind
from policies.errors import InvalidGrantError
from policies.models import Application, Grant, Publication
from policies.whatif import Outlook, UnconfirmedError, carry_out, outlook
from portal.accounts.models import Group, User
from tests.peers.makers import Machine, codes
from tests.policies.makers import (
    NOW,
    make_application,
    make_grant,
    open_connection,
    web,
)

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(hours=1)
QUERIES = 53


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


def test_a_retired_gateway_takes_what_it_served(
    alices_grant: Grant, laptop: Device, gw1: Gateway, wiki: Application
) -> None:
    open_connection(laptop, gw1, wiki)
    retire = partial(retire_gateway, gateway=gw1, actor=SYSTEM, now=LATER)
    found = outlook(retire, now=LATER)
    assert found.effect.losers == {laptop.owner_id}
    assert len(found.cut) == 1


def test_who_keeps_access_by_another_device_loses_connections_of_the_one(
    alices_grant: Grant, laptop: Device, gw1: Gateway, wiki: Application
) -> None:
    open_connection(laptop, gw1, wiki)
    open_connection(Machine().enroll(laptop.owner, name="phone"), gw1, wiki)
    lock = partial(
        services.create_lock, target=laptop, message="lost", actor=SYSTEM, now=LATER
    )
    found = outlook(lock, now=LATER)
    assert found.effect.rows == ()
    assert found.devices == {laptop.pk}
    assert [row.device_id for row in found.cut] == [laptop.ref.id]


def test_what_was_not_allowed_before_is_not_cut_by_the_change(
    alices_grant: Grant, laptop: Device, gw1: Gateway, wiki: Application
) -> None:
    open_connection(laptop, gw1, wiki, port=22)
    assert ending(alices_grant).cut == ()


def test_the_largest_connection_is_first_then_the_oldest(
    alices_grant: Grant, laptop: Device, gw1: Gateway, wiki: Application
) -> None:
    for minutes, size in ((5, None), (9, None), (1, 100), (1, 2000)):
        open_connection(laptop, gw1, wiki)
        newest = Connection.objects.latest("pk")
        newest.started_at, newest.bytes_up = LATER - timedelta(minutes=minutes), size
        newest.save()
    five, nine, small, large = Connection.objects.order_by("pk")
    assert ending(alices_grant).cut == (large, small, nine, five)


def test_a_look_leaves_no_refusal(wiki: Application, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    alice.refresh_from_db()
    before = codes()
    with pytest.raises(InvalidGrantError):
        outlook(partial(make_grant, wiki, user=alice), is_asked=False, now=LATER)
    assert codes() == before


def test_a_policy_that_does_not_compile_is_named_and_brakes(
    alices_grant: Grant, laptop: Device, wiki: Application, gw1: Gateway
) -> None:
    wiki.destinations.update(prefix="10.1.0.7/24")
    found = ending(alices_grant)
    assert [name for name, _ in found.broken] == [gw1.name]
    assert found.effect.rows == ()
    assert found.is_braked


def carrying(
    change: Callable[[], object], digest: str, *, is_confirmed: bool = True
) -> object:
    return carry_out(
        change,
        title="End a grant",
        digest=digest,
        is_confirmed=is_confirmed,
        actor=SYSTEM,
        now=LATER,
    )


def end(grant: Grant) -> Callable[[], Grant]:
    return partial(services.end_grant, grant=grant, actor=SYSTEM, now=LATER)


def brakes() -> list[tuple[str, str]]:
    rows = AuditEvent.objects.filter(code="PL025").order_by("pk")
    return [(row.outcome, row.details["change"]) for row in rows]


def test_what_was_confirmed_is_done(alices_grant: Grant, laptop: Device) -> None:
    shown = ending(alices_grant).digest
    hooks = len(connection.run_on_commit)
    carrying(end(alices_grant), shown)
    alices_grant.refresh_from_db()
    assert alices_grant.ended_at == LATER
    assert len(connection.run_on_commit) > hooks
    assert brakes() == [("I", "End a grant")]


def test_what_changed_since_it_was_shown_is_taken_back(
    alices_grant: Grant, laptop: Device, engineering: Group, wiki: Application
) -> None:
    other = make_grant(wiki, group=engineering)
    shown = ending(other).digest
    services.end_grant(grant=alices_grant, actor=SYSTEM, now=LATER)
    with pytest.raises(UnconfirmedError, match="changed meanwhile") as caught:
        carrying(end(other), shown)
    assert caught.value.outlook.effect.losers == {laptop.owner_id}
    other.refresh_from_db()
    assert other.ended_at is None
    assert brakes() == []


def test_another_part_than_was_shown_is_another_effect(
    alices_grant: Grant, laptop: Device, gw1: Gateway
) -> None:
    half = make_application("half", "10.1.0.0/25", gateways=[gw1])
    make_grant(half, user=laptop.owner)
    shown = ending(alices_grant)
    place = half.destinations.get()
    place.prefix = "10.1.0.128/25"
    place.save()
    found = ending(alices_grant)
    rows = [(row.destinations, row.people) for row in found.effect.rows]
    assert rows == [(("part of 10.1.0.0/24 tcp/443",), (laptop.owner_id,))]
    assert found.digest != shown.digest


def test_what_changes_while_it_is_made_is_taken_back(
    alices_grant: Grant, laptop: Device, engineering: Group, wiki: Application
) -> None:
    other = make_grant(wiki, group=engineering)
    shown = ending(other).digest

    def racing() -> None:
        """Stand for another transaction that commits in between."""
        services.end_grant(grant=alices_grant, actor=SYSTEM, now=LATER)
        end(other)()

    with pytest.raises(UnconfirmedError, match="changed meanwhile"):
        carrying(racing, shown)


def test_above_the_brake_it_is_confirmed_twice(
    alices_grant: Grant, laptop: Device
) -> None:
    shown = ending(alices_grant).digest
    with pytest.raises(UnconfirmedError, match="1 of 1 people with access would lose"):
        carrying(end(alices_grant), shown, is_confirmed=False)
    alices_grant.refresh_from_db()
    assert alices_grant.ended_at is None
    assert brakes() == [("W", "End a grant")]


def test_below_the_brake_once_is_enough(
    alices_grant: Grant, laptop: Device, settings: Settings
) -> None:
    settings.PEERAGE_POLICY_BRAKE_PERCENT = 100
    carrying(end(alices_grant), ending(alices_grant).digest, is_confirmed=False)
    alices_grant.refresh_from_db()
    assert alices_grant.ended_at == LATER
    assert brakes() == []


def test_a_refusal_while_it_is_made_is_on_record(
    wiki: Application, alice: User
) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    alice.refresh_from_db()
    with pytest.raises(InvalidGrantError):
        carrying(partial(make_grant, wiki, user=alice), "any")
    assert codes()[-1] == "PL004W"


def test_the_cost_in_queries_does_not_grow(
    alices_grant: Grant,
    laptop: Device,
    wiki: Application,
    gw1: Gateway,
    bob: User,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    def trial() -> None:
        ending(Grant.objects.get(pk=alices_grant.pk))

    trial()
    with django_assert_num_queries(QUERIES):
        trial()
    for number in range(4):
        phone = Machine().enroll(laptop.owner, name=f"phone {number}")
        open_connection(phone, gw1, wiki)
        make_grant(wiki, user=bob)
    with django_assert_num_queries(QUERIES):
        trial()


def test_a_change_of_terms_alone_is_told_and_takes_nothing_from_anybody(
    alices_grant: Grant, laptop: Device
) -> None:
    wiki = alices_grant.application

    def update(terms: Strictness) -> Outlook:
        return outlook(
            partial(
                services.update_application,
                application=wiki,
                name=wiki.name,
                description="",
                destinations=[web("10.1.0.0/24")],
                gateways=wiki.gateways.all(),
                terms=terms,
                actor=SYSTEM,
                now=LATER,
            ),
            now=LATER,
        )

    same, strict = update(ORDINARY), update(Strictness(max_staleness=60))
    assert same.terms == ()
    [(name, before, after)] = strict.terms
    assert name == wiki.name
    assert "5 minutes" in before
    assert "1 minute" in after
    assert strict.effect.rows == ()
    assert not strict.devices
    assert strict.digest != same.digest
    assert laptop.owner_id

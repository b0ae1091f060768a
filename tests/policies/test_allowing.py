"""A connection names one grant; the rest follows from its generation's snapshot."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from audit.actor import Ref
from audit.models import Connection
from peers.models import Device, Gateway
from policies import services, signing
from policies.allowing import KEPT, Allowing, AllowingReader, grants_of
from policies.compiler.envelope import SNAPSHOT_TYPE
from policies.compiler.snapshot import digest, snapshot_bytes
from policies.models import Application, Grant, Snapshot
from portal.accounts.models import Group, User
from tests.peers.makers import Machine
from tests.policies.makers import (
    NOW,
    agent,
    content,
    denied,
    make_application,
    make_grant,
    opened,
    publish,
)

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice, now=NOW - HOUR)


@pytest.fixture
def grants(
    alice: User, engineering: Group, wiki: Application, gw1: Gateway
) -> list[Grant]:
    """Three grants that allow the same, one elsewhere, one of somebody else's."""
    wide = make_application("wide", "10.0.0.0/8", gateways=[gw1])
    far = make_application("far", "10.9.0.0/16", gateways=[gw1])
    return [
        make_grant(wiki, user=alice),
        make_grant(far, user=alice),
        make_grant(wide, group=engineering),
        make_grant(wiki, group=engineering, expires_at=NOW + HOUR),
    ]


def connect(
    gateway: Gateway, device: Device, grant: Grant, **changed: object
) -> Connection:
    """Let the gateway report a flow of the device that this grant let pass."""
    sequence = Connection.objects.count() + 1
    tied: dict[str, object] = {
        "device": device.pk,
        "source": device.leases.get(address__contains=".").address,
        "grant": grant.pk,
        "application": grant.application_id,
        "flow": f"{sequence:08x}-9",
    }
    record = opened(sequence, **{**tied, **changed})
    services.ingest_evidence(
        gateway=gateway, records=[record], actor=agent(gateway), now=NOW
    )
    return Connection.objects.latest("pk")


def test_every_grant_that_allowed_it_is_found(
    gw1: Gateway, laptop: Device, grants: list[Grant]
) -> None:
    publish()
    found = connect(gw1, laptop, grants[0])
    assert AllowingReader().of(found) == Allowing(
        others=(grants[2].pk, grants[3].pk), generation="1.1"
    )


def test_they_have_the_names_of_then(
    gw1: Gateway, laptop: Device, grants: list[Grant], wiki: Application
) -> None:
    publish()
    found = connect(gw1, laptop, grants[0])
    Application.objects.filter(pk=wiki.pk).update(name="handbook")
    assert grants_of(found, AllowingReader()).others == (
        Ref(id=grants[2].ref.id, label="engineering → wide"),
        Ref(id=grants[3].ref.id, label="engineering → wiki"),
    )


def test_a_grant_that_had_run_out_when_it_began_did_not_allow_it(
    gw1: Gateway, laptop: Device, grants: list[Grant]
) -> None:
    publish()
    found = connect(gw1, laptop, grants[0])
    Connection.objects.update(started_at=NOW + HOUR)
    found.refresh_from_db()
    assert AllowingReader().of(found).others == (grants[2].pk,)


def test_what_changed_later_changes_nothing_of_it(
    gw1: Gateway, laptop: Device, grants: list[Grant]
) -> None:
    publish()
    found = connect(gw1, laptop, grants[0])
    for grant in grants[2:]:
        services.end_grant(grant=grant, actor=agent(gw1), now=NOW + HOUR)
    publish(now=NOW + HOUR)
    later = connect(gw1, laptop, grants[0], generation=2)
    Connection.objects.filter(pk=later.pk).update(started_at=NOW + 2 * HOUR)
    later.refresh_from_db()
    reader = AllowingReader()
    assert reader.of(later) == Allowing(others=(), generation="1.2")
    assert reader.of(found).others == (grants[2].pk, grants[3].pk)


@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ({"generation": 9}, "generation 9 of gw_{gateway} is not stored"),
        ({"generation": None}, "does not name a device, a grant and a generation"),
        ({"device_id": ""}, "does not name a device, a grant and a generation"),
        ({"grant_id": ""}, "does not name a device, a grant and a generation"),
        (
            {"started_at": NOW - HOUR},
            "generation 1 of gw_{gateway} is not stored",
        ),
    ],
)
def test_what_nobody_can_tell_is_said_to_be_unknown(
    changed: dict[str, Any],
    doubt: str,
    gw1: Gateway,
    laptop: Device,
    grants: list[Grant],
) -> None:
    publish()
    found = connect(gw1, laptop, grants[0])
    Connection.objects.update(**changed)
    found.refresh_from_db()
    told = grants_of(found, AllowingReader())
    assert told.others is None
    assert doubt.format(gateway=gw1.pk) in told.doubt


def test_a_snapshot_that_was_tampered_with_tells_nothing(
    gw1: Gateway, laptop: Device, grants: list[Grant]
) -> None:
    publish()
    found = connect(gw1, laptop, grants[0])
    Snapshot.objects.update(digest="0" * 64)
    told = AllowingReader().of(found)
    assert (told.others, told.generation) == (None, "1.1")
    assert "not the one that was published" in told.doubt


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "gt_{grant} did not allow it"), (2, "gt_{first} should have been named")],
)
def test_where_gateway_and_snapshot_disagree_it_is_said(
    number: int, words: str, gw1: Gateway, laptop: Device, grants: list[Grant]
) -> None:
    publish()
    told = AllowingReader().of(connect(gw1, laptop, grants[number]))
    assert words.format(grant=grants[1].pk, first=grants[0].pk) in told.doubt
    assert told.others is not None
    assert grants[0].pk in told.others


@pytest.mark.parametrize(
    ("named", "others", "words"),
    [
        # The grant of the record allowed it by a name; the rest is certain.
        ({"wiki"}, (2,), "gt_{3} may have allowed it by a host name"),
        ({"wide"}, (3,), "gt_{2} may have allowed it by a host name"),
        ({"wiki", "wide"}, (), "gt_{2}, gt_{3} may have allowed it by a host name"),
    ],
)
def test_what_a_host_name_may_have_allowed_is_said_to_be_unsure(
    named: set[str],
    others: tuple[int, ...],
    words: str,
    gw1: Gateway,
    laptop: Device,
    grants: list[Grant],
) -> None:
    publish()
    give_names(gw1, {pk for pk, name in applications().items() if name in named})
    told = AllowingReader().of(connect(gw1, laptop, grants[0]))
    assert told.others == tuple(grants[number].pk for number in others)
    assert told.doubt == words.format(*(grant.pk for grant in grants))


def test_a_grant_by_name_is_named_before_a_lower_one_by_prefix(
    gw1: Gateway, laptop: Device, grants: list[Grant]
) -> None:
    publish()
    give_names(gw1, {pk for pk, name in applications().items() if name == "wide"})
    told = AllowingReader().of(connect(gw1, laptop, grants[2]))
    assert told.others == (grants[0].pk, grants[3].pk)
    assert not told.doubt


def applications() -> dict[int, str]:
    return dict(Application.objects.values_list("pk", "name"))


def give_names(gateway: Gateway, numbers: set[int]) -> None:
    """Publish these applications as if they had been described by host names."""
    was = content(gateway)
    now = replace(
        was,
        applications=tuple(
            replace(
                application,
                destinations=tuple(
                    replace(found, host=f"ap{application.id}.example")
                    for found in application.destinations
                ),
            )
            if application.id in numbers
            else application
            for application in was.applications
        ),
    )
    payload = snapshot_bytes(now)
    Snapshot.objects.filter(gateway=gateway).update(
        digest=digest(payload), envelope=signing.sign(SNAPSHOT_TYPE, payload).decode()
    )


def test_a_denied_packet_was_allowed_by_nothing(
    gw1: Gateway, laptop: Device, grants: list[Grant]
) -> None:
    publish()
    source = laptop.leases.get(address__contains=".").address
    record = denied(1, device=laptop.pk, source=source, destination="10.200.0.1")
    services.ingest_evidence(gateway=gw1, records=[record], actor=agent(gw1), now=NOW)
    assert AllowingReader().of(Connection.objects.get()) == Allowing(others=())


def test_after_a_restored_backup_the_snapshot_of_the_time_is_meant(
    gw1: Gateway, laptop: Device, grants: list[Grant]
) -> None:
    [first] = publish()
    found = connect(gw1, laptop, grants[0])
    first.pk, first.epoch, first.published_at = None, 2, NOW + HOUR
    first.digest = "0" * 64
    first.save(force_insert=True)
    reader = AllowingReader()
    assert reader.of(found).generation == "1.1"
    found.started_at = NOW + HOUR
    assert reader.of(found).generation == "2.1"


def test_many_connections_cost_each_snapshot_once(
    gw1: Gateway,
    laptop: Device,
    grants: list[Grant],
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    publish()
    found = [connect(gw1, laptop, grants[0]) for _ in range(5)]
    reader = AllowingReader()
    # Which one it is, and what it says.
    with django_assert_num_queries(2):
        assert {reader.of(row).others for row in found} == {
            (grants[2].pk, grants[3].pk)
        }


def test_only_few_snapshots_are_held_at_once(
    gw1: Gateway, laptop: Device, grants: list[Grant], wiki: Application, bob: User
) -> None:
    reader = AllowingReader()
    for generation in range(1, KEPT + 3):
        make_grant(wiki, user=bob)
        publish()
        found = connect(gw1, laptop, grants[0], generation=generation)
        assert reader.of(found).generation == f"1.{generation}"
    assert len(reader._read) == KEPT  # noqa: SLF001 -- what it holds is the point

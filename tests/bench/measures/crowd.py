"""Fill a lab's database: `python -m tests.bench.measures.crowd DEVICES TARGETS FILE`.

A company of any size (`company`) behind the lab's gateway, and as many people more as
are to be revoked, each with one device whose private key is known. What those need
to connect is written to FILE, a line of JSON each. Run with the portal's environment.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

import django

django.setup()

from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: E402 -- Django first
    X25519PrivateKey,
)
from django.db import transaction  # noqa: E402

from audit.actor import SYSTEM  # noqa: E402
from peers.models import (  # noqa: E402
    AddressLease,
    AddressPool,
    Device,
    DeviceKey,
    Gateway,
    KeyState,
)
from policies import services  # noqa: E402
from policies.compiler import types  # noqa: E402
from policies.compiler.wireguard import with_private_key  # noqa: E402
from policies.models import (  # noqa: E402
    Application,
    ApplicationDestination,
    Grant,
)
from policies.selectors import client_config  # noqa: E402
from portal.accounts.models import (  # noqa: E402
    Group,
    GroupSource,
    Membership,
    User,
)
from tests.bench.measures.company import company  # noqa: E402

ISSUER: Final = "https://bench.example"
BATCH: Final = 2_000
OFFSET: Final = 100_000
"""Added to every id: the lab has people and devices of its own."""
UDP_PORT: Final = 9000
NOW: Final = datetime.now(UTC)  # noqa: TID251 -- a program of its own


def main(devices: int, targets: int, file: Path) -> None:
    """Fill, and write the file."""
    with transaction.atomic():
        _company(devices)
        made = _targets(targets)
    services.publish_snapshots(gateway_ids=None, cause="bench", actor=SYSTEM, now=NOW)
    with file.open("w", encoding="utf-8") as out:
        for device, private in made:
            config = with_private_key(client_config(device, now=NOW), private)
            line = {"user": device.owner_id, "device": device.pk, "config": config}
            out.write(json.dumps(line) + "\n")


def _company(devices: int) -> None:
    share = devices / 10_000
    given = company(
        users=max(1, round(6_666 * share)),
        devices=devices,
        groups=max(4, round(500 * share)),
        applications=max(1, round(2_000 * share)),
        grants=max(1, round(5_000 * share)),
    )
    _people({user for user, _ in given.memberships})
    Group.objects.bulk_create(
        (
            Group(
                pk=OFFSET + number,
                source=GroupSource.LOCAL,
                name=f"bench {number}",
                created_at=NOW,
            )
            for number in sorted({group for _, group in given.memberships})
        ),
        batch_size=BATCH,
    )
    Membership.objects.bulk_create(
        (
            Membership(user_id=OFFSET + user, group_id=OFFSET + group, since=NOW)
            for user, group in given.memberships
        ),
        batch_size=BATCH,
    )
    _devices([(OFFSET + d.id, OFFSET + d.user_id, d.public_key) for d in given.devices])
    _applications(given.applications)
    Grant.objects.bulk_create(map(_grant, given.grants), batch_size=BATCH)


def _targets(count: int) -> list[tuple[Device, str]]:
    first = 2 * OFFSET
    wiki = Application.objects.get(name="Wiki")
    there = wiki.destinations.filter(prefix__contains=".")[0]
    ApplicationDestination.objects.create(
        application=wiki,
        prefix=there.prefix,
        protocol="udp",
        port_first=UDP_PORT,
        port_last=UDP_PORT,
    )
    group = Group.objects.create(source=GroupSource.LOCAL, name="bench", created_at=NOW)
    Grant.objects.create(group=group, application=wiki, not_before=NOW, created_at=NOW)
    numbers = [first + number for number in range(count)]
    _people(number - OFFSET for number in numbers)
    Membership.objects.bulk_create(
        Membership(user_id=number, group=group, since=NOW) for number in numbers
    )
    keys = {number: X25519PrivateKey.generate() for number in numbers}
    _devices(
        [
            (number, number, _text(key.public_key().public_bytes_raw()))
            for number, key in keys.items()
        ]
    )
    made = Device.objects.select_related("owner").in_bulk(numbers)
    return [
        (made[number], _text(key.private_bytes_raw())) for number, key in keys.items()
    ]


def _people(numbers: Iterable[int]) -> None:
    User.objects.bulk_create(
        (
            User(
                pk=OFFSET + number,
                issuer=ISSUER,
                subject=str(number),
                username=f"bench_{number}",
                name=f"Bench {number}",
                created_at=NOW,
            )
            for number in sorted(numbers)
        ),
        batch_size=BATCH,
    )


def _devices(listed: list[tuple[int, int, str]]) -> None:
    pools: dict[int, AddressPool] = {
        types.network(pool.prefix).version: pool for pool in AddressPool.objects.all()
    }
    Device.objects.bulk_create(
        (
            Device(pk=pk, owner_id=owner, name=str(pk), created_at=NOW)
            for pk, owner, _ in listed
        ),
        batch_size=BATCH,
    )
    DeviceKey.objects.bulk_create(
        (
            DeviceKey(
                device_id=pk, public_key=key, state=KeyState.ACTIVE, created_at=NOW
            )
            for pk, _, key in listed
        ),
        batch_size=BATCH,
    )
    AddressLease.objects.bulk_create(
        (
            AddressLease(
                pool=pools[version], device_id=pk, address=address, leased_at=NOW
            )
            for pk, _, _ in listed
            for version, address in _addresses(pools, pk)
        ),
        batch_size=BATCH,
    )


def _addresses(pools: dict[int, AddressPool], number: int) -> list[tuple[int, str]]:
    """Return addresses that belong to this number alone."""
    is_target = number >= 2 * OFFSET
    place = 1024 + number % OFFSET + (40_000 if is_target else 0)
    four = int(types.network(pools[4].prefix).network_address) + place
    six = int(types.network(pools[6].prefix).network_address) + place
    return [(4, str(IPv4Address(four))), (6, str(IPv6Address(six)))]


def _applications(listed: tuple[types.Application, ...]) -> None:
    gateway = Gateway.objects.get(name="gateway-1")
    Application.objects.bulk_create(
        (
            Application(pk=OFFSET + a.id, name=f"bench {a.id}", created_at=NOW)
            for a in listed
        ),
        batch_size=BATCH,
    )
    ApplicationDestination.objects.bulk_create(
        (
            ApplicationDestination(
                application_id=OFFSET + a.id,
                prefix=str(d.prefix),
                protocol=d.protocol.value,
                port_first=d.ports.first if d.ports else None,
                port_last=d.ports.last if d.ports else None,
            )
            for a in listed
            for d in a.destinations
        ),
        batch_size=BATCH,
    )
    serves = Application.gateways.through
    serves._default_manager.bulk_create(
        (serves(application_id=OFFSET + a.id, gateway_id=gateway.pk) for a in listed),
        batch_size=BATCH,
    )


def _grant(grant: types.Grant) -> Grant:
    is_group = grant.subject.kind is types.SubjectKind.GROUP
    return Grant(
        pk=OFFSET + grant.id,
        user_id=None if is_group else OFFSET + grant.subject.id,
        group_id=OFFSET + grant.subject.id if is_group else None,
        application_id=OFFSET + grant.application_id,
        not_before=NOW,
        created_at=NOW,
    )


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))

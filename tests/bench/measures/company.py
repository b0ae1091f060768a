"""A company of any size: random memberships and overlapping applications, by seed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Final

from policies.compiler.conditions import (
    ApprovedDevice,
    MaxAge,
    Strength,
    sorted_requirements,
)
from policies.compiler.types import NEVER, Authentication, Device, Facts, network
from tests.policies.compiler.build import NOW, application, facts, grant, key

FIRST4: Final = int(IPv4Address("100.64.0.0"))
FIRST6: Final = int(IPv6Address("fd5e:e4a6:e000::"))


def company(
    *, users: int, devices: int, groups: int, applications: int, grants: int
) -> Facts:
    """Return the facts: everybody in three or four groups, one grant in ten personal.

    An application is a host's port, sixteen addresses with a hundred ports, and an
    IPv6 network; some have a wide range for DNS, ICMP, or any protocol besides.
    """
    random = Random(1)  # noqa: S311 - reproducible, not secret
    return facts(
        pools=("100.64.0.0/10", "fd5e:e4a6:e000::/64"),
        devices=[_device(number, users) for number in range(1, devices + 1)],
        memberships=[
            (user, group)
            for user in range(1, users + 1)
            for group in random.sample(range(1, groups + 1), random.choice((3, 4)))
        ],
        applications=[
            application(number, *_destinations(random, number))
            for number in range(1, applications + 1)
        ],
        grants=[
            grant(
                number,
                f"us_{random.randint(1, users)}"
                if random.random() < 0.1
                else f"gr_{random.randint(1, groups)}",
                random.randint(1, applications),
            )
            for number in range(1, grants + 1)
        ],
    )


def demanding(given: Facts) -> Facts:
    """Return the facts with one grant in five on conditions.

    An age of the sign-in of eight hours or a day, a second factor, an approved
    device, or two of these. Half the devices are approved, everybody proved
    something.
    """
    random = Random(3)  # noqa: S311 - reproducible, not secret
    hours, day = MaxAge(seconds=8 * 3600), MaxAge(seconds=24 * 3600)
    strong, approved = Strength(amr=("hwk",), acr=()), ApprovedDevice()
    demands = ((hours,), (day,), (strong,), (approved,), (approved, hours))
    return replace(
        given,
        devices=tuple(replace(d, is_approved=d.id % 2 == 0) for d in given.devices),
        grants=tuple(
            replace(g, requires=sorted_requirements(random.choice(demands)))
            if g.id % 5 == 0
            else g
            for g in given.grants
        ),
        authentications=tuple(
            Authentication(
                user_id=user,
                proven_at=NOW - timedelta(seconds=random.randrange(48 * 3600)),
                amr=("hwk", "pwd") if user % 3 else ("pwd",),
                acr="",
            )
            for user in sorted({device.user_id for device in given.devices})
        ),
    )


def copied(given: Facts) -> int:
    """Copy facts, a tuple for each device, address, membership and grant.

    A plain pass over the same values, to measure others against. How many there are.
    """
    devices = [(d.id, d.user_id, d.public_key, d.expires_at) for d in given.devices]
    addresses = [(d.id, address) for d in given.devices for address in d.addresses]
    memberships = [(user, group) for user, group in given.memberships]
    grants = [(g.id, g.subject, g.not_before, g.expires_at) for g in given.grants]
    return len(devices) + len(addresses) + len(memberships) + len(grants)


def _device(number: int, users: int) -> Device:
    return Device(
        id=number,
        user_id=(number - 1) % users + 1,
        public_key=key(number),
        addresses=(IPv4Address(FIRST4 + number), IPv6Address(FIRST6 + number)),
        expires_at=NEVER,
    )


def _destinations(random: Random, number: int) -> list[str]:
    a, b, c = (random.randrange(256) for _ in range(3))
    found = [
        f"10.{a}.{b}.{c}/32 tcp 443",
        f"10.{b}.{c}.0/28 tcp 8000-8100",
        str(network(f"fd20:{number:x}::/64")) + " tcp 443",
    ]
    if number % 20 == 0:
        found.append(f"10.{c}.0.0/16 udp 53")
    if number % 50 == 0:
        found.append(f"10.{a}.{c}.0/24 any")
    if number % 10 == 0:
        found.append(f"10.{c}.{a}.0/24 icmp")
    return found

"""Small random policies, one more than the other, and all the flows they judge."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from ipaddress import IPv4Address, ip_address
from random import Random
from typing import Final, NamedTuple

from policies.compiler.evaluate import Packet, device_parts, verdict
from policies.compiler.types import Facts, Snapshot
from tests.policies.compiler.build import application, device, facts, grant, key

DEVICES: Final = range(1, 9)
HOSTS: Final = tuple(ip_address(f"10.20.0.{n}") for n in range(1, 5))
PORTS: Final = (53, 54)
DESTINATIONS: Final = (
    *(f"10.20.0.{n}/32 udp {port}" for n in range(1, 5) for port in PORTS),
    *("10.20.0.2/31 udp 53-54", "10.20.0.0/29 udp 54", "10.20.0.0/29 udp 53-54"),
)


class Flow(NamedTuple):
    """A device's flow to a host and port."""

    device: int
    host: IPv4Address
    port: int

    @property
    def source(self) -> IPv4Address:
        """The device's address."""
        return IPv4Address(f"100.64.0.{self.device}")


FLOWS: Final = tuple(
    Flow(device, IPv4Address(str(host)), port)
    for device in DEVICES
    for host in HOSTS
    for port in PORTS
)


def random_policy(random: Random, *, now: datetime) -> Facts:
    """Return a policy of a few people, groups and applications."""
    devices = random.sample(DEVICES, random.randint(3, len(DEVICES)))
    applications = range(1, random.randint(3, 6))
    subjects = [f"gr_{n}" for n in range(1, 4)] + [f"us_{n}" for n in devices]
    return facts(
        devices=[device(number) for number in devices],
        memberships={(random.choice(devices), random.randint(1, 3)) for _ in range(8)},
        applications=[
            application(number, *random.sample(DESTINATIONS, random.randint(1, 3)))
            for number in applications
        ],
        grants=[
            grant(
                number,
                random.choice(subjects),
                random.choice(applications),
                not_before=now,
            )
            for number in range(1, random.randint(3, 9))
        ],
    )


def changed(random: Random, old: Facts, *, now: datetime) -> Facts:
    """Return a policy after `old`: people leave and come, much or little else differs.

    Who leaves is revoked for ever, as the portal does it.
    """
    new = random_policy(random, now=now)
    if random.random() < 0.5:
        new = replace(
            old,
            devices=random.choice((old, new)).devices,
            memberships=random.choice((old, new)).memberships,
            grants=tuple(g for g in old.grants if random.random() < 0.7),
        )
    kept = {d.id for d in new.devices}
    gone = tuple(sorted(key(d.id) for d in old.devices if d.id not in kept))
    return replace(new, revoked_keys=gone)


def allowed(policy: Snapshot, *, now: datetime) -> frozenset[Flow]:
    """Return the flows that a policy lets begin, by its own words."""
    parts = device_parts(policy, DEVICES)
    return frozenset(
        flow
        for flow in FLOWS
        if verdict(
            parts[flow.device],
            Packet(
                source=flow.source, destination=flow.host, protocol=17, port=flow.port
            ),
            now=now,
        ).is_allowed
    )

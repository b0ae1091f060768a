"""The rows of `tests.lab.populate`."""

from __future__ import annotations

import base64
import json
import secrets
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.db import transaction
from django.test import Client

from audit.actor import SYSTEM
from peers.models import (
    AddressLease,
    AddressPool,
    Device,
    DeviceKey,
    Gateway,
    GatewayState,
    KeyState,
)
from policies import services
from policies.models import Application, ApplicationDestination, Grant
from portal.accounts.models import Role, User
from tests.lab.crowd import Member

NOW: Final = datetime.now(UTC)  # noqa: TID251 -- a program is an edge
FIRST: Final = int(IPv4Address("100.64.0.16"))
BATCH: Final = 2000


@transaction.atomic
def populate(gateways: int, people: int, devices: int) -> tuple[Member, ...]:
    """Write the rows down; everybody reaches one application at every gateway."""
    users = User.objects.bulk_create(
        (_user(f"p{number}") for number in range(1, people + 1)), batch_size=BATCH
    )
    _devices(users, devices)
    application = Application.objects.create(name="wiki", created_at=NOW)
    ApplicationDestination.objects.create(
        application=application,
        prefix="10.1.0.0/24",
        protocol="tcp",
        port_first=443,
        port_last=443,
    )
    Grant.objects.bulk_create(
        (
            Grant(user=user, application=application, not_before=NOW, created_at=NOW)
            for user in users
        ),
        batch_size=BATCH,
    )
    members = tuple(_gateway(number) for number in range(1, gateways + 1))
    application.gateways.set(Gateway.objects.all())
    return members


def session() -> str:
    """Return the session key of an administrator who has just signed in."""
    dave = _user("dave", role=Role.ADMINISTRATOR)
    dave.save()
    client = Client()
    client.force_login(dave)
    opened = client.session
    opened["sso"] = {"auth_time": int(time.time()), "amr": ["pwd"]}
    opened.save()
    return opened.session_key or ""


def _user(name: str, *, role: Role = Role.EMPLOYEE) -> User:
    return User(
        issuer="https://idp.example.com",
        subject=name,
        username=name,
        name=name,
        email=f"{name}@example.com",
        role=role,
        password="!",
        created_at=NOW,
        authenticated_at=NOW,
    )


def _devices(users: Iterable[User], each: int) -> None:
    devices = Device.objects.bulk_create(
        (
            Device(owner=user, name=f"laptop-{number}", created_at=NOW)
            for user in users
            for number in range(each)
        ),
        batch_size=BATCH,
    )
    DeviceKey.objects.bulk_create(
        (
            DeviceKey(
                device=device,
                # Nobody has a private key to it, and nobody needs one.
                public_key=base64.b64encode(secrets.token_bytes(31) + b"\1").decode(),
                state=KeyState.ACTIVE,
                created_at=NOW,
            )
            for device in devices
        ),
        batch_size=BATCH,
    )
    pool = AddressPool.objects.get(prefix__contains=".")
    AddressLease.objects.bulk_create(
        (
            AddressLease(
                pool=pool,
                device=device,
                address=str(IPv4Address(FIRST + number)),
                leased_at=NOW,
            )
            for number, device in enumerate(devices)
        ),
        batch_size=BATCH,
    )


def _gateway(number: int) -> Member:
    signing = Ed25519PrivateKey.generate()
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    gateway = Gateway.objects.create(
        name=f"gw{number}",
        endpoint_host="gw.example.com",
        state=GatewayState.ENROLLED,
        public_key=base64.b64encode(public).decode(),
        signing_key=signing.public_key().public_bytes_raw(),
        created_at=NOW,
        enrolled_at=NOW,
    )
    seed = base64.b64encode(signing.private_bytes_raw()).decode()
    return Member(id=gateway.pk, seed=seed)


def main() -> None:
    """Populate, publish, and say who there is."""
    gateways, people, devices = (int(word) for word in [*sys.argv[1:], "1"][:3])
    members = populate(gateways, people, devices)
    services.publish_snapshots(
        gateway_ids=None, cause="population", actor=SYSTEM, now=NOW
    )
    told = {"members": [asdict(member) for member in members], "session": session()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()

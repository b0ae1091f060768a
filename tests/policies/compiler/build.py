"""Short spellings of facts, for tests that are about something else."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta, tzinfo
from ipaddress import ip_address
from typing import Final

from policies.compiler.compile import compile_snapshot
from policies.compiler.conditions import (
    DAYS,
    Hours,
    Requirement,
    Schedule,
    Window,
    sorted_requirements,
    sorted_windows,
)
from policies.compiler.strictness import ORDINARY, Strictness
from policies.compiler.types import (
    NEVER,
    Application,
    Authentication,
    Destination,
    Device,
    Facts,
    Grant,
    PortRange,
    Protocol,
    Resolved,
    Snapshot,
    Subject,
    SubjectKind,
    network,
)

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
POOLS: Final = ("100.64.0.0/16", "fd5e:e4a6:e000::/64")


def key(number: int) -> str:
    """Return a public key that is this number's alone."""
    return base64.b64encode(number.to_bytes(32, "big")).decode()


def device(
    number: int,
    user: int | None = None,
    *,
    addresses: Iterable[str] | None = None,
    expires_at: datetime = NEVER,
    is_approved: bool = False,
) -> Device:
    """Return a device of `user` (else of the user with its number)."""
    default = (f"100.64.{number >> 8}.{number & 255}", f"fd5e:e4a6:e000::{number:x}")
    return Device(
        id=number,
        user_id=user or number,
        public_key=key(number),
        addresses=tuple(ip_address(a) for a in addresses or default),
        expires_at=expires_at,
        is_approved=is_approved,
    )


def destination(text: str) -> Destination:
    """Return a destination: `10.0.0.0/8 tcp 80-443`, `db.example.com@fd00::/8 any`."""
    where, protocol, *ports = text.split()
    host, _, prefix = where.rpartition("@")
    first, _, last = ports[0].partition("-") if ports else ("", "", "")
    return Destination(
        prefix=network(prefix),
        protocol=Protocol(protocol),
        ports=PortRange(first=int(first), last=int(last or first)) if ports else None,
        host=host,
    )


def resolved(*names: str, end: datetime = NEVER) -> Resolved:
    """Return what names stand for, each written `db.example.com 10.0.0.1 fd20::1`."""
    return {
        host: {ip_address(address): end for address in addresses}
        for host, *addresses in map(str.split, names)
    }


def application(
    number: int, *destinations: str, terms: Strictness = ORDINARY
) -> Application:
    """Return an application with these destinations."""
    return Application(
        id=number,
        destinations=tuple(destination(text) for text in destinations),
        strictness=terms,
    )


def subject(text: str) -> Subject:
    """Return the subject written `gr_4`."""
    kind, _, number = text.partition("_")
    return Subject(kind=SubjectKind(kind), id=int(number))


def grant(
    number: int,
    who: str,
    application_id: int,
    *,
    not_before: datetime = NOW,
    expires_at: datetime = NEVER,
    hours: Hours | None = None,
    requires: Iterable[Requirement] = (),
) -> Grant:
    """Return a grant, in force now and for ever unless told otherwise."""
    return Grant(
        id=number,
        subject=subject(who),
        application_id=application_id,
        not_before=not_before,
        expires_at=expires_at,
        hours=hours,
        requires=sorted_requirements(requires),
    )


def hours(text: str, zone: tzinfo = UTC) -> Hours:
    """Return the hours written `mon-fri 08:00-18:00, sat 00:00-24:00`."""
    windows = []
    for part in text.split(", "):
        days, span = part.split()
        first, _, last = days.partition("-")
        begin, _, end = span.partition("-")
        windows.append(
            Window(
                days=tuple(range(DAYS.index(first), DAYS.index(last or first) + 1)),
                begin=time.fromisoformat(begin),
                end=None if end == "24:00" else time.fromisoformat(end),
            )
        )
    schedule = Schedule(time_zone=str(zone), windows=sorted_windows(windows))
    return Hours(schedule=schedule, zone=zone)


def proof(
    user: int, *, ago: timedelta | None = timedelta(0), amr: str = "", acr: str = ""
) -> Authentication:
    """Return how a person proved who they are, some time before NOW."""
    return Authentication(
        user_id=user,
        proven_at=None if ago is None else NOW - ago,
        amr=tuple(amr.split()),
        acr=acr,
    )


def facts(
    *,
    devices: Iterable[Device] = (),
    memberships: Iterable[tuple[int, int]] = (),
    applications: Iterable[Application] = (),
    grants: Iterable[Grant] = (),
    revoked_keys: Iterable[str] = (),
    proofs: Iterable[Authentication] = (),
    pools: Iterable[str] = POOLS,
) -> Facts:
    """Return the facts of gateway 1."""
    return Facts(
        deployment="peerage",
        gateway_id=1,
        listen_port=51820,
        pools=tuple(network(pool) for pool in pools),
        devices=tuple(devices),
        memberships=tuple(memberships),
        applications=tuple(applications),
        grants=tuple(grants),
        revoked_keys=tuple(revoked_keys),
        authentications=tuple(proofs),
    )


def snapshot(given: Facts, *, generation: int = 1, now: datetime = NOW) -> Snapshot:
    """Compile the facts."""
    return compile_snapshot(given, epoch=1, generation=generation, now=now)

"""A small company with a morning's work in its log, for tests and pictures."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final

from django.conf import settings

from audit.actor import SYSTEM, Actor, ActorKind
from audit.flows import AttributedFlow
from audit.models import FlowKind
from audit.services import record_flows
from peers import services as peers_services
from peers.keys import fingerprint
from peers.models import Device, Gateway
from policies import services as policies_services
from policies.destinations import DestinationInput
from policies.models import (
    AccessRequest,
    Application,
    Grant,
    Label,
    LabelGrant,
    Lock,
    Snapshot,
)
from policies.reports import parse_report
from policies.selectors import current_snapshot
from portal.accounts.credentials import create_credential, note_use
from portal.accounts.models import ApiCredential, CredentialKind, Role, Scope, User
from portal.accounts.services import provision_user
from tests.idp.cast import CAST, Person
from tests.peers.makers import Agent, Machine, make_pools
from tests.policies.makers import agent, report

DATABASE: Final = "orders.database.shop.example.com"
ROLES: Final = {"carol": Role.AUDITOR, "dave": Role.ADMINISTRATOR}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Who and what there is, by short name."""

    people: dict[str, User]
    gateways: dict[str, Gateway]
    applications: dict[str, Application]
    grants: dict[str, Grant]
    devices: dict[str, Device]
    requests: dict[str, AccessRequest]
    labels: dict[str, Label]
    label_grant: LabelGrant
    lock: Lock
    credential: ApiCredential


def make_world(now: datetime) -> World:
    """Make everything through the services, as if it had happened this morning."""
    began = now - timedelta(hours=4)
    make_pools()
    people = {person.username: _person(person, began) for person in CAST}
    gateways = {name: _gateway(name, began) for name in ("berlin", "lisbon")}
    applications = _applications(gateways, began)
    grants = _grants(people, applications, began)
    labels = _labels(applications, began)
    devices = {
        name: Machine().enroll(people[owner], name=label, platform=platform, now=began)
        for name, owner, label, platform in (
            ("laptop", "alice", "Work laptop", "linux"),
            ("phone", "alice", "Alice's phone", "ios"),
            ("desk", "bob", "Desk under the window", "windows"),
        )
    }
    policies_services.publish_snapshots(
        gateway_ids=None, cause="test", actor=SYSTEM, now=began
    )
    _acknowledge(gateways["berlin"], now)
    policies_services.record_resolution(
        gateway=gateways["lisbon"],
        names={DATABASE: ["fd00:20::5", "fd00:20::6"]},
        actor=agent(gateways["lisbon"]),
        now=now,
    )
    world = World(
        people=people,
        gateways=gateways,
        applications=applications,
        grants=grants,
        devices=devices,
        requests=_requests(people, applications, now),
        labels=labels,
        label_grant=policies_services.create_label_grant(
            label=labels["back-office"],
            user=people["carol"],
            expires_at=now + timedelta(days=30),
            reason="audit of the year's closing",
            actor=SYSTEM,
            now=began,
        ),
        lock=policies_services.create_lock(
            target=devices["phone"],
            message="Left in a taxi; ask the service desk when you have it back",
            expires_at=now + timedelta(days=7),
            actor=SYSTEM,
            now=now - timedelta(hours=1),
        ),
        credential=_credential(people["dave"], began),
    )
    _morning(world, now)
    return world


def _person(person: Person, now: datetime) -> User:
    return provision_user(
        issuer=settings.PEERAGE_OIDC_ISSUER,
        subject=person.username,
        name=person.name,
        email=person.email,
        groups=person.groups,
        role=ROLES.get(person.username, Role.EMPLOYEE),
        actor=Actor(kind=ActorKind.SYSTEM, label="identity provider"),
        now=now,
    )


def _credential(dave: User, now: datetime) -> ApiCredential:
    made, _ = create_credential(
        kind=CredentialKind.API_KEY,
        name="Pipeline of the policy repository",
        scopes=[Scope.POLICY_READ, Scope.POLICY_WRITE],
        expires_at=now + timedelta(days=90),
        creator=dave,
        actor=actor_named(dave),
        now=now,
    )
    note_use(credential=made, address="2001:db8:4:1::17", now=now)
    return made


def actor_named(user: User) -> Actor:
    """Return a person at their browser."""
    return Actor(kind=ActorKind.USER, id=user.ref.id, label=user.ref.label)


def _gateway(name: str, now: datetime) -> Gateway:
    gateway = peers_services.create_gateway(
        name=name,
        endpoint_host=f"{name}.gw.example.test",
        endpoint_port=51820,
        actor=SYSTEM,
        now=now,
    )
    token = peers_services.issue_enrolment_token(gateway=gateway, actor=SYSTEM, now=now)
    return Agent().enroll(token, now=now)


def _acknowledge(gateway: Gateway, now: datetime) -> None:
    snapshot = current_snapshot(gateway.pk)
    assert snapshot is not None
    policies_services.record_acknowledgement(
        gateway=gateway,
        report=parse_report(
            report(snapshot, received_at=_text(now), applied_at=_text(now))
        ),
        actor=agent(gateway),
        now=now,
    )


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def _applications(
    gateways: dict[str, Gateway], now: datetime
) -> dict[str, Application]:
    described = (
        (
            "payroll",
            "Salaries and pay slips",
            "berlin",
            ("", "10.20.0.5/32", "tcp", 443),
        ),
        ("wiki", "What everybody knows", "berlin", ("", "10.20.1.0/24", "tcp", 443)),
        (
            "database",
            "PostgreSQL of the shop",
            "lisbon",
            (DATABASE, "fd00:20::/64", "tcp", 5432),
        ),
    )
    return {
        name: policies_services.create_application(
            name=name.capitalize(),
            description=description,
            destinations=[
                DestinationInput(
                    host=host, prefix=prefix, protocol=protocol, port_first=port
                )
            ],
            gateways=[gateways[where]],
            actor=SYSTEM,
            now=now,
        )
        for name, description, where, (host, prefix, protocol, port) in described
    }


def _grants(
    people: dict[str, User], applications: dict[str, Application], now: datetime
) -> dict[str, Grant]:
    def grant(application: str, **who: Any) -> Grant:  # noqa: ANN401 -- the service's own arguments
        return policies_services.create_grant(
            application=applications[application], actor=SYSTEM, now=now, **who
        )

    engineering = people["alice"].groups.get()
    return {
        "wiki": grant("wiki", group=engineering, reason="everybody in engineering"),
        "database": grant(
            "database",
            user=people["alice"],
            expires_at=now + timedelta(days=30),
            reason="on call in December",
        ),
        "payroll": grant("payroll", user=people["bob"], reason="runs the payroll"),
        "own wiki": grant("wiki", user=people["alice"], reason="edits the handbook"),
    }


def _requests(
    people: dict[str, User], applications: dict[str, Application], now: datetime
) -> dict[str, AccessRequest]:
    """Let some of what alice and bob asked for be answered, and some wait."""
    for name in ("payroll", "wiki", "database"):
        policies_services.update_request_rules(
            application=applications[name],
            is_requestable=True,
            owner=people["bob"] if name == "payroll" else None,
            approver_group=people["dave"].groups.get() if name == "payroll" else None,
            needs_two_approvals=name == "payroll",
            actor=SYSTEM,
            now=now,
        )

    def ask(who: str, name: str, hours: int, reason: str) -> AccessRequest:
        return policies_services.request_access(
            application=applications[name],
            requester=people[who],
            reason=reason,
            duration=timedelta(hours=hours),
            actor=SYSTEM,
            now=now - timedelta(hours=3),
        )

    answer: dict[str, Any] = {"actor": SYSTEM, "now": now - timedelta(hours=2)}
    answered = ask("alice", "database", 30, "slow query after the release")
    policies_services.approve_request(
        request=answered, reviewer=people["dave"], note="read only, please", **answer
    )
    refused = ask("alice", "wiki", 720, "to look around")
    policies_services.refuse_request(
        request=refused,
        reviewer=people["dave"],
        note="you are in engineering",
        **answer,
    )
    waiting = ask("alice", "payroll", 4, "pay slips of November are missing for three")
    policies_services.approve_request(
        request=waiting, reviewer=people["bob"], note="", **answer
    )
    return {
        "granted": answered,
        "refused": refused,
        "waiting": waiting,
        "second": ask("bob", "database", 24, "restore test"),
    }


def _labels(applications: dict[str, Application], now: datetime) -> dict[str, Label]:
    """Make a label that two applications bear, and one that nobody was granted."""
    made = {
        name: policies_services.create_label(name=name, actor=SYSTEM, now=now)
        for name in ("back-office", "staging")
    }
    for name, borne in (
        ("payroll", ["back-office"]),
        ("database", ["back-office", "staging"]),
    ):
        policies_services.label_application(
            application=applications[name],
            labels=[made[label] for label in borne],
            actor=SYSTEM,
            now=now,
        )
    return made


def _morning(world: World, now: datetime) -> None:
    """Write a few hundred flows, the newest still open, some of them denied."""
    chance = random.Random(2)  # noqa: S311 -- the same picture each time
    routes = (
        ("alice", "laptop", "wiki", "berlin", "10.20.1.8", 443),
        ("alice", "laptop", "database", "lisbon", "fd00:20::5", 5432),
        ("alice", "phone", "wiki", "berlin", "10.20.1.9", 443),
        ("bob", "desk", "payroll", "berlin", "10.20.0.5", 443),
        ("bob", "desk", "", "berlin", "10.20.1.8", 443),
    )
    flows: dict[str, list[AttributedFlow]] = {"berlin": [], "lisbon": []}
    for number in range(1, 121):
        route = chance.choices(routes, weights=(5, 3, 2, 4, 1))[0]
        at = now - timedelta(minutes=2 * (120 - number), seconds=chance.randrange(60))
        flows[route[3]] += _flow(world, route, number, at, chance)
    for name, records in flows.items():
        record_flows(gateway=world.gateways[name].ref, flows=records, now=now)


def _flow(
    world: World,
    route: tuple[str, str, str, str, str, int],
    number: int,
    at: datetime,
    chance: random.Random,
) -> list[AttributedFlow]:
    person, device, application, gateway, destination, port = route
    leases = world.devices[device].leases.order_by("address")
    version = ip_address(destination).version
    source = next(
        found
        for lease in leases
        if (found := ip_address(lease.address)).version == version
    )
    key = world.devices[device].keys.get()
    common: dict[str, Any] = {
        "flow": f"f{number}",
        "protocol": 6,
        "source": source,
        "source_port": chance.randrange(32768, 60999),
        "destination": ip_address(destination),
        "destination_port": port,
        "person": world.people[person].ref,
        "device": world.devices[device].ref,
        "key_fingerprint": fingerprint(key.public_key),
    }
    if not application:
        return [
            AttributedFlow(
                kind=FlowKind.DENY,
                sequence=2 * number,
                at=at,
                reason="no_grant",
                **common,
            )
        ]
    common |= {
        "application": world.applications[application].ref,
        "grant": world.grants[application].ref,
        "generation": _generation(world.gateways[gateway], at),
    }
    opened = AttributedFlow(kind=FlowKind.OPEN, sequence=2 * number, at=at, **common)
    if number > 116:
        return [opened]
    down = chance.randrange(900, 4_000_000)
    ended = at + timedelta(seconds=chance.randrange(1, 300))
    closed = AttributedFlow(
        kind=FlowKind.CLOSE,
        sequence=2 * number + 1,
        at=ended,
        started_at=at,
        ended_at=ended,
        bytes_up=chance.randrange(400, 90_000),
        bytes_down=down,
        packets_up=chance.randrange(6, 900),
        packets_down=down // 1300 + 3,
        reason="closed",
        **common,
    )
    return [opened, closed]


def _generation(gateway: Gateway, at: datetime) -> int:
    """Return what had been published by then."""
    rows = Snapshot.objects.filter(gateway=gateway, published_at__lte=at)
    newest: Snapshot = rows.order_by("published_at", "pk").reverse()[0]
    return newest.generation

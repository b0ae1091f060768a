"""The portal's policy as a policy file sees it: read once, names instead of rows.

A fixed number of queries, however many people. What a name stands for:

* A person is their e-mail address; where several share one, or there is none, the
  subject at the provider if it looks like an address, else `us_7@DEPLOYMENT`.
* A group is `group:NAME`; where several share a name, `group:gr_7`.
* An application is its name; `ap_7` where a file cannot say that name.
* Grants that answer an access request are nobody's to manage by file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from peers.models import (
    AddressLease,
    AddressPool,
    DeviceKey,
    DeviceState,
    Gateway,
    GatewayState,
    KeyState,
)
from policies.compiler import types
from policies.compiler.locks import Lock
from policies.conditions import Conditions, stored_conditions
from policies.dialect.bridge import FactsPolicy
from policies.dialect.directory import Directory, Machine, Person, Site
from policies.dialect.document import SelectorKind
from policies.dialect.errors import DialectError
from policies.dialect.naming import base_name
from policies.dialect.selectors import selector
from policies.facts import (
    Rows,
    destination_of,
    grant_of,
    load_rows,
    proof_of,
    subject_of,
)
from policies.models import Application, Grant, Label, LabelGrant
from portal.accounts.models import Authentication, Group, Membership, Role, User

if TYPE_CHECKING:
    from datetime import datetime

_ROLES = {
    Role.OWNER: "autogroup:owner",
    Role.ADMINISTRATOR: "autogroup:admin",
    Role.AUDITOR: "autogroup:auditor",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An enrolled gateway, what is behind it by id, and what it is compiled from."""

    id: int
    name: str
    applications: frozenset[int]
    facts: types.Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """An open grant of a label (`tag:NAME`) that is not over."""

    id: int
    label: str
    subject: types.Subject
    not_before: datetime
    expires_at: datetime
    conditions: Conditions
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that a file is compared with.

    `people` and `groups` are names → ids; the disabled are among them, because grants
    may still name them. `policy` holds the open grants that are not over; `requested`
    are the ids of those that answer an access request. `borne` are the applications
    that bear each label (`tag:NAME`), `label_grants` the grants of labels; `derived`
    tells which of the open grants carry out which of those. `reasons` are by grant.
    `answered` names, by application, who answers for it: owner or approver group.
    """

    people: Mapping[str, int]
    disabled: frozenset[int]
    groups: Mapping[str, int]
    applications: Mapping[str, int]
    answered: Mapping[int, str]
    policy: FactsPolicy
    requested: frozenset[int]
    borne: Mapping[str, frozenset[int]]
    label_grants: tuple[Labelled, ...]
    derived: Mapping[int, int]
    reasons: Mapping[int, str]
    gateways: tuple[Served, ...]
    devices: tuple[types.Device, ...]
    proofs: tuple[types.Authentication, ...]
    memberships: tuple[tuple[int, int], ...]
    locks: tuple[Lock, ...]
    directory: Directory


def read_state(*, now: datetime) -> State:
    """Read the portal's policy, its people and its gateways."""
    users = [*User.objects.order_by("pk")]
    logins = _logins(users)
    groups = _group_names([*Group.objects.order_by("pk")])
    gateways = [*Gateway.objects.filter(state=GatewayState.ENROLLED)]
    rows = load_rows(gateways)
    devices = _devices()
    memberships = tuple(
        Membership.objects.filter(user__is_active=True)
        .order_by("user_id", "group_id")
        .values_list("user_id", "group_id")
    )
    applications = [
        *Application.objects.select_related("owner", "approver_group").prefetch_related(
            "destinations", "gateways", "labels"
        )
    ]
    grants = [
        row
        for row in Grant.objects.filter(ended_at__isnull=True)
        .select_related("request")
        .order_by("pk")
        if row.expires_at is None or now < row.expires_at
    ]
    borne = _borne(applications)
    pools = tuple(
        types.network(text)
        for text in AddressPool.objects.values_list("prefix", flat=True)
    )
    return State(
        people={login: pk for pk, login in logins.items()},
        disabled=frozenset(user.pk for user in users if not user.is_active),
        groups={name: pk for pk, name in groups.items()},
        applications={_alias(row): row.pk for row in applications},
        answered={
            row.pk: str(row.owner or row.approver_group)
            for row in applications
            if row.owner or row.approver_group
        },
        policy=FactsPolicy(
            applications=tuple(_application(row) for row in applications),
            grants=tuple(map(grant_of, grants)),
        ),
        requested=frozenset(row.pk for row in grants if hasattr(row, "request")),
        borne={
            label: frozenset(row.pk for row in rows) for label, rows in borne.items()
        },
        label_grants=_label_grants(now),
        derived={row.pk: row.source_id for row in grants if row.source_id is not None},
        reasons={row.pk: row.reason for row in grants},
        gateways=_served(applications, rows, gateways),
        devices=devices,
        proofs=tuple(map(proof_of, Authentication.objects.all())),
        memberships=memberships,
        locks=rows.locks,
        directory=Directory(
            people=tuple(_person(u, logins[u.pk]) for u in users if u.is_active),
            machines=tuple(
                Machine(addresses=d.addresses, owner=logins[d.user_id]) for d in devices
            ),
            sites=_sites(applications),
            groups=_members(groups, memberships, logins),
            overlay=pools,
            bearers={
                label: tuple(
                    place for row in rows for place in _application(row).destinations
                )
                for label, rows in borne.items()
            },
        ),
    )


def _borne(applications: Iterable[Application]) -> Mapping[str, list[Application]]:
    """Return the applications that bear each label; a label may have none."""
    found: dict[str, list[Application]] = {str(row): [] for row in Label.objects.all()}
    for row in applications:
        for label in row.labels.all():
            found[str(label)].append(row)
    return found


def _label_grants(now: datetime) -> tuple[Labelled, ...]:
    """Return the open grants of labels that are not over."""
    rows = LabelGrant.objects.filter(ended_at__isnull=True).select_related("label")
    return tuple(
        Labelled(
            id=row.pk,
            label=str(row.label),
            subject=subject_of(row),
            not_before=row.not_before,
            expires_at=row.expires_at or types.NEVER,
            conditions=stored_conditions(row),
            reason=row.reason,
        )
        for row in rows.order_by("pk")
        if row.expires_at is None or now < row.expires_at
    )


def _devices() -> tuple[types.Device, ...]:
    """Return every device that could carry something if its owner were granted it."""
    addresses: dict[int, list[types.IPAddress]] = {}
    leases = AddressLease.objects.filter(released_at__isnull=True)
    for device, address in leases.values_list("device_id", "address"):
        addresses.setdefault(device, []).append(types.address(address))
    keys = DeviceKey.objects.filter(
        state=KeyState.ACTIVE,
        device__state=DeviceState.ACTIVE,
        device__owner__is_active=True,
    ).order_by("device_id")
    return tuple(
        types.Device(
            id=device,
            user_id=owner,
            public_key=public_key,
            addresses=tuple(addresses[device]),
            expires_at=types.NEVER,
            is_approved=approved_at is not None,
        )
        for device, owner, public_key, approved_at in keys.values_list(
            "device_id", "device__owner_id", "public_key", "device__approved_at"
        )
        if device in addresses
    )


def _logins(users: Iterable[User]) -> dict[int, str]:
    """Return the one name of each person; who is active goes first."""
    kept = f"@{settings.PEERAGE_DEPLOYMENT}"
    found: dict[int, str] = {}
    listed = [*users]
    for is_active in (True, False):
        some = [user for user in listed if user.is_active is is_active]
        held = Counter(text for user in some for text in {user.email, user.subject})
        taken = {*found.values()}
        for user in some:
            fit = (
                text
                for text in (user.email, user.subject)
                if "@" in text
                and selector(text).kind is SelectorKind.USER
                and held[text] == 1
                and text not in taken
                and not text.endswith(kept)
            )
            found[user.pk] = next(fit, f"{user.ref.id}{kept}")
    return found


def _group_names(groups: Sequence[Group]) -> dict[int, str]:
    """Return the one name of each group."""
    held = Counter(group.name for group in groups)
    return {
        group.pk: f"group:{group.name}"
        if held[group.name] == 1 and not group.name.startswith("gr_")
        else f"group:{group.ref.id}"
        for group in groups
    }


def _members(
    groups: Mapping[int, str],
    memberships: Iterable[tuple[int, int]],
    logins: Mapping[int, str],
) -> Mapping[str, frozenset[str]]:
    """Return the members of each group, by name; a group may have none."""
    found: dict[str, set[str]] = {name: set() for name in groups.values()}
    for user, group in memberships:
        found[groups[group]].add(logins[user])
    return {name: frozenset(members) for name, members in found.items()}


def _person(user: User, login: str) -> Person:
    """Return somebody with the roles a policy may name."""
    role = _ROLES.get(Role(user.role))
    roles = {"autogroup:member", *([role] if role else [])}
    return Person(login=login, roles=frozenset(roles))


def _alias(row: Application) -> str:
    """Return what a file calls an application; no other one can have that name."""
    try:
        is_host = selector(row.name).kind is SelectorKind.HOST
    except DialectError:
        is_host = False
    is_said = is_host and base_name(row.name) == row.name
    return row.name if is_said and not row.name.startswith("ap_") else row.ref.id


def _application(row: Application) -> types.Application:
    """Return a stored application as the compiler's value."""
    found = map(destination_of, row.destinations.all())
    return types.Application(
        id=row.pk,
        destinations=tuple(sorted(found, key=lambda d: d.sort_key)),
        strictness=row.strictness,
    )


def _served(
    applications: Iterable[Application], rows: Rows, gateways: Iterable[Gateway]
) -> tuple[Served, ...]:
    """Return every enrolled gateway with what is behind it."""
    behind: dict[int, set[int]] = {}
    for row in applications:
        for gateway in row.gateways.all():
            behind.setdefault(gateway.pk, set()).add(row.pk)
    return tuple(
        Served(
            id=gateway.pk,
            name=gateway.name,
            applications=frozenset(behind.get(gateway.pk, ())),
            facts=rows.facts(gateway),
        )
        for gateway in gateways
    )


def _sites(applications: Iterable[Application]) -> tuple[Site, ...]:
    """Return the gateways with the prefixes of the applications behind them."""
    routes: dict[str, set[types.IPNetwork]] = {}
    for row in applications:
        prefixes = {types.network(found.prefix) for found in row.destinations.all()}
        for gateway in row.gateways.all():
            routes.setdefault(gateway.name, set()).update(prefixes)
    return tuple(
        Site(name=name, routes=types.sorted_networks(found))
        for name, found in sorted(routes.items())
    )

"""The one bridge: rows → the compiler's facts. Only file that knows both worlds.

At most twelve queries however many gateways and devices there are. Users who are
disabled and devices that are revoked do not cross.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db.models import Q

from peers.models import (
    AddressLease,
    AddressPool,
    DeviceKey,
    DeviceState,
    ForgottenKey,
    Gateway,
    KeyState,
)
from policies.compiler import types
from policies.compiler.conditions import Hours
from policies.compiler.locks import Lock, LockKind
from policies.compiler.ranges import reader
from policies.compiler.strictness import Evidence, Strictness
from policies.conditions import stored_conditions, time_zone
from policies.errors import InvalidGrantError
from policies.models import Application, ApplicationDestination, Grant
from policies.models import Lock as LockRow
from policies.selectors import demanding_proof
from portal.accounts.models import Authentication, Membership, User

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from policies.models.terms import Terms

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What is read once for several gateways; `facts` makes each one's part.

    Devices are by owner, memberships and grants by group and application. The rest
    is as stored: one gateway's broken row must not hold up another gateway.
    """

    pools: Sequence[str]
    devices: Mapping[int, Sequence[types.Device]]
    members: Mapping[int, Sequence[int]]
    proofs: Mapping[int, types.Authentication]
    applications: Mapping[int, Sequence[int]]
    terms: Mapping[int, Strictness]
    destinations: Mapping[int, Sequence[ApplicationDestination]]
    grants: Mapping[int, Sequence[Grant]]
    revoked_keys: tuple[str, ...]
    locks: tuple[Lock, ...]

    def facts(self, gateway: Gateway) -> types.Facts:
        """Return everything that one gateway's snapshot is compiled from.

        Grants that have not begun, or whose time is over, are among them: judging
        time is the compiler's part. So is what `locks` take away from them.
        """
        served = self.applications.get(gateway.pk, ())
        grants = sorted(
            (grant_of(row) for number in served for row in self.grants.get(number, ())),
            key=lambda grant: grant.id,
        )
        subjects = {grant.subject for grant in grants}
        groups = {s.id for s in subjects if s.kind is types.SubjectKind.GROUP}
        memberships = sorted(
            (user, group) for group in groups for user in self.members.get(group, ())
        )
        people = {s.id for s in subjects if s.kind is types.SubjectKind.USER}
        people.update(user for user, _ in memberships)
        return types.Facts(
            deployment=settings.PEERAGE_DEPLOYMENT,
            gateway_id=gateway.pk,
            listen_port=gateway.endpoint_port,
            pools=types.sorted_networks(map(types.network, self.pools)),
            devices=tuple(
                device
                for person in sorted(people)
                for device in self.devices.get(person, ())
            ),
            memberships=tuple(memberships),
            applications=tuple(self._application(number) for number in served),
            grants=tuple(grants),
            revoked_keys=self.revoked_keys,
            authentications=tuple(
                self.proofs[person] for person in sorted(people & self.proofs.keys())
            ),
        )

    def _application(self, number: int) -> types.Application:
        found = map(destination_of, self.destinations.get(number, ()))
        return types.Application(
            id=number,
            destinations=types.sorted_destinations(found),
            strictness=self.terms[number],
        )


def load_rows(gateways: Collection[Gateway]) -> Rows:
    """Read what these gateways' policies are made of."""
    grants = Grant.objects.filter(
        application__in=Application.objects.filter(gateways__in=gateways),
        ended_at__isnull=True,
    )
    people = _people(grants)
    served = [
        *Application.objects.filter(gateways__in=gateways)
        .order_by("pk")
        .values_list("gateways", "pk", "max_staleness", "evidence")
    ]
    return Rows(
        pools=[*AddressPool.objects.values_list("prefix", flat=True)],
        devices=_devices(people),
        members=_grouped(
            Membership.objects.filter(
                user__is_active=True, group__in=_groups(grants)
            ).values_list("group_id", "user_id")
        ),
        proofs=_proofs(grants, people),
        applications=_grouped((gateway, number) for gateway, number, *_ in served),
        terms={
            number: Strictness(max_staleness=limit, evidence=Evidence(evidence))
            for _, number, limit, evidence in served
        },
        destinations=_grouped(
            (row.application_id, row)
            for row in ApplicationDestination.objects.filter(
                application__in=Application.objects.filter(gateways__in=gateways)
            )
        ),
        grants=_grouped((row.application_id, row) for row in grants),
        revoked_keys=_revoked_keys(),
        locks=_locks(),
    )


def _revoked_keys() -> tuple[str, ...]:
    # What a restored portal has forgotten is nobody's, and stays out for ever.
    forgotten = ForgottenKey.objects.values_list("public_key", flat=True)
    revoked = DeviceKey.objects.filter(state=KeyState.REVOKED).order_by()
    return tuple(sorted(revoked.values_list("public_key", flat=True).union(forgotten)))


def gateway_facts(gateway: Gateway) -> types.Facts:
    """Return the facts of one gateway."""
    return load_rows([gateway]).facts(gateway)


def destination_of(row: ApplicationDestination) -> types.Destination:
    """Return a stored destination as the compiler's value."""
    ports = None
    if row.port_first is not None and row.port_last is not None:
        ports = types.PortRange(first=row.port_first, last=row.port_last)
    return types.Destination(
        prefix=types.network(row.prefix),
        protocol=types.Protocol(row.protocol),
        ports=ports,
        host=row.host_name,
    )


def grant_of(row: Grant) -> types.Grant:
    """Return a stored grant as the compiler's value.

    Hours on clocks that this machine does not know are never: such a grant ends
    before it begins, and says so in the log of the portal.
    """
    found, hours = stored_conditions(row), None
    expires_at = row.expires_at or types.NEVER
    if found.schedule is not None:
        try:
            hours = Hours(
                schedule=found.schedule, zone=time_zone(found.schedule.time_zone)
            )
        except InvalidGrantError:
            logger.exception("the hours of gt_%s are never", row.pk)
            expires_at = row.not_before
    return types.Grant(
        id=row.pk,
        subject=subject_of(row),
        application_id=row.application_id,
        not_before=row.not_before,
        expires_at=expires_at,
        hours=hours,
        requires=found.requires,
    )


def proof_of(row: Authentication) -> types.Authentication:
    """Return how somebody last proved who they are, as the compiler's value."""
    return types.Authentication(
        user_id=row.user_id,
        proven_at=row.proven_at,
        amr=tuple(row.amr),
        acr=row.acr,
    )


def subject_of(row: Terms) -> types.Subject:
    """Return whom a stored grant is for."""
    # A check constraint says that there is exactly one subject.
    if row.group_id is not None:
        return types.Subject(kind=types.SubjectKind.GROUP, id=row.group_id)
    return types.Subject(kind=types.SubjectKind.USER, id=row.user_id or 0)


def lock_of(row: LockRow, members: Iterable[int] = ()) -> Lock:
    """Return a stored lock as the compiler's value, with the members of its group."""
    return Lock(
        kind=LockKind[row.kind.upper()],
        id=getattr(row, f"{row.kind}_id"),
        expires_at=row.expires_at or types.NEVER,
        members=frozenset(members),
    )


def _locks() -> tuple[Lock, ...]:
    rows = LockRow.objects.filter(lifted_at__isnull=True).order_by("pk")
    members = _grouped(
        Membership.objects.filter(
            group__in=rows.order_by().filter(group__isnull=False).values("group")
        ).values_list("group_id", "user_id")
    )
    return tuple(lock_of(row, members.get(row.group_id or 0, ())) for row in rows)


def _people(grants: QuerySet[Grant]) -> QuerySet[User]:
    # Subqueries, not lists of ids: SQLite limits the parameters of a statement.
    named = grants.order_by().filter(user__isnull=False).values("user")
    members = Membership.objects.filter(group__in=_groups(grants)).values("user")
    return User.objects.filter(
        Q(pk__in=named) | Q(pk__in=members), is_active=True
    ).order_by()


def _groups(grants: QuerySet[Grant]) -> QuerySet[Grant, Any]:
    return grants.order_by().filter(group__isnull=False).values("group")


def _proofs(
    grants: QuerySet[Grant], people: QuerySet[User]
) -> Mapping[int, types.Authentication]:
    """Return the proofs of these people, unless no grant demands any."""
    if not demanding_proof(grants).exists():
        return {}
    rows = Authentication.objects.filter(user__in=people)
    return {row.user_id: proof_of(row) for row in rows}


def _devices(people: QuerySet[User]) -> Mapping[int, Sequence[types.Device]]:
    leases = AddressLease.objects.filter(
        released_at__isnull=True,
        device__state=DeviceState.ACTIVE,
        device__owner__in=people,
    )
    read = reader()
    addresses = _grouped(
        (device_id, read(text))
        for device_id, text in leases.values_list("device_id", "address")
    )
    keys = DeviceKey.objects.filter(
        state=KeyState.ACTIVE,
        device__state=DeviceState.ACTIVE,
        device__owner__in=people,
    ).order_by("device_id")
    return _grouped(
        (
            owner_id,
            types.Device(
                id=device_id,
                user_id=owner_id,
                public_key=public_key,
                addresses=types.sorted_addresses(tuple(addresses[device_id])),
                expires_at=types.NEVER,
                is_approved=approved_at is not None,
            ),
        )
        for device_id, owner_id, public_key, approved_at in keys.values_list(
            "device_id", "device__owner_id", "public_key", "device__approved_at"
        )
        # Without an address it can carry nothing.
        if device_id in addresses
    )


def _grouped(pairs: Iterable[tuple[int, T]]) -> Mapping[int, Sequence[T]]:
    groups: dict[int, list[T]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups

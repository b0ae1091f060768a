"""What one question about a person reads from the tables. Not a gate.

The number of queries is the same for every question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from django.db.models import Prefetch, Q

from peers.models import AddressLease, Device, DeviceKey, KeyState
from peers.selectors import enrolled_gateways
from policies.compiler.explain import reaches_address
from policies.compiler.explanation import Condition, Failure, Holding
from policies.compiler.types import (
    NEVER,
    Application,
    Subject,
    SubjectKind,
)
from policies.facts import destination_of, grant_of, proof_of
from policies.locked import live_locks, on_person
from policies.models import Application as ApplicationRow
from policies.models import Grant as GrantRow
from portal.accounts.models import Authentication as ProofRow
from portal.accounts.models import Membership

if TYPE_CHECKING:
    from datetime import datetime

    from policies.compiler.explanation import Question
    from policies.compiler.types import Authentication, Grant
    from policies.models import Lock
    from portal.accounts.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is read from the tables for one question."""

    grants: Sequence[GrantRow]
    applications: Mapping[int, Application]
    serving: Mapping[int, frozenset[int]]
    groups: frozenset[int]
    devices: Sequence[Device]
    locks: Sequence[Lock]
    proof: Authentication | None
    with_others: bool


def read_world(
    person: User, device: Device | None, question: Question, *, with_others: bool
) -> World:
    """Return everything that an answer about this person and question needs.

    Without others there is nothing in it of applications that this person was never
    granted, nor of who was.
    """
    applications, serving = _applications()
    near = [
        number
        for number, application in applications.items()
        if with_others and reaches_address(application, question.destination)
    ]
    memberships = Membership.objects.filter(user=person, since__lte=question.at)
    groups = frozenset(memberships.values_list("group_id", flat=True))
    own = Q(user=person) | Q(group__in=groups)
    # What has ended for others explains nothing to this person.
    grants = GrantRow.objects.filter(
        own | Q(application__in=near, ended_at__isnull=True),
        created_at__lte=question.at,
    ).select_related("user", "group", "application")
    devices = Device.objects.filter(owner=person).prefetch_related(
        Prefetch("keys", queryset=DeviceKey.objects.filter(state=KeyState.ACTIVE)),
        Prefetch("leases", queryset=AddressLease.objects.filter(released_at=None)),
    )
    if device is not None:
        devices = devices.filter(pk=device.pk)
    return World(
        grants=list(grants.order_by("pk")),
        applications=applications,
        serving=serving,
        groups=groups,
        devices=list(devices),
        locks=list(
            live_locks(question.at).filter(
                on_person(person)
                | Q(device__owner=person)
                | Q(application__isnull=False)
                | Q(gateway__isnull=False)
            )
        ),
        proof=next(map(proof_of, ProofRow.objects.filter(user=person)), None),
        with_others=with_others,
    )


def _applications() -> tuple[Mapping[int, Application], Mapping[int, frozenset[int]]]:
    """Return all applications, and by gateway which of them it serves."""
    known: dict[int, Application] = {}
    serving: dict[int, set[int]] = {}
    for row in ApplicationRow.objects.prefetch_related(
        "destinations", Prefetch("gateways", queryset=enrolled_gateways())
    ):
        known[row.pk] = Application(
            id=row.pk,
            destinations=tuple(map(destination_of, row.destinations.all())),
            strictness=row.strictness,
        )
        for gateway in row.gateways.all():
            serving.setdefault(gateway.pk, set()).add(row.pk)
    return known, {pk: frozenset(numbers) for pk, numbers in serving.items()}


def subjects_of(person: User, world: World) -> frozenset[Subject]:
    """Return the person and their groups, as grants name them."""
    own = Subject(kind=SubjectKind.USER, id=person.pk)
    groups = (Subject(kind=SubjectKind.GROUP, id=number) for number in world.groups)
    return frozenset({own, *groups})


def stored_grant(row: GrantRow) -> Grant:
    """Return a grant with the end it came to."""
    grant = grant_of(row)
    if row.ended_at is None or grant.expires_at <= row.ended_at:
        return grant
    return replace(grant, expires_at=row.ended_at)


def holding_of(row: Device, subjects: frozenset[Subject], at: datetime) -> Holding:
    """Return a device as it stands in the tables."""
    refusal = refusal_of(row, at)
    if refusal is None and not row.keys.all():
        refusal = Failure(condition=Condition.DEVICE_NOT_ENROLLED)
    return Holding(
        device_id=row.pk,
        addresses=tuple(ip_address(lease.address) for lease in row.leases.all()),
        subjects=subjects,
        expires_at=NEVER,
        is_approved=row.is_approved,
        refusal=refusal,
    )


def unless_locked(holding: Holding, world: World, gateway_id: int) -> Holding:
    """Return a device as a gateway knows it while these locks are in force."""
    if holding.refusal is not None:
        return holding
    for lock in world.locks:
        if lock.gateway_id is not None and lock.gateway_id == gateway_id:
            refusal = Failure(condition=Condition.GATEWAY_LOCKED, at=lock.expires_at)
            return replace(holding, refusal=refusal)
        # Locks on people and groups are read only where they stop this person.
        if (
            lock.device_id == holding.device_id
            or lock.user_id is not None
            or lock.group_id is not None
        ):
            refusal = Failure(condition=Condition.LOCKED, at=lock.expires_at)
            return replace(holding, refusal=refusal)
    return holding


def refusal_of(row: Device, at: datetime) -> Failure | None:
    """Return why a device was no peer at a moment, as far as the tables know."""
    if row.created_at > at:
        return Failure(condition=Condition.DEVICE_NOT_ENROLLED, at=row.created_at)
    if row.revoked_at is not None and row.revoked_at <= at:
        return Failure(condition=Condition.DEVICE_REVOKED, at=row.revoked_at)
    return None


def is_near(world: World, number: int, question: Question) -> bool:
    """Return whether an application has the address that is asked about."""
    return number in world.applications and reaches_address(
        world.applications[number], question.destination
    )

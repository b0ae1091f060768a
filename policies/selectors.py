"""Reading policies, and the gates: nobody gets an object past them.

Readers (auditor and above) see all policy, administrators change it; an employee sees
what they themselves may reach, through `my_access`. Invisible is 404, visible but
forbidden is 403.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, F, OuterRef, Prefetch, Q, Subquery
from django.http import Http404

from peers.models import Device, Gateway, GatewayState
from peers.selectors import enrolled_gateways
from policies.compiler.ranges import collapsed
from policies.compiler.types import network
from policies.compiler.wireguard import ClientPeer
from policies.compiler.wireguard import client_config as config_text
from policies.locked import is_locked, live_locks, locked_applications
from policies.models import (
    Acknowledgement,
    Application,
    ApplicationDestination,
    GatewayRecovery,
    Grant,
    Publication,
    Revocation,
    RevocationTarget,
    Snapshot,
)
from policies.positions import Published, Snapshotted
from portal.accounts.models import Membership

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from policies.compiler.types import IPNetwork
    from policies.positions import Standing
    from portal.accounts.models import User

NOTHING = (0, 0)
MEASURED = 1000
Row = TypeVar("Row", Application, Grant, Revocation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One application a person may reach now, by which grants, behind what.

    `expires_at` is when the last of the grants ends, or None for never.
    """

    application: Application
    destinations: tuple[ApplicationDestination, ...]
    gateways: tuple[Gateway, ...]
    grants: tuple[Grant, ...]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """Where a gateway stands: what was published, answered, and is in force.

    `acknowledged` and `in_force` are its latest reports of either kind, or None.
    `failure` says why its policy does not compile; the snapshot is then an old one.
    """

    gateway: Gateway
    published: Snapshot | None
    acknowledged: Acknowledgement | None
    in_force: Acknowledgement | None
    failure: str

    @property
    def is_current(self) -> bool:
        """Whether the gateway enforces the latest policy."""
        return (
            not self.failure
            and self.published is not None
            and self.in_force is not None
            and (self.in_force.epoch, self.in_force.generation)
            == (self.published.epoch, self.published.generation)
        )


def get_application_for(user: User, application_id: int) -> Application:
    """Return an application to a reader."""
    return _get(list_applications_for, user, application_id)


def get_application_to_change_for(user: User, application_id: int) -> Application:
    """Return an application to an administrator."""
    return _changeable(user, get_application_for(user, application_id))


def list_applications_for(user: User) -> QuerySet[Application]:
    """Return every application to a reader, by name, with destinations and gateways."""
    _require_reader(user)
    return Application.objects.prefetch_related("destinations", "gateways")


def get_grant_for(user: User, grant_id: int) -> Grant:
    """Return a grant to a reader."""
    return _get(list_grants_for, user, grant_id)


def get_grant_to_change_for(user: User, grant_id: int) -> Grant:
    """Return a grant to an administrator."""
    return _changeable(user, get_grant_for(user, grant_id))


def list_grants_for(user: User) -> QuerySet[Grant]:
    """Return every grant to a reader, newest first."""
    _require_reader(user)
    return Grant.objects.select_related("user", "group", "application", "source__label")


def get_revocation_for(user: User, revocation_id: int) -> Revocation:
    """Return a revocation to a reader."""
    return _get(list_revocations_for, user, revocation_id)


def list_revocations_for(user: User) -> QuerySet[Revocation]:
    """Return every revocation to a reader, newest first, with its gateways."""
    _require_reader(user)
    return Revocation.objects.select_related("user").prefetch_related(
        Prefetch(
            "targets",
            queryset=RevocationTarget.objects.select_related("gateway").order_by(
                "gateway__name"
            ),
        )
    )


def times_of_revocations(user: User) -> Sequence[int]:
    """Return, to a reader, how long gateways took to enforce the latest revocations.

    Milliseconds from the click, of the last 1,000; a person without keys is none.
    """
    _require_reader(user)
    rows = RevocationTarget.objects.filter(
        enforced_at__isnull=False, received_at__isnull=False
    )
    pairs = rows.order_by("-pk").values_list("enforced_at", "revocation__requested_at")
    return [
        round((enforced - asked) / timedelta(milliseconds=1))
        for enforced, asked in pairs[:MEASURED]
        if enforced is not None
    ]


def live_grants_of(user: User, *, now: datetime) -> QuerySet[Grant]:
    """Return the grants in force for a person, own and of groups; not a gate."""
    groups = Membership.objects.filter(user=user).values("group")
    return (
        Grant.objects.filter(Q(user=user) | Q(group__in=groups))
        .filter(ended_at__isnull=True, not_before__lte=now)
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    )


def demanding_proof(grants: QuerySet[Grant]) -> QuerySet[Grant]:
    """Return the grants that demand a proof of who somebody is; not a gate."""
    return grants.exclude(max_auth_age_seconds=None, amr=[], acr=[])


def gateways_demanding_proof(user_ids: Collection[int]) -> QuerySet[Gateway]:
    """Return the gateways whose grants judge these people by their proof."""
    groups = Membership.objects.filter(user__in=user_ids).values("group")
    grants = demanding_proof(Grant.objects.filter(ended_at__isnull=True)).filter(
        Q(user__in=user_ids) | Q(group__in=groups)
    )
    return enrolled_gateways().filter(
        pk__in=grants.order_by().values("application__gateways")
    )


def people_needing_approval(
    user_ids: Collection[int], *, now: datetime
) -> frozenset[int]:
    """Return who of these people has a grant that needs an approved device."""
    rows = Grant.objects.filter(
        needs_approved_device=True, ended_at__isnull=True, not_before__lte=now
    ).filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    named = rows.filter(user__in=user_ids).order_by().values_list("user_id")
    members = Membership.objects.filter(
        user__in=user_ids, group__in=rows.order_by().values("group")
    ).values_list("user_id")
    return frozenset(pk for (pk,) in named.union(members) if pk is not None)


def my_access(user: User, now: datetime) -> tuple[Access, ...]:
    """Return what a person may reach now, by name of application; no lock stops it."""
    if not user.is_active or is_locked(user, at=now):
        return ()
    by_application: defaultdict[Application, list[Grant]] = defaultdict(list)
    for grant in (
        live_grants_of(user, now=now)
        .exclude(application__in=locked_applications(now))
        .select_related("application", "group", "user", "source__label")
        .prefetch_related("application__destinations", _serving("application__", now))
        .order_by("application__name", "pk")
    ):
        by_application[grant.application].append(grant)
    return tuple(
        Access(
            application=application,
            destinations=tuple(grants[0].application.destinations.all()),
            gateways=tuple(grants[0].application.gateways.all()),
            grants=tuple(grants),
            expires_at=_last_end(grants),
        )
        for application, grants in by_application.items()
    )


def client_config(device: Device, *, now: datetime) -> str:
    """Return the wg-quick(8) text of a device, without its private key.

    Each gateway gets as AllowedIPs the collapsed destinations of the owner's live
    grants that it serves. This is routing; the gateway enforces.
    """
    destinations: defaultdict[Gateway, list[IPNetwork]] = defaultdict(list)
    granted = live_grants_of(device.owner, now=now).values("application")
    gateways = {gateway.pk: gateway for gateway in _ready_gateways()}
    for gateway_id, prefix in (
        ApplicationDestination.objects.filter(
            application__in=granted, application__gateways__in=gateways.keys()
        )
        .annotate(gateway_id=F("application__gateways"))
        .values_list("gateway_id", "prefix")
    ):
        if gateway_id in gateways:
            destinations[gateways[gateway_id]].append(network(prefix))
    addresses = device.leases.filter(released_at__isnull=True)
    return config_text(
        [
            ip_address(address)
            for address in addresses.values_list("address", flat=True)
        ],
        [
            _client_peer(gateway, destinations[gateway])
            for gateway in sorted(destinations, key=lambda gateway: gateway.pk)
        ],
    )


def gateway_statuses(gateways: Iterable[Gateway]) -> tuple[GatewayStatus, ...]:
    """Return where each of these gateways stands, in their order; not a gate."""
    listed = list(gateways)
    publications = {
        publication.gateway_id: publication
        for publication in Publication.objects.filter(
            gateway__in=listed
        ).select_related("snapshot")
    }
    acknowledged = _latest(listed, Acknowledgement.objects.all())
    in_force = _latest(listed, Acknowledgement.objects.filter(in_force=True))
    return tuple(
        GatewayStatus(
            gateway=gateway,
            published=publication.snapshot if publication else None,
            acknowledged=acknowledged.get(gateway.pk),
            in_force=in_force.get(gateway.pk),
            failure=publication.failure if publication else "",
        )
        for gateway in listed
        for publication in (publications.get(gateway.pk),)
    )


def published_positions(
    gateway_ids: Iterable[int] | None = None,
) -> Mapping[int, tuple[int, int]]:
    """Return epoch and generation of gateways' current snapshots; not a gate.

    `None` is every gateway.
    """
    rows = Publication.objects.filter(generation__gt=0)
    if gateway_ids is not None:
        rows = rows.filter(pk__in=gateway_ids)
    return {
        gateway_id: (epoch, generation)
        for gateway_id, epoch, generation in rows.values_list(
            "gateway_id", "epoch", "generation"
        )
    }


def published_position(gateway_id: int) -> tuple[int, int]:
    """Return epoch and generation of one gateway's current snapshot; not a gate."""
    row = Publication.objects.filter(pk=gateway_id, generation__gt=0)
    return row.values_list("epoch", "generation").first() or NOTHING


def is_issued(gateway: Gateway, snapshot: Snapshotted) -> bool:
    """Return whether this portal issued that very snapshot; not a gate."""
    return Snapshot.objects.filter(
        gateway=gateway,
        epoch=snapshot.epoch,
        generation=snapshot.generation,
        digest=snapshot.digest,
    ).exists()


def envelope_of(gateway: Gateway, snapshot: Snapshotted) -> str | None:
    """Return the envelope of that very snapshot, if it was issued; not a gate."""
    return (
        Snapshot.objects.filter(
            gateway=gateway,
            epoch=snapshot.epoch,
            generation=snapshot.generation,
            digest=snapshot.digest,
        )
        .values_list("envelope", flat=True)
        .first()
    )


def published(gateway: Gateway) -> Published | None:
    """Return what is published for a gateway, in one query; not a gate."""
    recovering = GatewayRecovery.objects.filter(gateway=OuterRef("pk"), ended_at=None)
    row = (
        Publication.objects.filter(pk=gateway.pk, generation__gt=0)
        .values_list("epoch", "generation", "snapshot__digest", Exists(recovering))
        .first()
    )
    if row is None:
        return None
    current = Snapshotted(epoch=row[0], generation=row[1], digest=row[2] or "")
    return Published(current=current, is_recovering=row[3])


def is_ahead(gateway: Gateway, standing: Standing, published: Published) -> bool:
    """Return whether a gateway holds what this portal never issued; not a gate.

    An agent of before says no digest: then only a number that is too high tells.
    """
    if standing.position > published.position:
        return True
    holds = standing.holds
    # What is left from an epoch before is replaced as soon as there is a snapshot.
    if holds is None or holds.epoch != published.current.epoch:
        return False
    return holds != published.current and not is_issued(gateway, holds)


def current_snapshots(
    beyond: Mapping[int, tuple[int, int]],
) -> Mapping[int, Snapshot]:
    """Return the snapshots that gateways should enforce, by gateway; not a gate.

    Their envelopes, which may be megabytes, are read where a snapshot is beyond what
    the gateway has.
    """
    rows = Publication.objects.filter(pk__in=beyond).select_related("snapshot")
    found = {
        row.pk: row.snapshot
        for row in rows.defer("snapshot__envelope")
        if row.snapshot is not None
    }
    newer = {
        snapshot.pk: snapshot
        for pk, snapshot in found.items()
        if (snapshot.epoch, snapshot.generation) > beyond[pk]
    }
    envelopes = Snapshot.objects.filter(pk__in=newer).values_list("pk", "envelope")
    for pk, envelope in envelopes:
        newer[pk].envelope = envelope
    return found


def current_snapshot(gateway_id: int) -> Snapshot | None:
    """Return the snapshot that a gateway should enforce; not a gate."""
    publication = (
        Publication.objects.filter(pk=gateway_id).select_related("snapshot").first()
    )
    return publication.snapshot if publication else None


def _get(listing: Callable[[User], QuerySet[Row]], user: User, identifier: int) -> Row:
    try:
        row = listing(user).filter(pk=identifier).first()
    except PermissionDenied:
        # Who may not see the list learns nothing about what is in it.
        row = None
    if row is None:
        raise Http404
    return row


def _changeable(user: User, row: Row) -> Row:
    if not user.is_administrator:
        raise PermissionDenied
    return row


def _require_reader(user: User) -> None:
    if not user.is_reader:
        raise PermissionDenied


def _ready_gateways() -> QuerySet[Gateway]:
    return Gateway.objects.filter(
        state=GatewayState.ENROLLED, public_key__isnull=False
    ).order_by("pk")


def _serving(path: str, now: datetime) -> Prefetch[str, QuerySet[Gateway], str]:
    locked = live_locks(now).order_by().filter(gateway__isnull=False).values("gateway")
    ready = _ready_gateways().exclude(pk__in=locked)
    return Prefetch(f"{path}gateways", queryset=ready)


def _last_end(grants: Iterable[Grant]) -> datetime | None:
    ends = [grant.expires_at for grant in grants]
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def _client_peer(gateway: Gateway, prefixes: Iterable[IPNetwork]) -> ClientPeer:
    return ClientPeer(
        public_key=gateway.public_key,
        endpoint_host=gateway.endpoint_host,
        endpoint_port=gateway.endpoint_port,
        allowed_ips=collapsed(prefixes),
    )


def _latest(
    gateways: Iterable[Gateway], rows: QuerySet[Acknowledgement]
) -> Mapping[int, Acknowledgement]:
    newest = rows.filter(gateway=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    ids = Gateway.objects.filter(pk__in=[gateway.pk for gateway in gateways]).annotate(
        newest=Subquery(newest)
    )
    found = Acknowledgement.objects.filter(
        pk__in=[pk for pk in ids.values_list("newest", flat=True) if pk is not None]
    )
    return {row.gateway_id: row for row in found}

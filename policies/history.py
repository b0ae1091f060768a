"""What was in force at a moment, and what things were called then.

* A generation is in force at a gateway from its own acknowledgement on, not from its
  publication: what was published and not acknowledged is said beside it.
* A stored snapshot whose bytes are not those that were signed answers nothing.
* Names are those the log recorded last before the moment (`audit`: labels are copied).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, assert_never

from django.db.models import Max, OuterRef, Q, Subquery

from audit.events import EventCode
from audit.models import AuditEvent
from audit.parts import parts
from peers.models import Device, Gateway, GatewayState
from policies.compiler.envelope import open_envelope
from policies.compiler.errors import CompilerError
from policies.compiler.snapshot import digest, parse_snapshot
from policies.models import Acknowledgement, Application, Grant, Snapshot
from portal.accounts.models import User

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from policies.compiler.types import Snapshot as Content

Party: TypeAlias = Literal["person", "device", "application", "gateway", "grant"]

CHUNK: Final = 400
"""How many ids one statement names: SQLite limits its parameters."""

PREFIXES: Final[Mapping[Party, str]] = {
    "person": "us",
    "device": "dv",
    "application": "ap",
    "gateway": "gw",
    "grant": "gt",
}

NAMERS: Final[Mapping[Party, tuple[EventCode, ...]]] = {
    "person": (),
    "device": (),
    "application": (EventCode.APPLICATION_CREATE, EventCode.APPLICATION_UPDATE),
    "gateway": (EventCode.GATEWAY_CREATE, EventCode.GATEWAY_UPDATE),
    "grant": (EventCode.GRANT_CREATE,),
}
"""Which events to read for a name; none named is all of them (there is an index)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A generation, and since when."""

    epoch: int
    generation: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a gateway stood at a moment.

    `position` is what `content` is read from: in force when `is_acknowledged`, else
    only published. `pending` was published after it and not acknowledged by then.
    `problem` says why there is no content.
    """

    gateway: Gateway
    position: Position
    is_acknowledged: bool
    pending: Position | None
    content: Content | None
    problem: str = ""


def standings_at(
    at: datetime, *, gateway_ids: Collection[int] | None = None
) -> tuple[Standing, ...]:
    """Return where each gateway stood that had anything and was not retired.

    Five queries; the gateways come by name.
    """
    retired = AuditEvent.objects.filter(code=EventCode.GATEWAY_RETIRE)
    gone = dict(retired.values_list("gateway_id", "at"))
    placed = _placed(at)
    gateways = [
        gateway
        for gateway in Gateway.objects.filter(pk__in=placed)
        if not _is_retired(gateway, gone.get(gateway.ref.id), at)
        and (gateway_ids is None or gateway.pk in gateway_ids)
    ]
    acknowledgements = Acknowledgement.objects.in_bulk(
        [pk for gateway in gateways if (pk := placed[gateway.pk][0]) is not None]
    )
    snapshots = _snapshots(
        acknowledgements.values(), [placed[gateway.pk][1] for gateway in gateways]
    )
    published = {snapshot.pk: snapshot for snapshot in snapshots}
    return tuple(
        _standing(
            gateway,
            acknowledgements.get(placed[gateway.pk][0] or 0),
            published[placed[gateway.pk][1]],
            snapshots,
        )
        for gateway in gateways
    )


def _is_retired(gateway: Gateway, told: datetime | None, at: datetime) -> bool:
    """Return whether it was retired; where the event was pruned, long ago."""
    return gateway.state == GatewayState.RETIRED if told is None else told <= at


def contents(standings: Iterable[Standing]) -> list[Content]:
    """Return the snapshots that could be read."""
    return [found.content for found in standings if found.content is not None]


def names_at(
    party: Party, ids: Iterable[int], at: datetime | None = None
) -> Mapping[int, str]:
    """Return what things were called at a moment, or are called now.

    What the log never named has its present name; what is gone, its machine id.
    """
    found: dict[int, str] = {}
    for part in parts(sorted(set(ids)), CHUNK):
        found |= _present(party, part)
        if at is not None:
            found |= _recorded(party, part, at)
    return found


def content_of(row: Snapshot) -> tuple[Content | None, str]:
    """Return what a stored snapshot says, or why it cannot be told."""
    try:
        payload = open_envelope(row.envelope.encode()).payload
        if digest(payload) != row.digest:
            return None, "the stored snapshot is not the one that was published"
        return parse_snapshot(payload), ""
    except CompilerError as exc:
        return None, f"the stored snapshot cannot be read: {exc}"


def _placed(at: datetime) -> Mapping[int, tuple[int | None, int]]:
    """Return by gateway the acknowledgement in force and what was published last."""
    in_force = Acknowledgement.objects.filter(
        gateway=OuterRef("pk"), in_force=True, applied_at__lte=at
    ).order_by("-applied_at", "-pk")
    published = Snapshot.objects.filter(
        gateway=OuterRef("pk"), published_at__lte=at
    ).order_by("-pk")
    rows = Gateway.objects.annotate(
        acknowledged=Subquery(in_force.values("pk")[:1]),
        published=Subquery(published.values("pk")[:1]),
    ).filter(published__isnull=False)
    return {
        pk: (acknowledged, newest)
        for pk, acknowledged, newest in rows.values_list(
            "pk", "acknowledged", "published"
        )
    }


def _snapshots(
    acknowledged: Iterable[Acknowledgement], published: Iterable[int]
) -> Sequence[Snapshot]:
    wanted = Q(pk__in=[*published])
    for row in acknowledged:
        wanted |= Q(gateway=row.gateway_id, epoch=row.epoch, generation=row.generation)
    return [*Snapshot.objects.filter(wanted)]


def _standing(
    gateway: Gateway,
    acknowledged: Acknowledgement | None,
    published: Snapshot,
    snapshots: Iterable[Snapshot],
) -> Standing:
    newest = Position(
        epoch=published.epoch,
        generation=published.generation,
        since=published.published_at,
    )
    if acknowledged is None or acknowledged.applied_at is None:
        content, problem = content_of(published)
        return Standing(
            gateway=gateway,
            position=newest,
            is_acknowledged=False,
            pending=None,
            content=content,
            problem=problem,
        )
    key = (gateway.pk, acknowledged.epoch, acknowledged.generation)
    content, problem = content_of(
        next(s for s in snapshots if (s.gateway_id, s.epoch, s.generation) == key)
    )
    return Standing(
        gateway=gateway,
        position=Position(
            epoch=acknowledged.epoch,
            generation=acknowledged.generation,
            since=acknowledged.applied_at,
        ),
        is_acknowledged=True,
        pending=newest if key[1:] != (newest.epoch, newest.generation) else None,
        content=content,
        problem=problem,
    )


def _present(party: Party, ids: Sequence[int]) -> Mapping[int, str]:
    rows: QuerySet[User | Device | Application | Gateway | Grant]
    match party:
        case "person":
            rows = User.objects.filter(pk__in=ids)
        case "device":
            rows = Device.objects.filter(pk__in=ids)
        case "application":
            rows = Application.objects.filter(pk__in=ids)
        case "gateway":
            rows = Gateway.objects.filter(pk__in=ids)
        case "grant":
            rows = Grant.objects.filter(pk__in=ids).select_related(
                "user", "group", "application", "source__label"
            )
        case _:
            assert_never(party)
    known = {row.pk: str(row) for row in rows}
    return {pk: known.get(pk, f"{PREFIXES[party]}_{pk}") for pk in ids}


def _recorded(party: Party, ids: Sequence[int], at: datetime) -> Mapping[int, str]:
    column = "target" if party == "grant" else party
    prefix = f"{PREFIXES[party]}_"
    rows = AuditEvent.objects.order_by().filter(
        **{f"{column}_id__in": [f"{prefix}{pk}" for pk in ids], "at__lte": at}
    )
    if codes := NAMERS[party]:
        rows = rows.filter(code__in=codes)
    latest = rows.values(f"{column}_id").annotate(latest=Max("pk")).values("latest")
    return {
        int(ref.removeprefix(prefix)): label
        for ref, label in AuditEvent.objects.filter(pk__in=latest).values_list(
            f"{column}_id", f"{column}_label"
        )
        if label
    }

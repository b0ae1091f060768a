"""Which other grants would have let a flow pass that one is named for (ADR-0018).

The kernel's log names one grant, the lowest id of those that allow; what allows by a
host name comes before what allows whatever names stand for (ADR-0009). The rest is not
stored: it follows from the snapshot whose generation the gateway named, judged at the
moment the flow began. Where that snapshot is not here, or does not say what the
gateway did, the answer says so and claims nothing more; so it does of a grant that
allowed it only if a host name stood for that address, which is not stored.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from audit.actor import Ref
from audit.exports import Derived
from audit.models import Verdict
from policies.attribution import SKEW
from policies.compiler.evaluate import Packet, verdict
from policies.compiler.narrow import of_device, whatever_names_stand_for
from policies.compiler.regions import TCP, UDP
from policies.history import content_of, names_at
from policies.models import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from audit.models import Connection
    from policies.compiler.types import Snapshot as Content

KEPT: Final = 4
"""How many snapshots are held while many connections are read, newest use last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowing:
    """The other grants by id, or None where nobody can tell; `doubt` says why.

    `generation` is epoch and number of the snapshot that was judged.
    """

    others: tuple[int, ...] | None
    doubt: str = ""
    generation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowingGrants:
    """The same under the names of then; `others` is None where nobody can tell."""

    others: tuple[Ref, ...] | None
    doubt: str
    generation: str


class AllowingReader:
    """Answers for many connections, each snapshot read once while it is in use."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._read: OrderedDict[int, _Read] = OrderedDict()
        self._stored: dict[tuple[int, int], tuple[Snapshot, ...]] = {}

    def of(self, connection: Connection) -> Allowing:
        """Return which other grants let a connection pass when it began."""
        if connection.verdict != Verdict.ALLOWED:
            return Allowing(others=(), doubt="")
        device, grant = _number(connection.device_id), _number(connection.grant_id)
        if device is None or grant is None or connection.generation is None:
            return Allowing(
                others=None,
                doubt="the record does not name a device, a grant and a generation",
            )
        row = self._row(connection, connection.generation)
        if row is None:
            return Allowing(
                others=None,
                doubt=f"generation {connection.generation} of"
                f" {connection.gateway_id} is not stored",
            )
        return self._snapshot(row).judge(connection, device, grant)

    def _row(self, connection: Connection, generation: int) -> Snapshot | None:
        """Return the snapshot that the gateway named.

        A number is issued once, unless the portal came back from an older backup; then
        it is the last one that was published before the flow began.
        """
        gateway = _number(connection.gateway_id) or 0
        if (gateway, generation) not in self._stored:
            self._stored[gateway, generation] = tuple(
                Snapshot.objects.filter(gateway=gateway, generation=generation)
                .defer("envelope")
                .order_by("-published_at", "-pk")
            )
        latest = connection.started_at + SKEW
        rows = self._stored[gateway, generation]
        return next((row for row in rows if row.published_at <= latest), None)

    def _snapshot(self, row: Snapshot) -> _Read:
        found = self._read.pop(row.pk, None) or _Read(row)
        self._read[row.pk] = found
        while len(self._read) > KEPT:
            self._read.popitem(last=False)
        return found


def grants_of(connection: Connection, reader: AllowingReader) -> AllowingGrants:
    """Return which other grants let a connection pass, as they were called then."""
    found = reader.of(connection)
    names = names_at("grant", found.others or (), connection.started_at)
    return AllowingGrants(
        others=(
            None
            if found.others is None
            else tuple(Ref(id=f"gt_{pk}", label=names[pk]) for pk in found.others)
        ),
        doubt=found.doubt,
        generation=found.generation,
    )


def derived_columns(reader: AllowingReader) -> Derived:
    """Return what exports of connections say about it: ids, null where unknown."""

    def values(connection: Connection) -> Mapping[str, object]:
        found = reader.of(connection)
        others = found.others
        return {
            "also_allowed_by": (
                None if others is None else [f"gt_{number}" for number in others]
            ),
            "also_allowed_doubt": found.doubt,
        }

    return Derived(columns=("also_allowed_by", "also_allowed_doubt"), values=values)


class _Read:
    """One stored snapshot, and the parts of it that were asked about."""

    def __init__(self, row: Snapshot) -> None:
        self._pk = row.pk
        self._number = f"{row.epoch}.{row.generation}"
        self._parts: dict[int, tuple[Content, Content, Content]] = {}

    @cached_property
    def _content(self) -> tuple[Content | None, str]:
        return content_of(Snapshot.objects.get(pk=self._pk))

    def judge(self, connection: Connection, device: int, grant: int) -> Allowing:
        whole, problem = self._content
        if whole is None:
            return Allowing(others=None, doubt=problem, generation=self._number)
        if device not in self._parts:
            part = of_device(whole, device)
            self._parts[device] = (
                part,
                whatever_names_stand_for(part),
                whatever_names_stand_for(_by_name(part)),
            )
        packet, now = _packet(connection), connection.started_at
        certain, possible, by_name = (
            tuple(found.id for found in verdict(part, packet, now=now).grants)
            for part in self._parts[device]
        )
        # The kernel asks names first: what one let pass, no prefix was asked about.
        due = () if grant in by_name else certain
        return Allowing(
            others=tuple(number for number in certain if number != grant),
            doubt="; ".join(_doubts(certain, possible, grant, due=due)),
            generation=self._number,
        )


def _by_name(part: Content) -> Content:
    """Return a part of a snapshot with nothing but its host names."""
    return replace(
        part,
        applications=tuple(
            replace(
                application,
                destinations=tuple(d for d in application.destinations if d.host),
            )
            for application in part.applications
        ),
    )


def _packet(connection: Connection) -> Packet:
    has_port = connection.protocol in {TCP, UDP}
    return Packet(
        source=ip_address(connection.source),
        destination=ip_address(connection.destination),
        protocol=connection.protocol,
        port=connection.destination_port if has_port else None,
    )


def _doubts(
    certain: tuple[int, ...],
    possible: tuple[int, ...],
    grant: int,
    *,
    due: tuple[int, ...],
) -> Iterator[str]:
    """Say where the snapshot and the gateway do not agree, and what it leaves open.

    Of those that are `due` the gateway names the first.
    """
    if grant not in possible:
        yield f"by the snapshot gt_{grant} did not allow it"
    elif due and due[0] != grant:
        yield f"by the snapshot gt_{due[0]} should have been named"
    if named := [n for n in possible if n not in {*certain, grant}]:
        refs = ", ".join(f"gt_{number}" for number in named)
        yield f"{refs} may have allowed it by a host name"


def _number(ref: str) -> int | None:
    _, _, number = ref.partition("_")
    return int(number) if number else None

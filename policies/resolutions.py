"""What host names stand for on gateways, as far as those have told.

Nothing is decided by it: a gateway enforces what it resolved itself. Explanations and
pages show it, and say when nobody has told or when it is too long ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from policies.compiler.canonical import array, fields, text
from policies.compiler.errors import CompilerError, SnapshotFormatError
from policies.compiler.hostnames import host_name
from policies.compiler.types import NEVER, address
from policies.errors import AcknowledgementError
from policies.models import Resolution

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from peers.models import Gateway
    from policies.compiler.types import Resolved

FRESH: Final = timedelta(minutes=5)
"""Gateways tell at least every other minute; an answer counts five at most."""

MOST_NAMES: Final = 20_000
MOST_ADDRESSES: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldName:
    """What a name stands for behind one gateway; `told_at` is None if nobody said."""

    host: str
    gateway: Gateway
    addresses: tuple[str, ...]
    told_at: datetime | None


def parse_resolution(document: object) -> dict[str, list[str]]:
    """Return the names of a report, each with its addresses in order.

    Raises:
        AcknowledgementError: not `{"names": {host: [address, …]}}`, or too much of it.
    """
    try:
        names = fields(document, frozenset({"names"}))["names"]
        if not isinstance(names, dict) or len(names) > MOST_NAMES:
            msg = f"names is not an object with at most {MOST_NAMES} keys"
            raise SnapshotFormatError(msg)
        return {host_name(host): _addresses(found) for host, found in names.items()}
    except CompilerError as exc:
        msg = f"malformed names: {exc}"
        raise AcknowledgementError(msg) from exc


def fresh_reports(
    gateways: Collection[int] | Collection[Gateway], *, now: datetime
) -> Mapping[int, Resolution]:
    """Return what gateways told lately, by gateway."""
    rows = Resolution.objects.filter(gateway__in=gateways, told_at__gt=now - FRESH)
    return {row.gateway_id: row for row in rows}


def resolved_by(report: Resolution | None) -> Resolved:
    """Return what names stand for by a report; what is not told is absent."""
    names: Mapping[str, list[str]] = report.names if report else {}
    return {
        host: {address(found): NEVER for found in addresses}
        for host, addresses in names.items()
    }


def told_names(
    hosts: Iterable[str],
    gateways: Iterable[Gateway],
    reports: Mapping[int, Resolution],
) -> tuple[ToldName, ...]:
    """Return what each of some names stands for behind each gateway, in order."""
    behind = tuple(gateways)
    return tuple(
        _told(host, gateway, reports.get(gateway.pk))
        for host in sorted({*hosts} - {""})
        for gateway in behind
    )


def _told(host: str, gateway: Gateway, report: Resolution | None) -> ToldName:
    if report is None or host not in report.names:
        return ToldName(host=host, gateway=gateway, addresses=(), told_at=None)
    return ToldName(
        host=host,
        gateway=gateway,
        addresses=tuple(report.names[host]),
        told_at=report.told_at,
    )


def _addresses(value: object) -> list[str]:
    listed = array(value)
    if len(listed) > MOST_ADDRESSES:
        msg = f"a name has at most {MOST_ADDRESSES} addresses"
        raise SnapshotFormatError(msg)
    found = sorted(
        {address(text(item)) for item in listed}, key=lambda a: (a.version, int(a))
    )
    return [str(each) for each in found]

"""What a gateway records: one value for each kind of record. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from audit.models import FlowKind

IPAddress: TypeAlias = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRecord:
    """An `open`, `close` or `deny`. Times and counts belong to `close`."""

    sequence: int
    kind: FlowKind
    at: datetime
    flow: str
    device: int | None
    protocol: int
    source: IPAddress
    source_port: int | None
    destination: IPAddress
    destination_port: int | None
    grant: int | None
    application: int | None
    generation: int | None
    counts: Mapping[str, int]
    started_at: datetime | None
    ended_at: datetime | None
    reason: str
    body: Mapping[str, object]

    @property
    def begun_at(self) -> datetime:
        """When the flow began, as far as this record knows."""
        return self.started_at or self.at


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRecord:
    """Events that the gateway knows it lost."""

    sequence: int
    at: datetime
    source: str
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRecord:
    """The agent started."""

    sequence: int
    at: datetime
    boot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRecord:
    """The kernel held something else than the snapshot says.

    `by` is the process that changed it, where the kernel told. `repaired_ms` is None
    while it is not repaired: the gate is then closed.
    """

    sequence: int
    at: datetime
    what: str
    by: str | None
    repaired_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTableRecord:
    """The kernel's table of flows became crowded, or is so no longer."""

    sequence: int
    at: datetime
    is_crowded: bool
    entries: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalsRecord:
    """What the gateway has counted, all from `since` on."""

    sequence: int
    at: datetime
    since: str
    sums: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeRecord:
    """A device shook hands, or comes from another outer address."""

    sequence: int
    at: datetime
    device: int
    address: IPAddress | None
    port: int | None
    handshake_at: datetime | None
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRecord:
    """A record that cannot be read, why, and what of it can be shown."""

    sequence: int
    why: str
    excerpt: str


Record: TypeAlias = (
    FlowRecord
    | GapRecord
    | StartRecord
    | DriftRecord
    | FlowTableRecord
    | TotalsRecord
    | HandshakeRecord
    | RefusedRecord
)

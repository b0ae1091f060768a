"""What `doctor` looks at, as it was observed. None is: it could not be found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.report import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFile:
    """Something in the state directory: whose it is and who may read it."""

    path: Path
    mode: int
    owner: int


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state directory; `problem` says why it cannot be used, empty if it can."""

    directory: Path
    problem: str = ""
    owner: int = 0
    files: tuple[StateFile, ...] = ()
    free_bytes: int = 0
    free_inodes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What the kernel can do. Each text is an error, empty where it works.

    `switches` is what `/proc/sys` holds, by name below it.
    """

    nftables: str = ""
    has_table: bool = False
    has_conntrack: bool = True
    has_nflog: bool = True
    has_wireguard: bool = True
    has_wireguard_go: bool = False
    switches: Mapping[str, str] = field(default_factory=dict)
    connections: Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """The tunnel's interface, and the one that its packets leave by."""

    name: str
    exists: bool = False
    mtu: int = 0
    listen_port: int = 0
    wanted_port: int = 0
    port_problem: str = ""
    uplink: str = ""
    uplink_mtu: int = 0
    path_mtu: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """How far a conversation with the portal got; `problem` is where it ended."""

    url: str
    host: str = ""
    addresses: tuple[str, ...] = ()
    problem: str = ""
    stage: str = ""
    tls: str = ""
    certificate_ends: datetime | None = None
    status: int = 0
    date: datetime | None = None
    date_asked: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A base chain of the ruleset that is not ours."""

    table: str
    name: str
    hook: str
    drops: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """Who else writes firewalls here: chains, old tables, services."""

    chains: tuple[Chain, ...] = ()
    legacy_tables: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything that was looked at, at one moment."""

    now: datetime
    uid: int
    capabilities: int
    is_synchronised: bool | None
    state: State
    kernel: Kernel
    interface: Interface
    portal: Portal | None
    others: Others
    nameservers: tuple[str, ...]
    agent: str
    """`running`, `silent` or `not running`."""
    report: Mapping[str, Any] | None

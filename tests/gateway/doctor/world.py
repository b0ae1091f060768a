"""A gateway on which nothing is wrong, to be spoiled by a test."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from gateway.config import VERSION
from gateway.doctor.facts import (
    Interface,
    Kernel,
    Observed,
    Others,
    Portal,
    State,
    StateFile,
)
from gateway.netfilter import SWITCHES
from gateway.report import Table
from tests.gateway.world import NOW

DIRECTORY: Final = Path("/var/lib/peerage-gateway")
LAST: Final = ("poll", "apply", "acknowledgement", "upload")


def told(**changes: object) -> Mapping[str, Any]:
    """Return what a running agent says of itself."""
    return {
        "generation": 12,
        "gate": {"is_open": True, "reason": ""},
        "last": {f"{name}_error": "" for name in LAST},
        "names": {"db.example.com": ["10.50.0.10"]},
        "clock_offset_seconds": 0.2,
        "version": VERSION,
        "portal_agent": {"version": VERSION, "least": "0.0.9"},
        **changes,
    }


def healthy(**changes: Any) -> Observed:  # noqa: ANN401 -- parts of the world
    """Return a gateway that is well, but for `changes`."""
    parts: dict[str, Any] = {
        "now": NOW,
        "uid": 0,
        "capabilities": 1 << 12,
        "is_synchronised": True,
        "state": State(
            directory=DIRECTORY,
            owner=990,
            files=(
                StateFile(path=DIRECTORY, mode=0o700, owner=990),
                StateFile(path=DIRECTORY / "identity.json", mode=0o600, owner=990),
            ),
            free_bytes=10 << 30,
            free_inodes=100_000,
        ),
        "kernel": kernel(),
        "interface": link(),
        "portal": portal(),
        "others": Others(),
        "nameservers": ("10.0.0.53",),
        "agent": "running",
        "report": told(),
    }
    return Observed(**{**parts, **changes})


def kernel(**changes: Any) -> Kernel:  # noqa: ANN401 -- the kernel's parts
    """Return a kernel that can do everything."""
    parts: dict[str, Any] = {
        "has_table": True,
        "switches": {**dict(SWITCHES), **changes.pop("switches", {})},
        "connections": Table(entries=100, most=262144),
    }
    return Kernel(**{**parts, **changes})


def link(**changes: Any) -> Interface:  # noqa: ANN401 -- the interface's parts
    """Return an interface that fits its uplink."""
    parts: dict[str, Any] = {
        "name": "wg0",
        "exists": True,
        "mtu": 1420,
        "listen_port": 51820,
        "uplink": "eth0",
        "uplink_mtu": 1500,
        "path_mtu": 1500,
    }
    return Interface(**{**parts, **changes})


def portal(**changes: Any) -> Portal:  # noqa: ANN401 -- the portal's parts
    """Return a portal that answers."""
    parts: dict[str, Any] = {
        "url": "https://portal.example",
        "host": "portal.example",
        "addresses": ("192.0.2.1",),
        "stage": "http",
        "tls": "TLSv1.3",
        "certificate_ends": NOW + timedelta(days=60),
        "status": 200,
        "date": NOW,
        "date_asked": NOW,
    }
    return Portal(**{**parts, **changes})

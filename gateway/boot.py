"""The program `boot`: nothing passes from the first moment of the network on.

It runs before any interface is up and ends. Forwarding is switched off before the
closed table is loaded, and stays off: the agent's unit switches it on once this has
succeeded, so a table that cannot be loaded leaves a host that forwards nothing.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from gateway.errors import KernelError
from gateway.netfilter import Nftables, has_table
from policies.compiler.nftables import base_text, closed_text, table_name

FORWARDING: Final = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")


def close(interface: str, *, sysctl: Path = Path("/proc/sys")) -> None:
    """Forward nothing and load the closed table, its lease ended.

    Over the table of a running gateway it ends the lease: everything stops until the
    agent renews it.

    Raises:
        KernelError: forwarding is on and cannot be switched off, or the table does
            not stand; the message says what.
    """
    for name in FORWARDING:
        _switch_off(sysctl / name)
    with contextlib.closing(Nftables()) as nftables:
        nftables.run(base_text(interface) + closed_text(interface))
    if not has_table(table_name(interface)):
        raise KernelError(f"the closed table of {interface} does not stand")


def _switch_off(path: Path) -> None:
    try:
        if path.read_text(encoding="ascii").strip() != "0":
            path.write_text("0", encoding="ascii")
    except FileNotFoundError:
        # A kernel without IPv6 forwards none.
        return
    except OSError as exc:
        raise KernelError(f"cannot switch off {path}: {exc.strerror}") from exc

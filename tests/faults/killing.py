"""Labelled points in the agent at which a test may kill it.

Nothing in the product knows of them: `arm` replaces methods of the classes through
which the agent reaches disk, kernel and portal by ones that first and last call
`strike` with a label. Only a process that is to be killed does this to itself.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from typing import Any, Final

from gateway.client import HttpPortal
from gateway.kernel import LinuxKernel
from gateway.spool import Spool
from gateway.standing import RevokedKeys
from gateway.store import Store
from gateway.trust import Judge

POINTS: Final[tuple[tuple[str, type, str], ...]] = (
    ("verify", Judge, "snapshot"),
    ("verify lease", Judge, "lease"),
    ("persist", Store, "write_accepted"),
    ("nftables", LinuxKernel, "run"),
    ("nftables", LinuxKernel, "change_elements"),
    ("remove peers", LinuxKernel, "remove_peers"),
    ("list flows", LinuxKernel, "entries"),
    ("cut flows", LinuxKernel, "cut"),
    ("set port", LinuxKernel, "set_listen_port"),
    ("add routes", LinuxKernel, "add_routes"),
    ("set peers", LinuxKernel, "set_peers"),
    ("read back", LinuxKernel, "holdings"),
    ("keep lease", Store, "write_lease"),
    ("keep revoked keys", RevokedKeys, "add"),
    ("reserve numbers", Store, "write_sequences"),
    ("spool append", Spool, "append"),
    ("spool sync", Spool, "sync"),
    ("spool forget", Spool, "acknowledge"),
    ("acknowledge", HttpPortal, "acknowledge"),
    ("send evidence", HttpPortal, "send_evidence"),
)
RENEW: Final = "renew"
"""The label of a transaction that changes only the gate."""
FSYNC: Final = "fsync"
"""Before a file is made durable, after it was written."""

Strike = Callable[[str], None]


def arm(strike: Strike) -> None:
    """Call `strike` before and after each point, from now on, in this process."""
    for label, owner, name in POINTS:
        setattr(owner, name, _struck(getattr(owner, name), label, strike))
    made_durable = os.fsync

    def fsync(descriptor: Any) -> None:  # noqa: ANN401 -- as the original
        strike(f"{FSYNC}:before")
        made_durable(descriptor)

    os.fsync = fsync  # type: ignore[assignment]


def die() -> None:
    """Be killed at once, as by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def _struck(
    method: Callable[..., Any], label: str, strike: Strike
) -> Callable[..., Any]:
    @functools.wraps(method)
    def around(self: object, *words: Any, **named: Any) -> Any:  # noqa: ANN401 -- any method
        what = RENEW if len(words) == 1 and is_gate(words[0]) else label
        strike(f"{what}:before")
        result = method(self, *words, **named)
        strike(f"{what}:after")
        return result

    return around


def is_gate(text: object) -> bool:
    """Return whether this is a transaction of the gate alone."""
    return (
        isinstance(text, str)
        and text.startswith("add element")
        and all(" live " in line for line in text.splitlines())
    )

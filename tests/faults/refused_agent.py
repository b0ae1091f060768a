"""The agent, whose transactions the kernel refuses while a file exists.

As if the compiler had not merged overlapping destinations: two that overlap are put at
the end of every transaction but the gate's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.__main__ import main
from gateway.kernel import LinuxKernel
from policies.compiler.delta import ElementChange
from tests.faults.field import VARIABLE
from tests.faults.killing import is_gate

OVERLAPPING: Final = """
add element inet peerage_wg0 proto4 { 10.99.0.0-10.99.0.9 . 6 : goto deny_no_grant }
add element inet peerage_wg0 proto4 { 10.99.0.5-10.99.0.14 . 6 : goto deny_no_grant }
"""


def spoil() -> None:
    """Replace the two ways into the kernel."""
    run, change_elements = LinuxKernel.run, LinuxKernel.change_elements
    file = Path(os.environ[VARIABLE])

    def refused(self: LinuxKernel, text: str) -> None:
        bad = file.exists() and not is_gate(text)
        run(self, text + OVERLAPPING if bad else text)

    def refused_elements(
        self: LinuxKernel, changes: Sequence[ElementChange], *, now: datetime
    ) -> None:
        if file.exists():
            run(self, OVERLAPPING)
        change_elements(self, changes, now=now)

    LinuxKernel.run = refused  # type: ignore[method-assign]
    LinuxKernel.change_elements = refused_elements  # type: ignore[method-assign]


if __name__ == "__main__":
    spoil()
    sys.exit(main())

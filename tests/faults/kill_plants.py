"""Bugs that the kill loop has to find; each is planted in the process that dies."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from gateway import reconcile
from gateway.errors import KernelError
from gateway.kernel import LinuxKernel
from policies.compiler.delta import ElementChange

PLANTS: Final = ("", "loosen first", "two transactions")


def planted(plant: str) -> None:
    """Put a bug into this process: the loop has to find it."""
    match plant:
        case "loosen first":
            _reverse_steps()
        case "two transactions":
            _split_transactions()
        case _:
            pass


def _reverse_steps() -> None:
    """Loosen first: peers are set before flows are cut and peers removed."""
    plan = reconcile.plan

    def reversed_plan(*words: Any, **named: Any) -> Any:  # noqa: ANN401 -- as the original
        steps, loaded = plan(*words, **named)
        return tuple(reversed(steps)), loaded

    reconcile.plan = reversed_plan


def _split_transactions() -> None:
    """Apply a change in two transactions, what it adds first."""
    run, change = LinuxKernel.run, LinuxKernel.change_elements

    def run_twice(self: LinuxKernel, text: str) -> None:
        lines = text.splitlines(keepends=True)
        adds = [line for line in lines if line.startswith("add ")]
        if len(adds) < len(lines):
            with contextlib.suppress(KernelError):
                run(self, "".join(adds))
        run(self, text)

    def change_twice(
        self: LinuxKernel, changes: Sequence[ElementChange], *, now: datetime
    ) -> None:
        adds = [replace(c, removed=()) for c in changes if c.added]
        if adds and any(c.removed for c in changes):
            change(self, adds, now=now)
            changes = [replace(c, added=()) for c in changes if c.removed]
        change(self, changes, now=now)

    LinuxKernel.run = run_twice  # type: ignore[method-assign]
    LinuxKernel.change_elements = change_twice  # type: ignore[method-assign]

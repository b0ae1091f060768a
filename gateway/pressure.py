"""How full the kernel's table of flows is: an alarm before nothing new passes. Pure.

At its maximum the kernel drops new flows, or ends others that were never answered;
established ones go on. Who is told at 80 % can still look who it is (ADR-0026).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from gateway.flows import Record, text_time
from gateway.logs import Log
from gateway.report import Table

log = Log(__name__)

ALARM: Final = 0.8
RELIEF: Final = 0.7
"""Lower than the alarm, so that one flow more or less does not tell again."""


class Pressure:
    """Remembers whether the alarm stands."""

    def __init__(self) -> None:
        """Begin without one."""
        self.is_crowded = False

    def observe(self, table: Table | None, *, now: datetime) -> Record | None:
        """Return what is to be told of a table, or None; None also without one."""
        if table is None or not table.most:
            return None
        share = table.entries / table.most
        if share >= ALARM and not self.is_crowded:
            self.is_crowded = True
            log.warning("flow_table.crowded", entries=table.entries, most=table.most)
        elif share < RELIEF and self.is_crowded:
            self.is_crowded = False
            log.info("flow_table.relieved", entries=table.entries, most=table.most)
        else:
            return None
        return {
            "kind": "flow_table",
            "at": text_time(now),
            "state": "crowded" if self.is_crowded else "relieved",
            "entries": table.entries,
            "most": table.most,
        }

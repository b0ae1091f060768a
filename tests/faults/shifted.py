"""The agent on a machine whose clock is wrong: by the seconds that a file holds.

The file is read at every look at the clock, so that a test may set it meanwhile.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

from gateway import running
from gateway.__main__ import main
from gateway.agent import SystemClock

SHIFT = Path(os.environ["PEERAGE_TEST_SHIFT"])


class ShiftedClock(SystemClock):
    """The machine's clock and so many seconds."""

    def now(self) -> datetime:
        """Return the wrong time of day."""
        seconds = float(SHIFT.read_text(encoding="ascii") or "0")
        return super().now() + timedelta(seconds=seconds)


if __name__ == "__main__":
    vars(running)["SystemClock"] = ShiftedClock
    sys.exit(main())

"""`python -m tests.faults.killing_agent run …`: the agent, which can be told to die.

The file that PEERAGE_TEST_KILL names holds a label of `killing.POINTS` with `:before`
or `:after`; when the agent comes to that point it kills itself. No file, no killing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway.__main__ import main
from tests.faults.field import VARIABLE
from tests.faults.killing import arm, die


def strike(label: str) -> None:
    """Die if this is the point."""
    try:
        wanted = Path(os.environ[VARIABLE]).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    if wanted == label:
        die()


if __name__ == "__main__":
    arm(strike)
    sys.exit(main())

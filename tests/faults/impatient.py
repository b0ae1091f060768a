"""The agent, and a test beside it, with limits of seconds: nobody waits for a minute.

`python -m tests.faults.impatient run …` in place of `python -m gateway run …`.
"""

from __future__ import annotations

import sys

from gateway.__main__ import main
from policies.compiler import strictness


def be_impatient() -> None:
    """Let an application's limit be a second or more."""
    vars(strictness)["MIN_STALENESS"] = 1


if __name__ == "__main__":
    be_impatient()
    sys.exit(main(sys.argv[1:]))

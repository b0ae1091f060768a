"""Which agents this portal speaks with, told to each gateway for its operator to read.

Nothing is decided by it: what an agent is too old to read it refuses by itself.
"""

from __future__ import annotations

from typing import Final

CURRENT: Final = "0.1.0"
"""The version of the agent that was released with this portal."""

LEAST: Final = "0.1.0"
"""The oldest agent that reads everything this portal signs."""

TOLD: Final = f'{{"version":"{CURRENT}","least":"{LEAST}"}}'.encode("ascii")

"""TCP to a device through a real tunnel, with the gateway's rules and past them.

Runs inside namespaces of its own (`tests.faults.isolated.SPACES`), with the real agent,
which is frozen meanwhile: it would take back what is inserted into its table. Prints
for each round what came a second, in Mbit/s, past the rules and through them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

from tests.faults.field import HOST, Field, field
from tests.gateway.netns.lab import fetch

OCTETS = 40_000_000
CHAIN = ("inet", "peerage_wg0", "forward")


def main() -> int:
    """Measure and print."""
    with field() as made:
        made.freeze()
        _rate()
        for _ in range(int(sys.argv[1])):
            past = _past(made)
            print(f"{past:.1f} {_rate():.1f}", flush=True)
        made.thaw()
    return 0


def _past(made: Field) -> float:
    """Return the rate while the first rule accepts every packet."""
    made.nft(f"insert rule {' '.join(CHAIN)} accept\n")
    listed = subprocess.run(
        ["nft", "-a", "list", "chain", *CHAIN], capture_output=True, check=True
    )
    handle = re.search(rb"^\s*accept # handle (\d+)$", listed.stdout, re.MULTILINE)
    if handle is None:
        message = "the rule that should accept everything is not there"
        raise RuntimeError(message)
    try:
        return _rate()
    finally:
        made.nft(f"delete rule {' '.join(CHAIN)} handle {handle[1].decode()}\n")


def _rate() -> float:
    """Return Mbit/s of one download by alice, having got all of it."""
    begun = time.monotonic()
    got = fetch("alice", HOST, OCTETS, seconds=20)
    if got != OCTETS:
        message = f"{got} of {OCTETS} bytes came"
        raise RuntimeError(message)
    return OCTETS * 8 / 1e6 / (time.monotonic() - begun)


if __name__ == "__main__":
    sys.exit(main())

"""Whether every new flow is recorded once, and what is not is counted exactly.

20,000 new flows in 0.3 s; 20,000 a second for 10 s; 20,000 while the reader stands
still (its buffers hold them); 100,000 while it stands still (they do not); 20,000
while it is dead. Through the gateway's whole ruleset, with the agent's own collector
and spool: `script/bench flows [--only NAME]`, as root.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.bench.measures.collecting import (
    Agent,
    Result,
    frames,
    kernel_counter,
    prepare,
    send,
)

COUNT: Final = 20_000
NAMES: Final = ("burst", "steady", "stopped", "overrun", "dead")
INSIDE: Final = "--inside"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return 1 if a flow is neither recorded nor counted."""
    parser = argparse.ArgumentParser(prog="script/bench flows")
    parser.add_argument("--only", choices=NAMES)
    parser.add_argument(INSIDE, choices=NAMES, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.inside:
        return 0 if _inside(chosen.inside) else 1
    print(
        f"{'':8}{'sent':>8}{'counted':>9}{'opened':>8}{'closed':>8}{'lost':>8}"
        f"{'twice':>7}{'wrong':>7}{'µs each':>9}{'MiB':>6}"
    )
    failed = 0
    for name in [chosen.only] if chosen.only else NAMES:
        words = ["unshare", "--net", sys.executable, "-m", __spec__.name, INSIDE, name]
        failed |= subprocess.run(words, check=False).returncode
    return failed


def _inside(name: str) -> bool:
    prepare()
    made, sent = frames(), COUNT
    with tempfile.TemporaryDirectory() as directory:
        agent = Agent(Path(directory))
        match name:
            case "burst":
                send(made, sent, seconds=0.3)
            case "steady":
                sent = 10 * COUNT
                send(made, sent, seconds=10)
            case "stopped" | "overrun":
                sent = COUNT if name == "stopped" else 5 * COUNT
                agent.freeze()
                send(made, sent, seconds=sent / COUNT)
                agent.thaw()
            case _:
                agent.kill()
                send(made, sent, seconds=1)
                agent = Agent(Path(directory))
        counted = kernel_counter()
        result = agent.finish()
    return _tell(name, sent, counted, result)


def _tell(name: str, sent: int, counted: int, result: Result) -> bool:
    lost = sum(result.gaps.get(source, 0) for source in ("nflog", "totals"))
    each = result.cpu_seconds * 1e6 / sent
    print(
        f"{name:8}{sent:8}{counted:9}{result.opened:8}{result.closed:8}{lost:8}"
        f"{result.twice:7}{result.wrong:7}{each:9.1f}{result.peak_mib:6.0f}",
        flush=True,
    )
    if other := {k: v for k, v in result.gaps.items() if k not in {"nflog", "totals"}}:
        print(f"{'':8}other gaps: {other}", flush=True)
    # What the reader did not hear of may be found among the flows of the kernel.
    is_whole = result.logged + lost == counted == sent
    return is_whole and not result.twice and not result.wrong


if __name__ == "__main__":
    sys.exit(main())

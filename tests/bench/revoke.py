"""How long from the click to the last packet, and to the gateway's report.

Revokes alice again and again while she downloads; between rounds dave enables her
and she enrols anew. Everything is real: `script/bench revoke [--rounds N]`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import datetime

from tests.lab import requirements
from tests.lab.lab import Lab, lab, prepare
from tests.lab.network import WIKI
from tests.lab.processes import LabError, wait_until

WARM_UP = 2


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench revoke")
    parser.add_argument("--rounds", type=int, default=20)
    rounds: int = parser.parse_args(arguments).rounds
    if lacks := requirements.missing():
        print("\n".join(("missing:", *lacks)), file=sys.stderr)
        return 1
    with lab() as made:
        prepare(made)
        made.visitor("alice")
        made.grant(made.visitor("dave"), WIKI, group="engineering")
        results = [_round(made, number) for number in range(rounds + WARM_UP)]
    names = ("commit", "last packet", "gateway's report", "answer to the click")
    print(f"{rounds} rounds, milliseconds from the click")
    print(f"{'':22}{'median':>8}{'90 %':>8}{'worst':>8}")
    for name, values in zip(names, zip(*results[WARM_UP:], strict=True), strict=True):
        print(f"{name:22}{_figures(values)}")
    return 0


def _round(made: Lab, number: int) -> tuple[float, ...]:
    alice, dave = made.visitor("alice"), made.visitor("dave")
    machine = made.machines["alice"]
    machine.connect(alice.enroll(f"laptop-{number}").config)
    download = machine.download(f"http://{WIKI.address4}/stream", str(WIKI.address4))
    user = made.choice(dave, "users", "Alice Archer")
    clicked = time.time_ns()
    answer = dave.call("POST", f"/api/v1/users/{user}/revoke/", {"reason": "bench"})
    answered = time.time_ns()
    if answer.status_code != 202:
        msg = f"the portal answered {answer.status_code}: {answer.text}"
        raise LabError(msg)
    path = f"/api/v1/revocations/{answer.json()['revocation']}/"
    wait_until(lambda: dave.get(path).json()["is_enforced"], what="enforcement")
    time.sleep(0.3)
    last = download.seen().last_ns
    document = dave.get(path).json()
    (gateway,) = document["gateways"]
    committed = datetime.fromisoformat(document["committed_at"]).timestamp()
    download.stop()
    machine.disconnect()
    made.visitors.pop("alice").close()
    dave.submit(f"/manage/users/{user}/reactivate/", {"reason": "bench"})
    return (
        committed * 1e3 - clicked / 1e6,
        (last - clicked) / 1e6,
        float(gateway["enforced_after_ms"]),
        (answered - clicked) / 1e6,
    )


def _figures(values: Sequence[float]) -> str:
    ordered = sorted(values)
    ninth = ordered[min(len(ordered) - 1, round(0.9 * len(ordered)))]
    return f"{statistics.median(ordered):8.0f}{ninth:8.0f}{ordered[-1]:8.0f}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as exc:
        sys.exit(f"script/bench revoke: {exc}")

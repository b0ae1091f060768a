"""How long from the click to the last packet, at thousands of devices on one gateway.

People are revoked one after another while each downloads over TCP and sends 1,000
UDP packets a second through a real tunnel. `script/bench revoke [--devices N]
[--rounds N]`; `--stopped`: the agent is stopped by SIGSTOP before the click;
`--cut-off`: the gateway's wire to the portal is down (and the limit of staleness is
short, so that one need not wait for a quarter of an hour). `--busy` does not wait for
the snapshot of the round before: the portal compiles and the gateway applies it while
the next person is revoked.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.lab import requirements, sniffer
from tests.lab.lab import Lab, lab
from tests.lab.machines import Download
from tests.lab.network import APPS, GATEWAY_ADDRESS, WIKI
from tests.lab.processes import PYTHON, LabError, wait_until

UDP_PORT: Final = 9000
RATE: Final = 1000
WARM_UP: Final = 2
QUIET_SECONDS: Final = 0.4
STALENESS_SECONDS: Final = 20
LONG_POLL_SECONDS: Final = 5
"""With the short limit: a lease has to come before the last one ends."""
PARTED: Final = f"""
table inet parted {{
  chain input {{
    type filter hook input priority 0; ip saddr {GATEWAY_ADDRESS} drop;
  }}
  chain output {{
    type filter hook output priority 0; ip daddr {GATEWAY_ADDRESS} drop;
  }}
}}
"""
STANDING: Final = re.compile(r"(\d+) published, \w+ acknowledged, (\d+) in force")
STAGES: Final = (
    "transaction committed",
    "written to the waiting gateway",
    "received there",
    "elements and peer gone",
    "flows cut",
    "last TCP packet",
    "last UDP packet",
    "report recorded",
    "answer to the click",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Somebody to revoke, and what their machine needs to connect."""

    user: int
    config: str


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench revoke")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--busy", action="store_true")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--stopped", action="store_true")
    mode.add_argument("--cut-off", action="store_true")
    chosen = parser.parse_args(arguments)
    if lacks := requirements.missing():
        print("\n".join(("missing:", *lacks)), file=sys.stderr)
        return 1
    is_slow = chosen.stopped or chosen.cut_off
    rounds = chosen.rounds or (2 if is_slow else 100)
    environment = {}
    if chosen.cut_off:
        environment = {
            "PEERAGE_SNAPSHOT_LIFETIME_SECONDS": str(STALENESS_SECONDS),
            "PEERAGE_LONG_POLL_SECONDS": str(LONG_POLL_SECONDS),
        }
    with lab(environment=environment) as made:
        targets = _prepare(made, chosen.devices, rounds + WARM_UP)
        print(f"{chosen.devices} devices on the gateway, load {os.getloadavg()[0]:.1f}")
        if chosen.stopped:
            _print_alone("agent stopped", made, targets[:rounds], _stopped)
        elif chosen.cut_off:
            what = f"gateway cut off, staleness limit {STALENESS_SECONDS} s"
            _print_alone(what, made, targets[:rounds], _cut_off)
        else:
            found, number = [], 0
            for target in targets:
                if not chosen.busy:
                    number = _rest(made, beyond=number)
                found.append(_round(made, target))
            _print(found[WARM_UP:], is_busy=chosen.busy)
    return 0


def _prepare(made: Lab, devices: int, targets: int) -> Sequence[Target]:
    """Describe everything, fill the database, start the gateway."""
    dave = made.visitor("dave")
    token = made.describe_gateway(dave)
    made.gateway.enroll(made.portal.inner_url, token)
    for app in APPS:
        made.describe_application(dave, app)
    file = made.folder / "targets.jsonl"
    words = (str(devices), str(targets), str(file))
    made.portal.run("crowd", "-m", "tests.bench.measures.crowd", *words)
    made.gateway.start()
    lines = (json.loads(line) for line in file.read_text().splitlines())
    return [Target(user=line["user"], config=line["config"]) for line in lines]


@contextmanager
def _traffic(made: Lab, target: Target) -> Iterator[tuple[Download, Path]]:
    """Connect somebody, download, and send; yield who watches both."""
    machine = made.machines["alice"]
    machine.connect(target.config)
    source = next(
        line.partition("=")[2].split(",")[0].strip().partition("/")[0]
        for line in target.config.splitlines()
        if line.startswith("Address")
    )
    record = machine.logs / "pulse.seen"
    record.unlink(missing_ok=True)
    watch = ["-m", "tests.lab.sniffer", "eth0", source, str(record), "17"]
    made.processes.start(
        "pulse-watch", made.network.inside(WIKI.name, [PYTHON, *watch])
    )
    wait_until(record.exists, what="the watch of UDP")
    download = machine.download(f"http://{WIKI.address4}/stream", str(WIKI.address4))
    pulse = ["-m", "tests.lab.pulse", str(WIKI.address4), str(UDP_PORT), str(RATE)]
    machine.start("pulse", [PYTHON, *pulse])
    try:
        wait_until(lambda: sniffer.read(record).packets > RATE / 4, what="UDP")
        yield download, record
    finally:
        machine.stop("pulse")
        made.processes.stop("pulse-watch")
        download.stop()
        machine.disconnect()


def _click(made: Lab, target: Target) -> tuple[int, int, str]:
    """Revoke; return when it was asked and answered (ns), and where to look."""
    dave = made.visitor("dave")
    clicked = time.time_ns()
    answer = dave.call(
        "POST", f"/api/v1/users/{target.user}/revoke/", {"reason": "bench"}
    )
    answered = time.time_ns()
    if answer.status_code != 202:
        msg = f"the portal answered {answer.status_code}: {answer.text}"
        raise LabError(msg)
    return clicked, answered, f"/api/v1/revocations/{answer.json()['revocation']}/"


def _rest(made: Lab, *, beyond: int) -> int:
    """Wait until a later generation than that is in force; return which one is."""
    dave = made.visitor("dave")
    page = f"/manage/gateways/{made.choice(dave, 'gateways', 'gateway-1')}/"

    def standing() -> tuple[int, int]:
        found = STANDING.search(dave.page(page))
        return (int(found[1]), int(found[2])) if found else (0, 0)

    deadline = time.monotonic() + 60
    while True:
        published, in_force = standing()
        if published == in_force > beyond:
            time.sleep(QUIET_SECONDS)
            return published
        if time.monotonic() > deadline:
            msg = f"generation {published} is published, {in_force} in force"
            raise LabError(msg)
        time.sleep(0.3)


def _round(made: Lab, target: Target) -> tuple[float, ...]:
    """Return the milliseconds from the click to each stage."""
    dave = made.visitor("dave")
    with _traffic(made, target) as (download, record):
        clicked, answered, path = _click(made, target)
        # Nobody asks the portal while it works: that would be measured, too.
        time.sleep(QUIET_SECONDS)
        wait_until(lambda: dave.get(path).json()["is_enforced"], what="enforcement")
        time.sleep(QUIET_SECONDS)
        tcp, udp = download.seen().last_ns, sniffer.read(record).last_ns
        document = dave.get(path).json()
    (gateway,) = document["gateways"]
    received = _ns(gateway["received_at"])
    timings = gateway["timings"]
    gone = sum(
        timings[f"{name}_ms"] for name in ("verify", "persist", "nftables", "wireguard")
    )
    moments = (
        _ns(document["committed_at"]),
        _ns(gateway["notified_at"]),
        received,
        received + gone * 1e6,
        _ns(gateway["enforced_at"]),
        tcp,
        udp,
        _ns(gateway["reported_at"]),
        answered,
    )
    return tuple((moment - clicked) / 1e6 for moment in moments)


def _stopped(made: Lab, target: Target) -> tuple[float, float]:
    """Stop the agent, revoke, and wait for silence; return seconds to the last."""
    with _traffic(made, target) as watched:
        pid = made.processes.pid("agent")
        os.kill(pid, signal.SIGSTOP)
        try:
            return _until_silent(made, target, watched, seconds=75)
        finally:
            os.kill(pid, signal.SIGCONT)


def _cut_off(made: Lab, target: Target) -> tuple[float, float]:
    """Part gateway and portal, revoke, and wait for silence; return seconds.

    Both directions, at the portal's end: an answer that is on its way already would
    else still arrive.
    """
    with _traffic(made, target) as watched:
        made.network.run(None, "nft", "-f", "-", text=PARTED)
        try:
            return _until_silent(made, target, watched, seconds=STALENESS_SECONDS + 75)
        finally:
            made.network.run(None, "nft", "delete", "table", "inet", "parted")


def _until_silent(
    made: Lab, target: Target, watched: tuple[Download, Path], *, seconds: float
) -> tuple[float, float]:
    download, record = watched
    clicked, _, _ = _click(made, target)

    def is_silent() -> bool:
        last = max(download.seen().last_ns, sniffer.read(record).last_ns)
        return time.time_ns() - last > 3_000_000_000

    wait_until(is_silent, what="silence", seconds=seconds)
    return (
        (download.seen().last_ns - clicked) / 1e9,
        (sniffer.read(record).last_ns - clicked) / 1e9,
    )


def _print_alone(what: str, made: Lab, targets: Sequence[Target], act: Any) -> None:  # noqa: ANN401 -- one of the two above
    print(f"{what}: seconds from the click")
    generation = 0
    print(f"{'':10}{'last TCP packet':>18}{'last UDP packet':>18}")
    for number, target in enumerate(targets, 1):
        generation = _rest(made, beyond=generation)
        tcp, udp = act(made, target)
        print(f"round {number:<4}{tcp:18.1f}{udp:18.1f}", flush=True)


def _print(found: Sequence[tuple[float, ...]], *, is_busy: bool) -> None:
    how = "one after another" if is_busy else "each from rest"
    print(f"{len(found)} rounds, {how}: milliseconds from the click")
    print(f"{'':32}{'p50':>8}{'p90':>8}{'p99':>8}{'worst':>8}")
    for name, values in zip(STAGES, zip(*found, strict=True), strict=True):
        ordered = sorted(values)
        shown = [
            statistics.median(ordered),
            *(_percentile(ordered, share) for share in (0.9, 0.99, 1)),
        ]
        print(f"{name:32}" + "".join(f"{value:8.0f}" for value in shown))
    last = [max(row[5], row[6]) for row in found]
    p50, p99 = statistics.median(last), _percentile(sorted(last), 0.99)
    print(f"last packet of either: p50 {p50:.0f} ms (target 100), ", end="")
    print(f"p99 {p99:.0f} ms (target 500), worst {max(last):.0f} ms")


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of all does not exceed."""
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]


def _ns(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() * 1e9


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as exc:
        sys.exit(f"script/bench revoke: {exc}")

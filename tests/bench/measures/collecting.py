"""The agent's own collector on a wire without WireGuard, and a sender of many flows.

In a network namespace of its own (`unshare --net`): `wg0` is one end of a wire here,
with the whole ruleset of a snapshot on it, so that what is measured is the way from the
ruleset to the spool and not a tunnel. The collector is a process of its own, as in
life; it can be stopped and go on.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from gateway.agent import SystemClock
from gateway.conntrack import evict_expired, list_entries
from gateway.counters import read_accepted
from gateway.events import EventReader
from gateway.evidence import Collector
from gateway.journal import Journal
from gateway.netfilter import Nftables, set_switches
from gateway.spool import Spool
from gateway.totals import Totals
from gateway.view import view_of
from policies.compiler.nftables import live_text, ruleset, transaction
from policies.compiler.types import NOTHING_RESOLVED, Snapshot
from tests.gateway.world import device, facts, snapshot

DEVICES: Final = 64
FIRST_DEVICE: Final = 2
HOST: Final = "10.50.0.11"
PORT: Final = 5353
GRANT, APPLICATION = 10, 5
UDP_SECONDS: Final = 2
"""Flows end by themselves as soon, so that ends are part of the measurement."""


def policy() -> Snapshot:
    """Return a snapshot in which user 1 has every device, and may reach `HOST`."""
    clock = SystemClock()
    made = tuple(
        replace(device(number, f"bench{number}", 1))
        for number in range(FIRST_DEVICE, FIRST_DEVICE + DEVICES)
    )
    return snapshot(of=replace(facts(), devices=made), now=clock.now())


def prepare() -> None:
    """Make both wires and load the ruleset, open for an hour."""
    for words in (
        "link set lo up",
        "link add wg0 type veth peer name tun0",
        "link add app0 type veth peer name app1",
        *(f"link set {name} up" for name in ("wg0", "tun0", "app0", "app1")),
        "address add 10.50.0.1/24 dev app0",
        "route add 100.64.0.0/16 dev wg0",
        # Nobody answers there, and nobody is asked where it is.
        f"neighbour add {HOST} lladdr 02:00:00:00:00:01 dev app0",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    set_switches()
    proc = Path("/proc/sys/net")
    for name in ("udp_timeout", "udp_timeout_stream"):
        (proc / f"netfilter/nf_conntrack_{name}").write_text(str(UDP_SECONDS))
    nftables = Nftables()
    table = ruleset(policy(), interface="wg0")
    nftables.run(transaction(None, table, now=SystemClock().now()))
    nftables.run(live_text("wg0", 3600))
    nftables.close()


def frames() -> Iterator[bytes]:
    """Yield packets without end, each the first of a flow of its own."""
    mac = mac_of("wg0")
    target = bytes.fromhex(mac.replace(":", ""))
    ethernet = target + b"\x02\x00\x00\x00\x00\x02" + b"\x08\x00"
    heads = []
    for number in range(FIRST_DEVICE, FIRST_DEVICE + DEVICES):
        source = socket.inet_aton(f"100.64.0.{number}")
        head = struct.pack(
            "!BBHHHBBH4s4s",
            0x45,
            0,
            36,
            0,
            0,
            64,
            17,
            0,
            source,
            socket.inet_aton(HOST),
        )
        total = sum(struct.unpack("!10H", head))
        total = (total & 0xFFFF) + (total >> 16)
        checksum = 0xFFFF - ((total & 0xFFFF) + (total >> 16))
        heads.append(ethernet + head[:10] + struct.pack("!H", checksum) + head[12:])
    ports = struct.Struct("!HHHH")
    tails = [ports.pack(n, PORT, 16, 0) + bytes(8) for n in range(1024, 65536)]
    while True:
        for tail in tails:
            for head in heads:
                yield head + tail


def mac_of(interface: str) -> str:
    """Return the hardware address of an interface of this namespace."""
    shown = subprocess.run(
        ["ip", "-j", "link", "show", interface], capture_output=True, check=True
    )
    return str(json.loads(shown.stdout)[0]["address"])


def send(made: Iterator[bytes], count: int, *, seconds: float) -> float:
    """Send so many packets evenly over so many seconds; return how long it took."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("tun0", 0))
        begun = time.monotonic()
        for number in range(count):
            raw.send(next(made))
            if number % 64 == 0:
                ahead = number * seconds / count - (time.monotonic() - begun)
                if ahead > 0.002:
                    time.sleep(ahead)
        return time.monotonic() - begun


def kernel_counter() -> int:
    """Return how many packets the accepting rules have counted."""
    return sum(read_accepted("peerage_wg0").values())


@dataclass(slots=True)
class Result:
    """What lies in the spool, and what it cost."""

    opened: int
    closed: int
    twice: int
    wrong: int
    logged: int
    gaps: Mapping[str, int]
    cpu_seconds: float
    peak_mib: float


class Agent:
    """The collector in a process of its own."""

    def __init__(self, state: Path) -> None:
        """Start it and wait until it reads."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._line()

    def freeze(self) -> None:
        """Stop the reader where it stands."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        self._close()

    def finish(self) -> Result:
        """Let it read what is left, end it, and return what it wrote."""
        assert self._process.stdin is not None
        self._process.stdin.write("end\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._line())
        self._process.wait()
        self._close()
        return Result(**found)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def main(state: Path) -> int:
    """Collect until told to end; print what the spool holds."""
    clock, events, spool = SystemClock(), EventReader(), Spool(state / "spool")
    totals = Totals(
        state,
        read=lambda: read_accepted("peerage_wg0"),
        boot_id="bench",
        clock=clock,
    )
    collector = Collector(
        events=events,
        entries=list_entries,
        evict=evict_expired,
        spool=spool,
        journal=Journal(state),
        clock=clock,
        totals=totals,
    )
    collector.set_view(view_of(policy(), clock, resolved=lambda: NOTHING_RESOLVED))
    collector.begin("bench")
    print("ready", flush=True)
    os.set_blocking(sys.stdin.fileno(), False)
    ending: float | None = None
    is_told = False
    while ending is None or clock.ticks() < ending:
        collector.step()
        is_told = is_told or bool(sys.stdin.readline())
        if is_told and (ending is None or not events.is_drained):
            ending = clock.ticks() + UDP_SECONDS + 4
    collector.end()
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = told(spool)
    found["logged"] = totals.sums().logged
    found["cpu_seconds"] = used.ru_utime + used.ru_stime
    found["peak_mib"] = used.ru_maxrss / 1024
    print(json.dumps(found), flush=True)
    spool.close()
    events.close()
    return 0


def told(spool: Spool) -> dict[str, Any]:
    """Return what the records of a spool say."""
    begun: set[str] = set()
    closed, twice, wrong, gaps = 0, 0, 0, Counter[str]()
    for body in _bodies(spool):
        record = json.loads(body)
        match record["kind"]:
            case "open":
                place = int(record["source"].rpartition(".")[2])
                right = (place, GRANT, APPLICATION)
                told_as = (record["device"], record["grant"], record["application"])
                wrong += told_as != right
                twice += record["flow"] in begun
                begun.add(record["flow"])
            case "close":
                closed += record["flow"] in begun
            case "gap":
                gaps[record["source"]] += record["lost"]
    return {
        "opened": len(begun),
        "closed": closed,
        "twice": twice,
        "wrong": wrong,
        "gaps": dict(gaps),
    }


def _bodies(spool: Spool) -> Iterator[bytes]:
    """Yield every record, acknowledging on the way, as a portal would."""
    while batch := spool.batch(10_000):
        yield from (body for _, body in batch)
        spool.acknowledge(batch[-1][0])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

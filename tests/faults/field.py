"""A gateway whose agent is a process of its own, and a portal that can be made ill.

On the wires of `tests/gateway/netns/lab.py`, with one more: the portal stands in a
namespace behind `gportal`, so that this way alone can be cut. Use inside `@isolated`:

    with field() as made:
        alice = made.probe("alice", HOST)
        alice.opens()
        made.partition()
        …
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from pathlib import Path
from typing import Final

from gateway import wireguard
from gateway.agent import SystemClock
from gateway.client import Answer
from gateway.conntrack import list_entries
from gateway.errors import PortalUnreachableError
from gateway.netfilter import Nftables
from gateway.types import Entry
from policies.compiler.types import Facts
from tests.faults.probing import Probe, echo
from tests.gateway.fakes import FakePortal
from tests.gateway.httpportal import TOKEN, HttpFake
from tests.gateway.netns import lab
from tests.gateway.netns.lab import command, until
from tests.gateway.world import facts, snapshot
from tests.policies.compiler.build import application

PORTAL: Final = "portal"
PORTAL_WIRE: Final = "gportal"
PORTAL_ADDRESS: Final = "198.51.100.2"
GATEWAY_ADDRESS: Final = "198.51.100.1"
PORTAL_PORT: Final = 8000
HOST: Final = "10.50.0.10"
"""The group's application: alice's and bob's (UDP 7007, TCP 8080)."""
HOST6: Final = "fd50::10"
OWN_HOST: Final = "10.50.0.11"
"""Alice's alone (UDP 7007 and ICMP)."""
LEASE: Final = 900.0
KILL_FILE: Final = "kill"
VARIABLE: Final = "PEERAGE_TEST_KILL"
"""Names the file that `killing_agent` looks for."""


def policy() -> Facts:
    """Return the world of `tests.gateway.world`, its applications with an echo."""
    return replace(
        facts(),
        applications=(
            application(
                3,
                *("10.50.0.10/32 tcp 8080", "fd50::10/128 tcp 8080"),
                *("10.50.0.10/32 udp 7007", "fd50::10/128 udp 7007"),
            ),
            application(5, "10.50.0.11/32 udp 7007", "10.50.0.11/32 icmp"),
        ),
    )


class IllPortal(FakePortal):
    """Signs fresh leases by the clock; can fall silent, or take its time."""

    def __init__(self) -> None:
        """Be well; a poll waits a second for news."""
        super().__init__(wait=1.0)
        self.system = SystemClock()
        self.delay = 0.0
        self.polls = 0
        self.raw: bytes | None = None
        """An envelope to be answered in place of the snapshot, until it is None."""
        self.answering = threading.Event()
        self.answering.set()

    def poll(
        self, *, after: int, epoch: int, holds: str = "", takes_delta: bool = False
    ) -> Answer:
        """Answer, when well, with a lease of this moment."""
        self.polls += 1
        self._be_ill()
        answer = super().poll(
            after=after, epoch=epoch, holds=holds, takes_delta=takes_delta
        )
        self._be_ill()
        held = self._snapshot
        assert held is not None
        return replace(
            answer,
            snapshot=self.raw or answer.snapshot,
            lease=self.signer.lease(
                held, issued=self.system.now(), seconds=self.lease_seconds
            ),
        )

    def send_evidence(self, records: Sequence[bytes], *, spool: str) -> bytes:
        """Take evidence, when well."""
        self._be_ill()
        return super().send_evidence(records, spool=spool)

    def acknowledge(self, acknowledgement: Mapping[str, object]) -> None:
        """Take an acknowledgement, when well."""
        self._be_ill()
        super().acknowledge(acknowledgement)

    def _be_ill(self) -> None:
        self.answering.wait()
        time.sleep(self.delay)
        if not self.is_reachable:
            raise PortalUnreachableError("nobody answers")


@dataclass(slots=True, kw_only=True)
class Field:
    """The lab; `publish` first, or let `field` do it."""

    portal: IllPortal
    http: HttpFake
    state: Path
    generation: int = 0
    program: tuple[str, ...] = ("-m", "gateway")
    agents: list[subprocess.Popen[bytes]] = attribute(default_factory=list)
    probes: list[Probe] = attribute(default_factory=list)

    # The portal

    def publish(self, of: Facts | None = None) -> int:
        """Sign the next generation; return its number."""
        self.generation += 1
        made = snapshot(
            self.generation, of=of or policy(), now=self.portal.system.now()
        )
        self.portal.publish(made)
        return self.generation

    def applied(self, generation: int, seconds: float = 20) -> dict[str, object]:
        """Wait until a generation is acknowledged without error; return that."""

        def found() -> list[dict[str, object]]:
            return [
                dict(a)
                for a in list(self.portal.acknowledgements)
                if a["generation"] == generation and not a["error"]
            ]

        until(found, f"generation {generation}", seconds)
        return found()[-1]

    def errors(self) -> list[str]:
        """Return the errors that were acknowledged."""
        told = list(self.portal.acknowledgements)
        return [str(a["error"]) for a in told if a["error"]]

    def records(self, kind: str) -> list[dict[str, object]]:
        """Return the evidence of a kind that has reached the portal."""
        return [r for r in list(self.portal.records) if r["kind"] == kind]

    # The agent

    @property
    def agent(self) -> subprocess.Popen[bytes]:
        """The agent that was started last."""
        return self.agents[-1]

    def start(
        self,
        *,
        program: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start an agent; `program` may be one that runs the agent and spoils it."""
        words = [sys.executable, *(program or self.program), "run", "--interface"]
        runtime = str(self.runtime)
        kill_file = str(self.state.with_name(KILL_FILE))
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                [*words, "wg0", "--state", str(self.state), "--runtime", runtime],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, VARIABLE: kill_file, **(environment or {})},
            )
        self.agents.append(started)
        return started

    def kill(self) -> None:
        """Kill the agent with SIGKILL and wait until it is gone."""
        self.agent.kill()
        self.agent.wait()

    def freeze(self) -> None:
        """Stop the agent where it stands (SIGSTOP)."""
        self.agent.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self.agent.send_signal(signal.SIGCONT)

    @property
    def runtime(self) -> Path:
        """Where the agent publishes its report."""
        return self.state.with_name("runtime")

    @property
    def log(self) -> Path:
        """What every agent wrote."""
        return self.state.parent / "agent.log"

    def said(self) -> str:
        """Return what every agent wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def spooled(self) -> int:
        """Return how many bytes of evidence lie on disk."""
        return sum(path.stat().st_size for path in self.state.glob("spool/*.seg"))

    def kill_at(self, point: str) -> None:
        """Let an agent that `field(is_killable=True)` started die at a point."""
        self.state.with_name(KILL_FILE).write_text(point, encoding="utf-8")

    def spare(self) -> None:
        """Let no agent die any more."""
        self.state.with_name(KILL_FILE).unlink()

    # The kernel

    def is_live(self) -> bool:
        """Return whether the kernel holds the lease."""
        return b"expires" in self._nft("list", "set", "inet", "peerage_wg0", "live")

    def table(self) -> str:
        """Return what the kernel holds, as nft(8) prints it."""
        return self._nft("list", "table", "inet", "peerage_wg0").decode()

    def nft(self, script: str) -> None:
        """Change the ruleset as another program would."""
        writer = Nftables()
        writer.run(script)
        writer.close()

    def peers(self) -> frozenset[str]:
        """Return the public keys on the interface."""
        driver = wireguard.userspace("wg0")
        assert driver is not None
        return frozenset(driver.read().peers)

    def flows(self) -> list[Entry]:
        """Return what conntrack holds."""
        return list_entries()

    @staticmethod
    def _nft(*words: str) -> bytes:
        done = subprocess.run(["nft", *words], capture_output=True, check=False)
        return done.stdout

    # The way between agent and portal

    def partition(self) -> None:
        """Cut the wire."""
        command("ip", "link", "set", PORTAL_WIRE, "down")

    def heal(self) -> None:
        """Mend the wire, and every rule and queue on it."""
        command("ip", "link", "set", PORTAL_WIRE, "up")
        self.nft("add table inet wire\ndelete table inet wire\n")
        for words in (("-n", PORTAL, "up0"), (PORTAL_WIRE,)):
            place, wire = words[:-1], words[-1]
            subprocess.run(
                ["tc", *place, "qdisc", "delete", "dev", wire, "root"],
                capture_output=True,
                check=False,
            )

    def deafen(self) -> None:
        """Let the agent send and not hear: drop what comes from the portal."""
        self._drop("input", f'iifname "{PORTAL_WIRE}" drop')

    def mute(self) -> None:
        """Let the agent hear and not send."""
        self._drop("output", f'oifname "{PORTAL_WIRE}" drop')

    def lose(self, percent: int) -> None:
        """Lose so many of a hundred packets on the way from the portal."""
        chance = f"numgen random mod 100 < {percent} drop"
        self._drop("input", f'iifname "{PORTAL_WIRE}" {chance}')

    def slow(self, rate: str) -> None:
        """Let no more through, in each direction, than `rate` (as tc(8) writes it)."""
        shape = ("root", "tbf", "rate", rate, "burst", "4k", "latency", "400ms")
        command("tc", "qdisc", "add", "dev", PORTAL_WIRE, *shape)
        command("tc", "-n", PORTAL, "qdisc", "add", "dev", "up0", *shape)

    def _drop(self, hook: str, rule: str) -> None:
        self.nft(
            "add table inet wire\n"
            f"add chain inet wire {hook}"
            f" {{ type filter hook {hook} priority -300; }}\n"
            f"add rule inet wire {hook} {rule}\n"
        )

    # Packets

    def probe(self, device: str, host: str = HOST, *, fresh: bool = False) -> Probe:
        """Start to probe; it ends with the lab."""
        made = Probe(device, host, fresh).start()
        self.probes.append(made)
        return made


@contextlib.contextmanager
def field(
    *, lease: float = LEASE, start: bool = True, is_killable: bool = False
) -> Iterator[Field]:
    """Build the lab; publish the first generation, start the agent, connect both.

    `lease` is what the portal signs, in seconds: how long the gateway may go on
    alone. Without `start` nothing is published and no agent runs.
    """
    lab.prepare()
    _wire_portal()
    server = lab.Server()
    server.start()
    echo(HOST, HOST6, OWN_HOST)
    portal = IllPortal()
    portal.lease_seconds = lease
    http = lab.inside(PORTAL, lambda: HttpFake(portal, PORTAL_ADDRESS, PORTAL_PORT))
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    state = Path(tempfile.mkdtemp(prefix="peerage-fault-")) / "state"
    made = Field(portal=portal, http=http, state=state)
    if is_killable:
        made.program = ("-m", "tests.faults.killing_agent")
    _enroll(made)
    with ExitStack() as closing:
        for name in lab.DEVICES:
            closing.enter_context(lab.device(name, gateway_key=http.wireguard_key))
        closing.callback(_end, made, server)
        if start:
            made.publish()
            made.start()
            made.applied(1)
        yield made


def _enroll(made: Field) -> None:
    url = f"http://{PORTAL_ADDRESS}:{PORTAL_PORT}"
    command(
        *(sys.executable, "-m", "gateway", "enroll", "--portal", url),
        *("--token", TOKEN, "--insecure-http", "--state", str(made.state)),
    )


def _end(made: Field, server: lab.Server) -> None:
    for probe in made.probes:
        probe.stop()
    made.portal.answering.set()
    for agent in made.agents:
        agent.kill()
        agent.wait()
    server.stop()
    made.http.server_close()


def _wire_portal() -> None:
    wire = ("ip", "link", "add", PORTAL_WIRE, "type", "veth", "peer", "up0")
    command("ip", "netns", "add", PORTAL)
    command(*wire)
    command("ip", "link", "set", "up0", "netns", PORTAL)
    command("ip", "address", "add", f"{GATEWAY_ADDRESS}/30", "dev", PORTAL_WIRE)
    command("ip", "link", "set", PORTAL_WIRE, "up")
    inner = ("ip", "-n", PORTAL)
    command(*inner, "address", "add", f"{PORTAL_ADDRESS}/30", "dev", "up0")
    command(*inner, "link", "set", "lo", "up")
    command(*inner, "link", "set", "up0", "up")

"""Kill the agent while it applies a change; then see what passes.

`script/faults --kills N` (inside namespaces of its own). In each round a random policy
is applied, flows are begun under it, and a process that applies another one is killed
at a point chosen at random (one in five at a moment chosen at random). Judged by
packets, and by which peers the interface holds:

* What can begin is never more than the old policy or the new one allows.
* Once the transaction is done, or loosening begins, it is not more than the new one.
* Once flows are cut, or loosening begins, none goes on that the new one forbids.
* Before the kernel was touched, all that was allowed still is.
* The next start holds exactly the policy that was on disk, flows included; without
  one the kernel closes by itself within a minute.

The interface that the ruleset guards is a wire here, and a WireGuard interface beside
it holds the peers: so that packets of many devices can be made without handshakes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, cast

from gateway import wireguard
from gateway.agent import SystemClock
from gateway.client import Answer
from gateway.engine import Engine
from gateway.kernel import Kernel, LinuxKernel
from gateway.store import Store
from gateway.trust import Judge
from gateway.types import FlowTuple
from gateway.view import View
from gateway.wireguard import UapiWireGuard, WireGuard
from policies.compiler.compile import compile_snapshot
from policies.compiler.types import Facts, Snapshot
from tests.faults import killing
from tests.faults.isolated import SPACES
from tests.faults.kill_plants import PLANTS, planted
from tests.faults.kill_policies import FLOWS, Flow, allowed, changed, random_policy
from tests.faults.kill_wire import Wire
from tests.gateway.netns.lab import command, until
from tests.gateway.world import private_text, signer
from tests.policies.compiler.build import key
from tests.policies.compiler.wire import QUIET, WIRES

MOST_STRIKES: Final = 24
TOUCHING: Final = frozenset(
    {"nftables", "remove peers", "cut flows", "set port", "add routes", "set peers"}
)
LOOSENING: Final = ("set port", "add routes", "set peers")
PEERS: Final = "peers0"


class PeersElsewhere(LinuxKernel):
    """A kernel whose peers are on the WireGuard interface beside the wire."""

    def _find_wireguard(self) -> WireGuard:
        return UapiWireGuard(wireguard.SOCKETS / f"{PEERS}.sock")


class Handle:
    """Stands for a kernel that can be replaced under an engine."""

    def __init__(self, kernel: PeersElsewhere) -> None:
        """Stand for this one first."""
        self.kernel = kernel

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- any of a kernel's
        """Be the kernel."""
        return getattr(self.kernel, name)


@dataclass(slots=True)
class Told:
    """Writes each point it comes to into a pipe, and dies at the one meant."""

    pipe: int
    target: int
    strikes: int = 0

    def strike(self, label: str) -> None:
        """Come to a point."""
        self.strikes += 1
        os.write(self.pipe, f"{label}\n".encode())
        if self.strikes == self.target:
            killing.die()


class Nobody:
    """Observes nothing."""

    def set_view(self, view: View) -> None:
        """Ignore it."""

    def revoking(self, flows: Iterable[FlowTuple]) -> None:
        """Ignore it."""


@dataclass(slots=True)
class Tally:
    """How the rounds went."""

    kills: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    restarts: int = 0
    packets: int = 0
    faults: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return a table by the point of the kill."""
        total = self.kills.total()
        rows = [f"{count:6}  {label}" for label, count in sorted(self.kills.items())]
        return [
            *rows,
            f"{total:6}  kills",
            f"{self.restarts:6}  of them or of what finished, followed by a start",
            f"{self.finished:6}  changes that finished unharmed",
            f"{self.packets:6}  packets judged",
            f"{len(self.faults):6}  breaches",
            *self.faults,
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One change: what was allowed, what is to be, and the flows that run."""

    old: Snapshot
    new: Snapshot
    before: frozenset[Flow]
    after: frozenset[Flow]


class Loop:
    """The lab of all rounds; make one in namespaces of its own."""

    def __init__(self, *, seed: int, plant: str = "") -> None:
        """Bring up wires and the interface that holds the peers."""
        subprocess.run(["sh", "-e"], input=WIRES, text=True, check=True)
        wireguard.SOCKETS.mkdir(parents=True, exist_ok=True)
        command("mount", "-t", "tmpfs", "tmpfs", str(wireguard.SOCKETS))
        subprocess.Popen(
            ["wireguard-go", "--foreground", PEERS],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: wireguard.userspace(PEERS), "the interface of the peers")
        self._random = Random(seed)  # noqa: S311 -- reproducible, not secret
        self._plant = plant
        self._clock = SystemClock()
        self._folder = Path(tempfile.mkdtemp(prefix="peerage-kills-"))
        command("mount", "-t", "tmpfs", "tmpfs", str(self._folder))
        self._wire = Wire()
        self.tally = Tally()

    def run(self, kills: int) -> Tally:
        """Kill so many times, or until something is breached."""
        while self.tally.kills.total() < kills and not self.tally.faults:
            self._round()
        return self.tally

    def _round(self) -> None:
        state = self._folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()
        now = self._clock.now()
        facts = random_policy(self._random, now=now)
        new = changed(self._random, facts, now=now)
        made = self._made(facts, new)
        kernel = self._kernel()
        self._forget(kernel)
        handle = Handle(kernel)
        engine = self._engine(state, handle)
        engine.open()
        engine.receive(self._answer(made.old))
        engine.renew(is_healthy=True)
        self._wire.begin(made.before)
        self._check("applied", made.before, made.before, is_exact=True)
        kernel.close()  # One agent at a time enforces on an interface.
        history, is_killed = self._killed(engine, handle, made)
        label = history[-1] if history else "at the start"
        if is_killed:
            self.tally.kills[label] += 1
        else:
            self.tally.finished += 1
        self._judge(made, history, label, is_killed=is_killed)
        if self._random.random() < 0.5:
            self._restart(state, made, label)

    def _judge(
        self, made: Round, history: list[str], label: str, *, is_killed: bool
    ) -> None:
        """Hold what passes against what may."""
        steps = [word.partition(":")[0] for word in history]
        is_loosening = any(f"{step}:before" in history for step in LOOSENING)
        is_tight = "nftables:after" in history or is_loosening
        is_cut = "cut flows:after" in history or is_loosening
        both = made.before | made.after
        if not is_killed:
            self._check("finished", made.after, made.after, is_exact=True)
        elif not TOUCHING.intersection(steps):
            self._check(label, made.before, made.before, is_exact=True)
        else:
            self._check(
                label,
                made.after if is_tight else both,
                made.after if is_cut else made.before,
            )

    def _restart(self, state: Path, made: Round, label: str) -> None:
        """Start on what is on disk: exactly that is in force."""
        kernel = self._kernel()
        engine = self._engine(state, Handle(kernel))
        engine.open()
        held = engine.held
        is_new = held is not None and held.snapshot.generation == made.new.generation
        expected = made.after if is_new else made.before
        if not engine.renew(is_healthy=True):
            # The lease on disk is of the generation before.
            self._check(f"{label}, not heard yet", frozenset(), frozenset())
            engine.receive(self._answer(made.new if is_new else made.old))
            engine.renew(is_healthy=True)
        self._check(f"{label}, started again", expected, expected, is_exact=True)
        self.tally.restarts += 1
        kernel.close()

    def _check(
        self,
        what: str,
        may_begin: frozenset[Flow],
        may_go_on: frozenset[Flow],
        *,
        is_exact: bool = False,
    ) -> None:
        """Send everything that can be sent and note what should not have passed."""
        seen = self._wire.pass_through()
        self.tally.packets += 2 * len(FLOWS)
        peers = UapiWireGuard(wireguard.SOCKETS / f"{PEERS}.sock").read().peers
        held = {f for f in FLOWS if key(f.device) in peers}
        begun, gone_on = seen.begun & held, seen.gone_on & held
        if excess := begun - may_begin:
            self._breach(what, "may not begin", excess)
        if excess := gone_on - may_go_on:
            self._breach(what, "may not go on", excess)
        if is_exact and (missing := may_begin - begun):
            self._breach(what, "should begin", missing)

    def _breach(self, what: str, how: str, flows: Iterable[Flow]) -> None:
        named = ", ".join(f"{f.device}→{f.host}:{f.port}" for f in sorted(flows))
        number = self.tally.kills.total()
        self.tally.faults.append(f"kill {number} ({what}): {how}: {named}")

    def _killed(
        self, engine: Engine, handle: Handle, made: Round
    ) -> tuple[list[str], bool]:
        """Apply the change in a process that dies; return the points it came to."""
        target = self._random.randint(1, MOST_STRIKES)
        moment = self._random.random() < 0.2
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reading)
            # Tests fork without threads: the child is the agent, and never returns.
            dying = Told(writing, 0 if moment else target)
            self._apply(engine, handle, made, dying)
        os.close(writing)
        if moment:
            time.sleep(self._random.uniform(0.0, 0.02))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(reading, encoding="utf-8") as told:
            history = told.read().splitlines()
        is_killed = os.WIFSIGNALED(status)
        if not is_killed and os.waitstatus_to_exitcode(status):
            self.tally.faults.append(f"the agent failed after {history}")
        return history, is_killed

    def _apply(self, engine: Engine, handle: Handle, made: Round, told: Told) -> None:
        """Be the agent, from the answer of a poll to the renewed gate; never return."""
        code = 1
        try:
            handle.kernel = self._kernel()  # Sockets of its own.
            killing.arm(told.strike)
            planted(self._plant)  # After: each of its transactions is a point.
            engine.receive(self._answer(made.new))
            engine.renew(is_healthy=True)
            code = 0
        except Exception:  # noqa: BLE001 -- told, and told apart from a kill
            traceback.print_exc()
        os._exit(code)

    def _made(self, old: Facts, new: Facts) -> Round:
        now = self._clock.now()
        policies = [
            compile_snapshot(given, epoch=1, generation=number, now=now)
            for number, given in enumerate((old, new), start=1)
        ]
        before, after = (allowed(policy, now=now) for policy in policies)
        return Round(old=policies[0], new=policies[1], before=before, after=after)

    def _answer(self, policy: Snapshot) -> Answer:
        signs = signer()
        return Answer(
            snapshot=signs.snapshot(policy),
            lease=signs.lease(policy, issued=self._clock.now()),
        )

    def _kernel(self) -> PeersElsewhere:
        kernel = PeersElsewhere("wg0", wireguard_log=self._folder / "wireguard.log")
        kernel.prepare(private_key=private_text("gateway"))
        return kernel

    def _engine(self, state: Path, kernel: Handle) -> Engine:
        return Engine(
            judge=Judge(anchor=signer().anchor()),
            store=Store(state),
            kernel=cast("Kernel", kernel),
            observer=Nobody(),
            clock=self._clock,
            boot_id="kills",
        )

    @staticmethod
    def _forget(kernel: PeersElsewhere) -> None:
        """Let a round begin as a boot does: no table, no peers, no flows."""
        kernel.run("flush ruleset")
        kernel.remove_peers(kernel.peers().peers)
        kernel.prepare(private_key=private_text("gateway"))
        subprocess.run(["conntrack", "-F"], capture_output=True, check=True)
        subprocess.run(["sh", "-ec", QUIET], check=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the loop in namespaces of its own; return the exit status."""
    parser = argparse.ArgumentParser(prog="script/faults")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    parser.add_argument("--plant", choices=PLANTS, default="")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not options.inside:
        words = sys.argv[1:] if arguments is None else arguments
        seed = ("--seed", str(options.seed))
        inner = [sys.executable, "-m", "tests.faults.kills", *words, *seed, "--inside"]
        return subprocess.run([*SPACES, *inner], check=False).returncode
    begun = time.monotonic()
    tally = Loop(seed=options.seed, plant=options.plant).run(options.kills)
    lasted = time.monotonic() - begun
    rate = tally.kills.total() / lasted
    print(*tally.lines(), sep="\n")
    print(f"{lasted:6.0f}  seconds, {rate:.1f} kills a second, seed {options.seed}")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())

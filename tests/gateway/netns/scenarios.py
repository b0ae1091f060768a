"""What happens with real packets; each scenario prints facts as one JSON object.

`python -m tests.gateway.netns.scenarios NAME`, inside `unshare --net --mount`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from gateway import config, names, resolver
from gateway.agent import SystemClock
from gateway.conntrack import list_entries
from gateway.netfilter import Nftables
from policies.compiler.holdings import holdings, holdings_digest
from policies.compiler.nftables import live_text
from tests.gateway.fakes import FakePortal
from tests.gateway.httpportal import TOKEN, HttpFake, serving
from tests.gateway.netns import lab
from tests.gateway.netns.lab import GatewayUnderTest, Server, Stream, fetch, ping, until
from tests.gateway.netns.nameserver import NameServer
from tests.gateway.world import ALICE, BOB, facts, snapshot, without
from tests.policies.compiler.build import application

Facts = dict[str, object]
BYTES: Final = 100_000


@contextlib.contextmanager
def gateway_alone() -> Iterator[GatewayUnderTest]:
    """Build the lab and a gateway whose agent has not started."""
    lab.prepare()
    server, gateway = Server(), GatewayUnderTest()
    server.start()
    pid = wireguard_pid()
    try:
        yield gateway
    finally:
        # The agent first: it would start another.
        gateway.stop()
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        server.stop()


@contextlib.contextmanager
def world() -> Iterator[GatewayUnderTest]:
    """Publish generation 1, start the agent, connect both devices."""
    with gateway_alone() as gateway:
        gateway.portal.publish(snapshot(now=gateway.clock.now()))
        gateway.agent.start()
        gateway.applied(1)
        with (
            lab.device("alice", gateway_key=gateway.public),
            lab.device("bob", gateway_key=gateway.public),
        ):
            yield gateway


def wireguard_pid() -> int:
    """Return the process that serves wg0: the one child of this process."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    return int(children.read_text(encoding="ascii").split()[0])


def reach() -> Facts:
    """Reach what is granted, on both families, and nothing else."""
    with world() as gateway:
        expected = snapshot(now=gateway.clock.now())
        found: Facts = {
            "granted_v4": fetch("alice", "10.50.0.10", BYTES),
            "granted_v6": fetch("alice", "fd50::10", BYTES),
            "bob_granted_v4": fetch("bob", "10.50.0.10", BYTES),
            "denied_v4": fetch("alice", "10.50.0.11", 1, seconds=1),
            "denied_v6": fetch("alice", "fd50::11", 1, seconds=1),
            "granted_ping": ping("alice", "10.50.0.11"),
            "denied_ping": ping("bob", "10.50.0.11"),
            "lateral": ping("alice", "100.64.0.8"),
            "input": ping("alice", "10.50.0.1"),
            "observed_digest": gateway.applied(1)["observed_digest"],
            "expected_digest": holdings_digest(
                holdings(expected, "wg0", now=gateway.clock.now())
            ),
        }
        until(lambda: len(gateway.records("close")) >= 3, "closes", 20)
        found["opens"] = gateway.records("open")
        found["closes"] = gateway.records("close")
        found["denies"] = gateway.records("deny")
        found["gaps"] = gateway.records("gap")
        return found


def revoke() -> Facts:
    """Revoke alice while alice and bob download; restart nothing."""
    with world() as gateway:
        alice, bob = Stream("alice", "10.50.0.10"), Stream("bob", "10.50.0.10")
        control = alice.is_running() and bob.is_running()
        gateway.portal.publish(
            snapshot(2, of=without([ALICE], facts()), now=gateway.clock.now())
        )
        decided = time.monotonic()
        acknowledgement = gateway.applied(2)
        until(lambda: gateway.records("close"), "the close of the cut flow")
        return {
            "control": control,
            "alice_runs": alice.is_running(),
            "bob_runs": bob.is_running(),
            "cut_after_ms": round((alice.last - decided) * 1000, 1),
            "alice_again": fetch("alice", "10.50.0.10", 1, seconds=1),
            "bob_again": fetch("bob", "10.50.0.10", 5),
            "acknowledgement": acknowledgement,
            "closes": gateway.records("close"),
            "peers": len(gateway.kernel.peers().peers),
            "marks": sorted({e.mark for e in list_entries()}),
        }


def narrow() -> Facts:
    """Take one application from alice: only her flows to it are cut."""
    with world() as gateway:
        alice, bob = Stream("alice", "10.50.0.10"), Stream("bob", "10.50.0.10")
        pinged = ping("alice", "10.50.0.11")
        before = facts()
        group_loses_alice = replace(before, memberships=((2, 4),))
        gateway.portal.publish(
            snapshot(2, of=group_loses_alice, now=gateway.clock.now())
        )
        acknowledgement = gateway.applied(2)
        handshakes = gateway.kernel.peers().peers.keys()
        return {
            "pinged": pinged,
            "alice_runs": alice.is_running(),
            "bob_runs": bob.is_running(),
            "alice_pings": ping("alice", "10.50.0.11"),
            "flows_cut": acknowledgement["flows_cut"],
            "peers": len(handshakes),
        }


def expire() -> Facts:
    """Let the lease element end by itself: the kernel closes without any agent."""
    with world() as gateway:
        alice = Stream("alice", "10.50.0.10")
        gateway.stop()
        nftables = Nftables()
        nftables.run(live_text("wg0", 2))
        begun = time.monotonic()
        control = alice.is_running()
        until(lambda: time.monotonic() - alice.last > 1, "the kernel to close", 10)
        closed_after = alice.last - begun
        refused = fetch("alice", "10.50.0.10", 1, seconds=1)
        nftables.run(live_text("wg0", 30))
        opened_again = fetch("bob", "10.50.0.10", 7)
        return {
            "control": control,
            "closed_after": closed_after,
            "refused": refused,
            "opened_again": opened_again,
        }


def restart() -> Facts:
    """Stop the agent and start another on the same state: nobody notices."""
    with world() as gateway:
        alice = Stream("alice", "10.50.0.10")
        until(lambda: gateway.records("open"), "the open")
        gateway.stop()
        gateway.build()
        gateway.agent.start()
        running = alice.is_running()
        alice.close()
        until(lambda: gateway.records("close"), "the close", 20)
        return {
            "running": running,
            "peers": len(gateway.kernel.peers().peers),
            "opens": gateway.records("open"),
            "closes": gateway.records("close"),
            "starts": len(gateway.records("start")),
            "gaps": gateway.records("gap"),
            "generation": gateway.engine.generation,
        }


def closed() -> Facts:
    """Start without a portal: forwarding is on, and nothing passes."""
    with gateway_alone() as gateway:
        gateway.portal.is_reachable = False
        gateway.agent.start()
        forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii")
        with lab.device("alice", gateway_key=gateway.public):
            refused = fetch("alice", "10.50.0.10", 1, seconds=1)
            gateway.portal.is_reachable = True
            gateway.portal.publish(snapshot(now=gateway.clock.now()))
            gateway.applied(1)
            # A device whose handshake was ignored tries again after five seconds.
            until(lambda: fetch("alice", "10.50.0.10", 9), "the gate to open", 15)
            return {"forwarding": forwarding.strip(), "refused": refused}


def planted() -> Facts:
    """Break the ruleset on purpose: the probes of `reach` must notice."""
    with world() as gateway:
        # A device's tunnel is known from its first handshake on.
        fetch("bob", "10.50.0.10", 1)
        before = fetch("alice", "10.50.0.11", 6, seconds=1)
        gateway.kernel.run(
            "flush chain inet peerage_wg0 forward\n"
            "add rule inet peerage_wg0 forward accept\n"
        )
        return {
            "before": before,
            "after": fetch("alice", "10.50.0.11", 6, seconds=1),
            "lateral": ping("alice", "100.64.0.8"),
            "digest": holdings_digest(gateway.kernel.holdings(now=gateway.clock.now())),
            "acknowledged": gateway.applied(1)["observed_digest"],
        }


def session_end() -> Facts:
    """End a session by its time alone: the kernel and the sweep do it."""
    with world() as gateway:
        bob = Stream("bob", "10.50.0.10")
        alice = Stream("alice", "10.50.0.10")
        now = gateway.clock.now()
        ending = replace(
            facts(),
            devices=tuple(
                replace(d, expires_at=now + timedelta(seconds=3)) if d.id == BOB else d
                for d in facts().devices
            ),
        )
        gateway.portal.publish(snapshot(2, of=ending, now=now))
        gateway.applied(2)
        control = bob.is_running(0.3)
        time.sleep(3.5)
        return {
            "control": control,
            "bob_runs": bob.is_running(),
            "alice_runs": alice.is_running(),
            "marks": sorted({e.mark for e in list_entries()}),
        }


def flushed() -> Facts:
    """Flush the ruleset while no agent runs, and open what is forbidden meanwhile."""
    with world() as gateway:
        alice = Stream("alice", "10.50.0.10")
        before = fetch("alice", "10.50.0.11", 6, seconds=1)
        gateway.stop()
        # Without an agent nothing closes: what begins now must not live on.
        gateway.kernel.run("flush ruleset")
        smuggled = Stream("alice", "10.50.0.11")
        gateway.kernel.prepare(private_key=gateway.private)
        gateway.build()
        gateway.agent.start()
        until(lambda: fetch("bob", "10.50.0.10", 5), "the gate to open", 15)
        return {
            "before": before,
            "smuggled_got": smuggled.got,
            "smuggled_runs": smuggled.is_running(),
            "alice_runs": alice.is_running(),
        }


@contextlib.contextmanager
def named_world(
    *destinations: str, other: str = ""
) -> Iterator[tuple[GatewayUnderTest, NameServer]]:
    """Run a gateway whose applications are names, and the server that resolves them.

    Application 3 (alice's and bob's) listens at `destinations`, application 5
    (alice's alone) at `other`. TTLs may be as short as a second here.
    """
    names.SHORTEST = resolver.NEGATIVE_TTL = 1.0  # type: ignore[misc]
    lab.prepare()
    server = Server()
    server.start()
    listener = lab.inside("app", lambda: socket.socket(type=socket.SOCK_DGRAM))
    listener.bind(("10.50.0.10", 53))
    dns = NameServer(listener)
    dns.start()
    gateway = GatewayUnderTest(
        resolvers=(config.Server(address=ip_address("10.50.0.10"), port=53),)
    )
    pid = wireguard_pid()
    base = facts()
    policy = replace(
        base,
        applications=(
            application(3, *destinations),
            application(5, other or "10.50.0.11/32 icmp"),
        ),
    )
    gateway.portal.publish(snapshot(of=policy, now=gateway.clock.now()))
    try:
        gateway.agent.start()
        gateway.applied(1)
        with (
            lab.device("alice", gateway_key=gateway.public),
            lab.device("bob", gateway_key=gateway.public),
        ):
            # A device's tunnel is known from its first handshake on.
            until(lambda: ping("alice", "10.50.0.11") or other, "a handshake", 15)
            yield gateway, dns
    finally:
        # The agent first: it would start another.
        gateway.stop()
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        dns.stop()
        server.stop()


def named(gateway: GatewayUnderTest) -> list[str]:
    """Return the addresses that the kernel holds by name."""
    table = gateway.kernel.ruleset(now=gateway.clock.now())
    assert table is not None
    maps = (s for s in table.sets if s.name in {"name4", "name6"})
    return sorted(element.key for each in maps for element in each.elements)


def by_name() -> Facts:
    """Reach what a name stands for: no more than that, and as long as it does."""
    with named_world("db.example.com@10.50.0.0/24 tcp 8080") as (gateway, dns):
        found: Facts = {"before": fetch("alice", "10.50.0.10", 9, seconds=1)}
        dns.aliases = {"db.example.com": "one.example.net"}
        dns.addresses = {"one.example.net": ["10.50.0.10", "fd50::10"]}
        until(lambda: named(gateway) == ["10.50.0.10"], "the answer")
        found["granted"] = fetch("alice", "10.50.0.10", 9)
        found["beside"] = fetch("alice", "10.50.0.11", 9, seconds=1)
        found["digest"] = gateway.applied(1)["observed_digest"]
        found["digest_with_names"] = holdings_digest(
            gateway.kernel.holdings(now=gateway.clock.now())
        )
        alice = Stream("alice", "10.50.0.10")
        dns.addresses = {"one.example.net": ["10.50.0.11"]}
        until(lambda: named(gateway) == ["10.50.0.11"], "the address to change")
        until(lambda: time.monotonic() - alice.last > 0.5, "the flow to be cut")
        found["moved"] = fetch("alice", "10.50.0.11", 9)
        found["left"] = fetch("alice", "10.50.0.10", 9, seconds=1)
        until(lambda: gateway.records("close"), "the close of the cut flow")
        found["opens"] = gateway.records("open")
        found["generations"] = sorted(
            {str(a["generation"]) for a in gateway.portal.acknowledgements}
        )
        return found


def rebound() -> Facts:
    """Let DNS point where it must not: outside the bound, at the gateway, at itself."""
    with named_world("db.example.com@10.50.0.10/32 tcp 8080") as (gateway, dns):
        everything = ["10.50.0.10", "10.50.0.11", "10.50.0.1", "127.0.0.1"]
        dns.addresses = {"db.example.com": everything}
        until(lambda: named(gateway), "the answer")
        return {
            "inside": fetch("alice", "10.50.0.10", 9),
            "outside": fetch("alice", "10.50.0.11", 9, seconds=1),
            "gateway": fetch("alice", "10.50.0.1", 9, seconds=1),
            "held": named(gateway),
            "families": sorted({kind for _, kind in dns.asked}),
        }


def shared_address() -> Facts:
    """Give two names one address: each opens its own port to its own people."""
    with named_world(
        "db.example.com@10.50.0.0/24 tcp 8080",
        other="www.example.com@10.50.0.0/24 tcp 9090",
    ) as (gateway, dns):
        dns.addresses = {
            "db.example.com": ["10.50.0.10"],
            "www.example.com": ["10.50.0.10"],
        }
        until(lambda: named(gateway) == ["10.50.0.10"], "the answers")
        until(lambda: fetch("bob", "10.50.0.10", 9, seconds=1), "a handshake", 15)
        found: Facts = {
            "alice_db": fetch("alice", "10.50.0.10", 9),
            "alice_www": fetch("alice", "10.50.0.10", 9, port=9090),
            "bob_db": fetch("bob", "10.50.0.10", 9),
            "bob_www": fetch("bob", "10.50.0.10", 9, port=9090, seconds=1),
        }
        dns.addresses["www.example.com"] = ["10.50.0.11"]
        until(lambda: named(gateway) == ["10.50.0.10", "10.50.0.11"], "they part")
        until(
            lambda: fetch("alice", "10.50.0.10", 9, port=9090, seconds=0.5) is None,
            "the port to close",
        )
        return {**found, "alice_db_still": fetch("alice", "10.50.0.10", 9)}


def resolver_down() -> Facts:
    """Silence the dns: what it said last holds until its time is over."""
    with named_world("db.example.com@10.50.0.0/24 tcp 8080") as (gateway, dns):
        dns.addresses = {"db.example.com": ["10.50.0.10"]}
        until(lambda: named(gateway), "the answer")
        alice = Stream("alice", "10.50.0.10")
        dns.ttl = 6
        time.sleep(2)
        dns.is_silent, silent = True, time.monotonic()
        still = alice.is_running()
        gateway.stop()
        gateway.build()
        gateway.agent.start()
        restarted = alice.is_running() and fetch("alice", "10.50.0.10", 9) == 9
        until(lambda: time.monotonic() - alice.last > 1, "the flow to be cut", 30)
        found: Facts = {
            "still": still,
            "restarted": restarted,
            "cut_after": alice.last - silent,
            "refused": fetch("alice", "10.50.0.10", 9, seconds=1),
            "held": named(gateway),
            "static": ping("alice", "10.50.0.11"),
        }
        dns.is_silent = False
        until(lambda: named(gateway), "the answer to come back", 40)
        return {**found, "back": fetch("alice", "10.50.0.10", 9)}


def nobody_resolves() -> Facts:
    """Stop the agent: the kernel alone ends what a name stood for."""
    with named_world("db.example.com@10.50.0.0/24 tcp 8080") as (gateway, dns):
        dns.ttl = 5
        dns.addresses = {"db.example.com": ["10.50.0.10"]}
        until(lambda: named(gateway), "the answer")
        gateway.stop()
        Nftables().run(live_text("wg0", 60))
        control = fetch("alice", "10.50.0.10", 9)
        begun = time.monotonic()
        until(lambda: not named(gateway), "the kernel to end it", 10)
        return {
            "control": control,
            "ended_after": time.monotonic() - begun,
            "refused": fetch("alice", "10.50.0.10", 9, seconds=1),
            "static": ping("alice", "10.50.0.11"),
        }


def program() -> Facts:
    """Run the program itself: enroll, run, status, SIGTERM, over real HTTP."""
    lab.prepare()
    server, portal = Server(), FakePortal(wait=1.0)
    server.start()
    clock = SystemClock()
    portal.publish(snapshot(now=clock.now()))
    with TemporaryDirectory() as directory, serving(portal) as http:
        state = ["--state", f"{directory}/state"]
        enrolled = gateway_program(
            "enroll", "--portal", http.url, "--token", TOKEN, "--insecure-http", *state
        )
        run = [sys.executable, "-m", "gateway", "run", "--interface", "wg0", *state]
        agent = subprocess.Popen(run, stderr=subprocess.DEVNULL)
        try:
            until(lambda: portal.acknowledgements, "the first acknowledgement")
            return {
                "enrolled": enrolled.stdout.splitlines()[0],
                **_program_facts(portal, http, agent, state),
            }
        finally:
            agent.kill()
            agent.wait()
            server.stop()
            end_wireguard("wg0")


def _program_facts(
    portal: FakePortal,
    http: HttpFake,
    agent: subprocess.Popen[bytes],
    state: list[str],
) -> Facts:
    clock = SystemClock()
    with (
        lab.device("alice", gateway_key=http.wireguard_key),
        lab.device("bob", gateway_key=http.wireguard_key),
    ):
        reached = fetch("alice", "10.50.0.10", 1000)
        portal.publish(snapshot(2, of=without([ALICE], facts()), now=clock.now()))
        until(lambda: len(portal.acknowledgements) > 1, "the second acknowledgement")
        revoked = fetch("alice", "10.50.0.10", 1, seconds=1)
        second = gateway_program("run", "--interface", "wg0", *state)
        until(lambda: "close" in {r["kind"] for r in portal.records}, "a close")
        status = _reported(state, "generation  1.2")
        agent.send_signal(signal.SIGTERM)
        return {
            "reached": reached,
            "revoked": revoked,
            "second_agent": second.returncode,
            "second_agent_says": second.stderr,
            "status": status,
            "stopped_with": agent.wait(10),
            "bob_after_stop": fetch("bob", "10.50.0.10", 11),
            "kinds": sorted({str(r["kind"]) for r in portal.records}),
        }


def _reported(state: list[str], words: str) -> str:
    """Return the status once it says so: the report is written every two seconds."""
    told: list[str] = []

    def says() -> bool:
        told.append(gateway_program("status", *state).stdout)
        return words in told[-1]

    until(says, words, 10)
    return told[-1]


def gateway_program(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m gateway` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def end_wireguard(interface: str) -> None:
    """End the wireguard-go that a program of ours left running, by its id."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            here = (path.parent / "ns" / "net").readlink()
            if (
                words[:1] == [b"wireguard-go"]
                and interface.encode() in words
                and here == Path("/proc/self/ns/net").readlink()
            ):
                os.kill(int(path.parent.name), signal.SIGTERM)


SCENARIOS: Final[dict[str, Callable[[], Facts]]] = {
    function.__name__: function
    for function in (
        reach,
        revoke,
        narrow,
        expire,
        restart,
        closed,
        session_end,
        planted,
        flushed,
        by_name,
        rebound,
        shared_address,
        resolver_down,
        nobody_resolves,
        program,
    )
}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(SCENARIOS[sys.argv[1]](), default=str))

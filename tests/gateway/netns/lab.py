"""Two devices, one gateway, two application hosts, in this process's own namespaces.

Runs only inside `unshare --net --mount` (see `runner`). The gateway is this very
network namespace; the others are named ones on a private tmpfs. Sockets are opened
by threads that enter a namespace, so no helper programs are needed, only wireguard-go
for each device; it is ended by its process id.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from gateway import wireguard
from gateway.agent import Agent, SystemClock
from gateway.config import Server as DnsServer
from gateway.conntrack import evict_expired, list_entries
from gateway.engine import Engine
from gateway.events import EventReader
from gateway.evidence import Collector, Uploader
from gateway.journal import Journal
from gateway.kernel import LinuxKernel
from gateway.naming import Naming
from gateway.resolver import DnsResolver
from gateway.spool import Spool
from gateway.store import Store
from gateway.totals import Totals
from gateway.trust import Judge
from gateway.wireguard import UapiWireGuard
from policies.compiler.types import network
from tests.gateway.fakes import FakePortal
from tests.gateway.world import ALICE, BOB, private_text, public_text, signer

CLONE_NEWNET: Final = 0x40000000
NAMESPACES: Final = Path("/run/netns")
PORT: Final = 51820
DEVICES: Final = {"alice": ALICE, "bob": BOB}
POOLS: Final = ("100.64.0.0/16", "fd5e:e4a6:e000::/64")
APPS: Final = ("10.50.0.0/24", "fd50::/64")

Result = TypeVar("Result")
LIBC: Final = ctypes.CDLL(None, use_errno=True)


def command(*words: str) -> None:
    """Run a program that must succeed."""
    subprocess.run(words, check=True, capture_output=True, text=True)


def inside(name: str, work: Callable[[], Result]) -> Result:
    """Do `work` in a thread that has entered a namespace; sockets stay in it."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            with (NAMESPACES / name).open("rb") as handle:
                code = LIBC.setns(handle.fileno(), CLONE_NEWNET)
            assert code == 0, os.strerror(ctypes.get_errno())
            results.append(work())
        except BaseException as exc:  # noqa: BLE001 -- raised again by the caller
            errors.append(exc)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def prepare() -> None:
    """Make what the scenarios share: private directories, namespaces, wires."""
    for directory in ("/run/netns", "/run/wireguard"):
        Path(directory).mkdir(parents=True, exist_ok=True)
        command("mount", "-t", "tmpfs", "tmpfs", directory)
    command("ip", "link", "set", "lo", "up")
    for number, name in enumerate((*DEVICES, "app"), start=1):
        command("ip", "netns", "add", name)
        command("ip", "link", "add", f"g{name}", "type", "veth", "peer", "up0")
        command("ip", "link", "set", "up0", "netns", name)
        command("ip", "-n", name, "link", "set", "lo", "up")
        command("ip", "-n", name, "link", "set", "up0", "up")
        command("ip", "link", "set", f"g{name}", "up")
        if name != "app":
            command(
                "ip",
                "address",
                "add",
                f"192.0.2.{4 * number + 1}/30",
                "dev",
                f"g{name}",
            )
            address = f"192.0.2.{4 * number + 2}/30"
            command("ip", "-n", name, "address", "add", address, "dev", "up0")
    for address in ("10.50.0.1/24", "fd50::1/64"):
        command("ip", "address", "add", address, "dev", "gapp", *_nodad(address))
    for address in ("10.50.0.10/24", "10.50.0.11/24", "fd50::10/64", "fd50::11/64"):
        command(
            "ip", "-n", "app", "address", "add", address, "dev", "up0", *_nodad(address)
        )
    command("ip", "-n", "app", "route", "add", "default", "via", "10.50.0.1")
    command("ip", "-n", "app", "-6", "route", "add", "default", "via", "fd50::1")


def _nodad(address: str) -> tuple[str, ...]:
    return ("nodad",) if ":" in address else ()


@contextlib.contextmanager
def device(name: str, *, gateway_key: str) -> Iterator[None]:
    """Connect a device to the gateway with a real tunnel of its own."""
    interface, number = f"w{name}", DEVICES[name]
    process = subprocess.Popen(
        ["ip", "netns", "exec", name, "wireguard-go", "--foreground", interface],
        env={**os.environ, "WG_PROCESS_FOREGROUND": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: wireguard.userspace(interface) is not None, "a device's tunnel")
        driver = UapiWireGuard(wireguard.SOCKETS / f"{interface}.sock")
        driver.set_private_key(private_text(name))
        endpoint = f"192.0.2.{4 * (list(DEVICES).index(name) + 1) + 1}:{PORT}"
        connect_peer(driver, gateway_key, endpoint)
        command("ip", "-n", name, "link", "set", interface, "up", "mtu", "1420")
        for address in (f"100.64.0.{number}/32", f"fd5e:e4a6:e000::{number}/128"):
            command("ip", "-n", name, "address", "add", address, "dev", interface)
        for prefix in (*APPS, *POOLS):
            command("ip", "-n", name, "route", "add", prefix, "dev", interface)
        yield
    finally:
        process.terminate()
        process.wait(5)


def connect_peer(driver: UapiWireGuard, gateway_key: str, endpoint: str) -> None:
    """Give a device its one peer, with an endpoint (the agent never sets one)."""
    driver.set_peers({gateway_key: frozenset(network(p) for p in (*APPS, *POOLS))})
    driver._ask(  # noqa: SLF001 -- a device's setting, which no gateway has
        f"set=1\npublic_key={wireguard._hex(gateway_key)}\nendpoint={endpoint}\n\n"  # noqa: SLF001 -- the same
    )


def until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> float:
    """Wait until a condition holds; return how long that took."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.002)
    return time.monotonic() - begun


@dataclass(slots=True)
class Server:
    """TCP on 8080 and 9090 of both application hosts, both families.

    It sends what is asked.

    A client writes a line with a number and gets so many bytes and the end; 0 asks
    for a trickle that ends only with the connection.
    """

    sockets: list[socket.socket] = field(default_factory=list)

    def start(self) -> None:
        """Listen and serve in threads."""
        for host in ("10.50.0.10", "10.50.0.11", "fd50::10", "fd50::11"):
            for port in (8080, 9090):
                listener = inside("app", functools.partial(_listen, host, port))
                self.sockets.append(listener)
                threading.Thread(
                    target=self._accept, args=(listener,), daemon=True
                ).start()

    def stop(self) -> None:
        """Stop listening."""
        for listener in self.sockets:
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    @staticmethod
    def _serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            count = int(client.makefile("rb").readline() or b"1")
            if count:
                client.sendall(b"x" * count)
            while not count:
                client.sendall(b"tick")
                time.sleep(0.001)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def fetch(
    name: str, host: str, count: int, *, seconds: float = 3.0, port: int = 8080
) -> int | None:
    """Return how many bytes a device got from a host, None if nobody answered."""
    try:
        client = inside(
            name, lambda: socket.create_connection((host, port), timeout=seconds)
        )
    except OSError:
        return None
    with client:
        client.sendall(b"%d\n" % count)
        got = 0
        while chunk := client.recv(65536):
            got += len(chunk)
        return got


def ping(name: str, host: str) -> bool:
    """Return whether one echo request is answered within a second."""
    words = ["ip", "netns", "exec", name, "ping", "-c1", "-W1", host]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


class Stream:
    """A download that goes on until it is cut; knows when its last byte came."""

    def __init__(self, name: str, host: str) -> None:
        """Connect and read in a thread."""
        self.last = 0.0
        self.got = 0
        self._socket = inside(
            name, lambda: socket.create_connection((host, 8080), timeout=3)
        )
        self._socket.settimeout(None)
        self._socket.sendall(b"0\n")
        threading.Thread(target=self._read, daemon=True).start()
        until(lambda: self.got > 40, "a stream to run")

    def is_running(self, seconds: float = 0.5) -> bool:
        """Return whether bytes still come."""
        before = self.got
        time.sleep(seconds)
        return self.got > before

    def close(self) -> None:
        """End it, also under the thread that reads."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := self._socket.recv(65536):
                self.got += len(chunk)
                self.last = time.monotonic()


class GatewayUnderTest:
    """A real agent on this namespace, against an in-memory portal."""

    def __init__(self, *, resolvers: tuple[DnsServer, ...] = ()) -> None:
        """Prepare the kernel as `running.run` does."""
        self.resolvers = resolvers
        self.portal = FakePortal(wait=1.0)
        self.clock = SystemClock()
        self.directory = Path(tempfile.mkdtemp(prefix="peerage-gateway-"))
        self.store = Store(self.directory)
        self.kernel = LinuxKernel("wg0", wireguard_log=self.directory / "wg.log")
        self.private = private_text("gateway")
        self.public = public_text("gateway")
        self.kernel.prepare(private_key=self.private)
        self.build()

    def build(self) -> None:
        """Make the parts of an agent, as each start of the program does."""
        self._is_stopped = False
        judge = Judge(anchor=signer().anchor())
        self.spool = Spool(self.directory / "spool")
        self.events = EventReader()
        self.collector = Collector(
            events=self.events,
            entries=list_entries,
            evict=evict_expired,
            spool=self.spool,
            journal=Journal(self.directory),
            clock=self.clock,
            totals=Totals(
                self.directory,
                read=self.kernel.accepted.read,
                boot_id="test",
                clock=self.clock,
            ),
        )
        self.engine = Engine(
            judge=judge,
            store=self.store,
            kernel=self.kernel,
            observer=self.collector,
            clock=self.clock,
            boot_id="test",
        )
        self.agent = Agent(
            engine=self.engine,
            collector=self.collector,
            uploader=Uploader(portal=self.portal, spool=self.spool, judge=judge),
            naming=Naming(
                engine=self.engine,
                resolver=DnsResolver(self.resolvers),
                store=self.store,
                clock=self.clock,
                jitter=lambda: 0.0,
            ),
            portal=self.portal,
            clock=self.clock,
            boot_id="test",
        )

    def stop(self) -> None:
        """Stop the agent; the data plane stays. Stopping twice is once."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self.agent.stop()
        self.agent.join()
        self.spool.close()
        self.events.close()

    def applied(self, generation: int) -> dict[str, object]:
        """Wait for the acknowledgement of a generation."""

        def found() -> list[dict[str, object]]:
            return [
                dict(a)
                for a in self.portal.acknowledgements
                if a["generation"] == generation
            ]

        until(found, f"generation {generation}")
        return found()[-1]

    def records(self, kind: str) -> list[dict[str, object]]:
        """Return the evidence of a kind that has reached the portal."""
        return [r for r in self.portal.records if r["kind"] == kind]

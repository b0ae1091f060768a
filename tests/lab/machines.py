"""An employee's machine: a WireGuard interface, and a person who opens pages."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab import sniffer
from tests.lab.network import Network
from tests.lab.processes import PYTHON, LabError, Processes, wait_until
from tests.lab.requirements import has_kernel_wireguard

NO_ANSWER: Final = frozenset({7, 28})
"""curl(1): could not connect, timed out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: HTTP status (0: nothing), body bytes, local port, duration."""

    status: int
    size: int
    port: int
    seconds: float


class Machine:
    """One namespace with one tunnel."""

    def __init__(
        self, name: str, network: Network, processes: Processes, logs: Path
    ) -> None:
        """Use the namespace of that name."""
        self.name = name
        self._network = network
        self._processes = processes
        self.logs = logs
        self.interface = f"wg-{name}"

    def connect(self, config: str) -> None:
        """Bring the tunnel up as `wg-quick up` would."""
        make_wireguard(
            self._network, self._processes, namespace=self.name, name=self.interface
        )
        self._network.run(
            self.name,
            *("wg", "setconf", self.interface, "/dev/stdin"),
            text=stripped(config),
        )
        addresses, routes = addressing(config)
        for address in addresses:
            self._ip("address", "add", address, "dev", self.interface)
        self._ip("link", "set", self.interface, "mtu", "1420", "up")
        for route in routes:
            self._ip("route", "add", route, "dev", self.interface)

    def disconnect(self) -> None:
        """Take the tunnel down."""
        self._processes.stop(self.interface)
        self._network.run(
            self.name, "ip", "link", "delete", self.interface, check=False
        )

    def get(self, url: str, *, seconds: float = 3) -> Answer:
        """Open a page and say what came back; no answer is an answer too."""
        begun = time.monotonic()
        done = self._network.run(
            self.name,
            *("curl", "--silent", "--output", "/dev/null", "--globoff"),
            *("--max-time", str(seconds), "--noproxy", "*"),
            *("--write-out", "%{http_code} %{size_download} %{local_port}"),
            url,
            check=False,
        )
        if done.returncode not in {0, *NO_ANSWER}:
            msg = f"{self.name}: curl {url}: exit status {done.returncode}"
            raise LabError(msg)
        status, size, port = done.stdout.split()
        return Answer(
            status=int(status),
            size=int(size),
            port=int(port),
            seconds=time.monotonic() - begun,
        )

    def download(self, url: str, source: str) -> Download:
        """Begin a download without end and return it."""
        return Download(self, url, source)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a program on this machine."""
        self._processes.start(name, self._network.inside(self.name, command))

    def stop(self, name: str) -> None:
        """End a program."""
        self._processes.stop(name)

    def _ip(self, *words: str) -> None:
        self._network.run(self.name, "ip", *words)


class Download:
    """A running download, watched at the tunnel's inner end."""

    def __init__(self, machine: Machine, url: str, source: str) -> None:
        """Start watching, then start downloading."""
        self._name = f"download-{machine.name}"
        self._machine = machine
        self._record = machine.logs / f"{self._name}.seen"
        self._record.unlink(missing_ok=True)
        watch = [PYTHON, "-m", "tests.lab.sniffer", machine.interface, source]
        machine.start(f"{self._name}-watch", [*watch, str(self._record)])
        wait_until(self._record.exists, what=f"{self._name}: the watch")
        curl = ["curl", "--silent", "--globoff", "--output", "/dev/null", url]
        machine.start(self._name, curl)
        wait_until(lambda: self.seen().packets > 100, what=f"{self._name}: data")

    def seen(self) -> sniffer.Seen:
        """Return how many packets have arrived, and when the last did."""
        return sniffer.read(self._record)

    def is_flowing(self, *, seconds: float = 0.5) -> bool:
        """Return whether packets arrive during a moment."""
        before = self.seen().packets
        time.sleep(seconds)
        return self.seen().packets > before + 10

    def stop(self) -> None:
        """End the download and the watch."""
        self._machine.stop(self._name)
        self._machine.stop(f"{self._name}-watch")


def make_wireguard(
    network: Network, processes: Processes, *, namespace: str, name: str
) -> None:
    """Make a WireGuard interface: by the kernel, or by wireguard-go(8)."""
    if has_kernel_wireguard():
        network.run(namespace, "ip", "link", "add", name, "type", "wireguard")
        return
    processes.start(
        name, network.inside(namespace, ["wireguard-go", "--foreground", name])
    )
    processes.wait_for(
        name,
        lambda: network.run(namespace, "wg", "show", name, check=False).returncode == 0,
        what=f"the interface {name}",
    )


def stripped(config: str) -> str:
    """Return what wg-quick(8) leaves of a configuration for wg(8).

    Raises:
        LabError: wg-quick refuses it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "peerage0.conf"
        path.touch(mode=0o600)
        path.write_text(config, encoding="utf-8")
        done = subprocess.run(
            ["wg-quick", "strip", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        msg = f"wg-quick strip: {done.stderr.strip()}"
        raise LabError(msg)
    return done.stdout


def widened(config: str, *prefixes: str) -> str:
    """Return a configuration whose owner routes more into the tunnel than is theirs.

    Anybody can edit their own file; what passes is for the gateway to decide.
    """
    return re.sub(
        r"^AllowedIPs = .*$",
        f"AllowedIPs = {', '.join(prefixes)}",
        config,
        flags=re.MULTILINE,
    )


def addressing(config: str) -> tuple[list[str], list[str]]:
    """Return the addresses and the routes that a configuration asks for."""
    addresses: list[str] = []
    routes: list[str] = []
    for line in config.splitlines():
        key, _, value = line.partition("=")
        match key.strip():
            case "Address":
                addresses += _words(value)
            case "AllowedIPs":
                routes += _words(value)
    return addresses, routes


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]

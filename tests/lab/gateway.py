"""The gateway of a lab: its agent, enrolled and run as an operator would."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tests.lab.machines import make_wireguard
from tests.lab.network import GATEWAY, Network
from tests.lab.processes import PYTHON, Processes

INTERFACE: Final = "wg0"
CLONE: Final = "clone"
CLONE_INTERFACE: Final = "wg9"
"""Not `wg0`: wireguard-go's sockets of a lab are in one folder."""


class GatewayHost:
    """The machine in the middle, or a copy of it."""

    def __init__(
        self,
        network: Network,
        processes: Processes,
        folder: Path,
        *,
        namespace: str = GATEWAY,
        interface: str = INTERFACE,
    ) -> None:
        """Use the machine's namespace; nothing runs yet."""
        self._network = network
        self._processes = processes
        self._folder = folder
        self._namespace = namespace
        self._interface = interface
        self._agent = "agent" if namespace == GATEWAY else f"agent-{namespace}"
        self.state = folder / namespace

    def clone(self, address: str) -> GatewayHost:
        """Copy the disk as it is to another machine of the internet; start nothing."""
        self._network.add(CLONE, address)
        copy = GatewayHost(
            self._network,
            self._processes,
            self._folder,
            namespace=CLONE,
            interface=CLONE_INTERFACE,
        )
        shutil.copytree(self.state, copy.state)
        return copy

    def enroll(self, portal_url: str, token: str) -> None:
        """Spend the token."""
        self._network.run(
            self._namespace,
            *(PYTHON, "-m", "gateway", "enroll", "--portal", portal_url),
            *("--token", token, "--state", str(self.state), "--insecure-http"),
        )

    def start(self) -> None:
        """Run the agent; the interface outlives it, as the kernel's would."""
        name = self._interface
        if not self._processes.is_running(name):
            make_wireguard(
                self._network, self._processes, namespace=self._namespace, name=name
            )
        command = [PYTHON, "-m", "gateway", "run", "--interface", name]
        self._processes.start(
            self._agent,
            self._network.inside(
                self._namespace, [*command, "--state", str(self.state)]
            ),
        )
        self._processes.wait_for(
            self._agent, self.is_open, what="the agent opening the gateway"
        )

    def crash(self) -> None:
        """Kill the agent as a fault would."""
        self._processes.stop(self._agent, kill=True)

    def stop(self) -> None:
        """End the agent politely."""
        self._processes.stop(self._agent)

    def said(self) -> str:
        """Return what the agent wrote."""
        log = self._processes.log(self._agent)
        return log.read_text(encoding="utf-8", errors="replace")

    def is_open(self) -> bool:
        """Return whether the kernel holds the element that keeps the gateway open."""
        listing = self._network.run(
            self._namespace,
            *("nft", "list", "set", "inet", f"peerage_{self._interface}", "live"),
            check=False,
        )
        return "expires" in listing.stdout

    def ruleset(self) -> str:
        """Return what the kernel holds."""
        listing = self._network.run(
            self._namespace,
            "nft",
            "list",
            "table",
            "inet",
            f"peerage_{self._interface}",
        )
        return listing.stdout

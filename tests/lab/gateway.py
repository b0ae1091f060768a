"""The gateway of a lab: its agent, enrolled and run as an operator would."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.lab.machines import make_wireguard
from tests.lab.network import GATEWAY, Network
from tests.lab.processes import PYTHON, Processes

INTERFACE: Final = "wg0"
TABLE: Final = f"peerage_{INTERFACE}"


class GatewayHost:
    """The machine in the middle."""

    def __init__(self, network: Network, processes: Processes, folder: Path) -> None:
        """Use the gateway's namespace; nothing runs yet."""
        self._network = network
        self._processes = processes
        self.state = folder / "gateway"

    def enroll(self, portal_url: str, token: str) -> None:
        """Spend the token."""
        self._network.run(
            GATEWAY,
            *(PYTHON, "-m", "gateway", "enroll", "--portal", portal_url),
            *("--token", token, "--state", str(self.state), "--insecure-http"),
        )

    def start(self) -> None:
        """Run the agent; the interface outlives it, as the kernel's would."""
        if not self._processes.is_running(INTERFACE):
            make_wireguard(
                self._network, self._processes, namespace=GATEWAY, name=INTERFACE
            )
        command = [PYTHON, "-m", "gateway", "run", "--interface", INTERFACE]
        self._processes.start(
            "agent",
            self._network.inside(GATEWAY, [*command, "--state", str(self.state)]),
        )
        self._processes.wait_for(
            "agent", self.is_open, what="the agent opening the gateway"
        )

    def crash(self) -> None:
        """Kill the agent as a fault would."""
        self._processes.stop("agent", kill=True)

    def stop(self) -> None:
        """End the agent politely."""
        self._processes.stop("agent")

    def is_open(self) -> bool:
        """Return whether the kernel holds the element that keeps the gateway open."""
        listing = self._network.run(
            GATEWAY, "nft", "list", "set", "inet", TABLE, "live", check=False
        )
        return "expires" in listing.stdout

    def ruleset(self) -> str:
        """Return what the kernel holds."""
        listing = self._network.run(GATEWAY, "nft", "list", "table", "inet", TABLE)
        return listing.stdout

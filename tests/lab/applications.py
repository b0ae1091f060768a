"""The applications' machines: real HTTP servers, and counters that owe us nothing.

Each machine counts the bytes of every flow in its own nftables table, at the IP
level. What the portal shows for a connection has to agree with that.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Final

from tests.lab.network import APPS, AppHost, Network
from tests.lab.processes import PYTHON, Processes

HTTP_PORT: Final = 80

COUNTERS: Final = """
table inet lab {
  set up4 {
    type ipv4_addr . inet_service; size 65535; flags dynamic; counter;
  }
  set down4 {
    type ipv4_addr . inet_service; size 65535; flags dynamic; counter;
  }
  set up6 {
    type ipv6_addr . inet_service; size 65535; flags dynamic; counter;
  }
  set down6 {
    type ipv6_addr . inet_service; size 65535; flags dynamic; counter;
  }
  chain input {
    type filter hook input priority filter; policy accept;
    tcp dport 80 add @up4 { ip saddr . tcp sport }
    tcp dport 80 add @up6 { ip6 saddr . tcp sport }
  }
  chain output {
    type filter hook output priority filter; policy accept;
    tcp sport 80 add @down4 { ip daddr . tcp dport }
    tcp sport 80 add @down6 { ip6 daddr . tcp dport }
  }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes and packets of one flow, IP level; up is towards the application."""

    bytes_up: int
    packets_up: int
    bytes_down: int
    packets_down: int


class Applications:
    """Both applications of a lab."""

    def __init__(self, network: Network, processes: Processes) -> None:
        """Start the servers and the counters."""
        self._network = network
        for app in APPS:
            network.run(app.name, "nft", "-f", "-", text=COUNTERS)
            processes.start(
                app.name,
                network.inside(
                    app.name,
                    [PYTHON, "-m", "tests.lab.appserver", app.name, str(HTTP_PORT)],
                ),
            )
        for app in APPS:
            processes.wait_for(
                app.name,
                functools.partial(self._answers, app),
                what=f"{app.name} serving HTTP",
            )

    def traffic(self, app: AppHost, source: str, port: int) -> Traffic:
        """Return what the application's machine counted for one flow."""
        family = 6 if ":" in source else 4
        up = self._counted(app, f"up{family}", source, port)
        down = self._counted(app, f"down{family}", source, port)
        return Traffic(
            bytes_up=up[0], packets_up=up[1], bytes_down=down[0], packets_down=down[1]
        )

    def _counted(
        self, app: AppHost, name: str, address: str, port: int
    ) -> tuple[int, int]:
        listing = self._network.run(
            app.name, "nft", "-j", "list", "set", "inet", "lab", name
        )
        for item in json.loads(listing.stdout)["nftables"]:
            for element in item.get("set", {}).get("elem", ()):
                found = element["elem"]
                if found["val"]["concat"] == [address, port]:
                    return found["counter"]["bytes"], found["counter"]["packets"]
        return 0, 0

    def _answers(self, app: AppHost) -> bool:
        tried = self._network.run(
            app.name,
            *("curl", "--silent", "--output", "/dev/null", "--max-time", "2"),
            f"http://[::1]:{HTTP_PORT}/",
            check=False,
        )
        return tried.returncode == 0

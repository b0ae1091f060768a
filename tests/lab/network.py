"""The wires: one private internet, a gateway, two applications, two employees.

```
 alice 203.0.113.21 ─┐                       ┌─ 10.50.1.10 app1
   bob 203.0.113.22 ─┤ internet ── gateway ──┤
portal 203.0.113.1  ─┘      203.0.113.10     └─ 10.50.2.10 app2
```

Everything lives inside one network and one mount namespace held by a sleeping
process, with private /run/netns and /var/run/wireguard, so two labs never meet and
the host is never touched. The portal's own namespace is the lab's root one.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from tests.lab.processes import LabError, Processes, wait_until

PORTAL_ADDRESS: Final = "203.0.113.1"
GATEWAY_ADDRESS: Final = "203.0.113.10"
WIREGUARD_PORT: Final = 51820
GATEWAY: Final = "gateway"
NO_DAD: Final = "net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"
PEOPLE: Final = ("alice", "bob", "mallory")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppHost:
    """A machine behind the gateway that serves one application."""

    name: str
    address4: IPv4Address
    address6: IPv6Address

    @property
    def gateway4(self) -> str:
        """The gateway's address on this wire."""
        return str(self.address4 - 9)

    @property
    def gateway6(self) -> str:
        """The gateway's IPv6 address on this wire."""
        return str(self.address6 - 15)


WIKI: Final = AppHost(
    name="app1",
    address4=IPv4Address("10.50.1.10"),
    address6=IPv6Address("fd50:0:0:1::10"),
)
PAYROLL: Final = AppHost(
    name="app2",
    address4=IPv4Address("10.50.2.10"),
    address6=IPv6Address("fd50:0:0:2::10"),
)
APPS: Final = (WIKI, PAYROLL)
APP_PREFIXES: Final = ("10.50.0.0/16", "fd50::/32")
"""What holds every application's address."""


class Network:
    """The namespaces of one lab."""

    def __init__(self, processes: Processes) -> None:
        """Make the namespaces and the wires between them."""
        holder = processes.start(
            "namespaces",
            ["unshare", "--net", "--mount", "--propagation=private", "sleep", "inf"],
        )
        self._pid = holder.pid
        wait_until(self._is_separate, what="private namespaces")
        self._build()

    def inside(self, namespace: str | None, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` in a namespace (None: the root)."""
        enter = ["nsenter", f"--target={self._pid}", "--net", "--mount"]
        there = [] if namespace is None else ["ip", "netns", "exec", namespace]
        return [*enter, f"--wd={_here()}", *there, *command]

    def add(self, namespace: str, address: str) -> None:
        """Make another machine on the private internet."""
        script = [
            "set -e",
            f"ip netns add {namespace}",
            f"ip netns exec {namespace} sysctl -qw {NO_DAD}",
            f"ip -n {namespace} link set lo up",
            *_plug(namespace, address),
        ]
        self.run(None, "sh", "-c", "\n".join(script))

    def run(
        self,
        namespace: str | None,
        *command: str,
        text: str = "",
        check: bool = True,
        seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and return what it said.

        Raises:
            LabError: it failed and `check` is true.
        """
        done = subprocess.run(
            self.inside(namespace, command),
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if check and done.returncode:
            msg = f"{namespace or 'lab'}: {' '.join(command)}: {done.stderr.strip()}"
            raise LabError(msg)
        return done

    def _is_separate(self) -> bool:
        # Until unshare(1) has executed, the process still shares our namespaces.
        mine, theirs = (
            subprocess.run(
                ["readlink", f"/proc/{pid}/ns/mnt", f"/proc/{pid}/ns/net"],
                capture_output=True,
                check=False,
            ).stdout.split()
            for pid in ("self", str(self._pid))
        )
        return len(theirs) == len(mine) and not set(mine) & set(theirs)

    def _build(self) -> None:
        script = [
            "set -e",
            "mkdir -p /run/netns /var/run/wireguard",
            "mount -t tmpfs tmpfs /run/netns",
            "mount -t tmpfs tmpfs /var/run/wireguard",
            "ip link set lo up",
            "ip link add internet type bridge",
            f"ip address add {PORTAL_ADDRESS}/24 dev internet",
            "ip link set internet up",
        ]
        for name in (GATEWAY, *PEOPLE, *(app.name for app in APPS)):
            script.append(f"ip netns add {name}")
            # Duplicate address detection would cost a second on every wire.
            script.append(f"ip netns exec {name} sysctl -qw {NO_DAD}")
            script.append(f"ip -n {name} link set lo up")
        script += _plug(GATEWAY, GATEWAY_ADDRESS)
        for number, person in enumerate(PEOPLE, 21):
            script += _plug(person, f"203.0.113.{number}")
        for number, app in enumerate(APPS, 1):
            script += _wire_app(app, f"app{number}")
        for switch in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
            script.append(f"ip netns exec {GATEWAY} sysctl -qw net.{switch}=1")
        self.run(None, "sh", "-c", "\n".join(script))


def _plug(namespace: str, address: str) -> list[str]:
    """Connect a machine to the private internet."""
    return [
        f"ip link add to-{namespace} type veth peer name eth0 netns {namespace}",
        f"ip link set to-{namespace} master internet up",
        f"ip -n {namespace} address add {address}/24 dev eth0",
        f"ip -n {namespace} link set eth0 up",
    ]


def _wire_app(app: AppHost, port: str) -> list[str]:
    """Connect an application's machine to the gateway, and only to it."""
    return [
        f"ip -n {app.name} link add eth0 type veth peer name {port} netns {GATEWAY}",
        f"ip -n {GATEWAY} address add {app.gateway4}/24 dev {port}",
        f"ip -n {GATEWAY} address add {app.gateway6}/64 dev {port} nodad",
        f"ip -n {GATEWAY} link set {port} up",
        f"ip -n {app.name} address add {app.address4}/24 dev eth0",
        f"ip -n {app.name} address add {app.address6}/64 dev eth0 nodad",
        f"ip -n {app.name} link set eth0 up",
        f"ip -n {app.name} route add default via {app.gateway4}",
        f"ip -n {app.name} -6 route add default via {app.gateway6}",
    ]


def _here() -> str:
    return str(__file__).removesuffix("/tests/lab/network.py")


def addresses(network: Network, namespace: str, interface: str) -> set[str]:
    """Return the global addresses of an interface."""
    answer = network.run(namespace, "ip", "-json", "address", "show", interface)
    return {
        entry["local"]
        for link in json.loads(answer.stdout)
        for entry in link["addr_info"]
        if entry["scope"] == "global"
    }

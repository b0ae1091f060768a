"""What a machine must offer before the lab can be built, said by name."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

PROGRAMS: Final = {
    "ip": "iproute2",
    "nft": "nftables",
    "wg": "wireguard-tools",
    "curl": "curl",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}


def missing() -> list[str]:
    """Return everything that is missing, as a person would say it; empty is good."""
    if os.geteuid() != 0:
        return ["root: network namespaces, nftables and WireGuard need it"]
    lacks = [
        f"the program {name} (package {package})"
        for name, package in PROGRAMS.items()
        if shutil.which(name) is None
    ]
    return lacks or _missing_in_kernel()


def has_kernel_wireguard() -> bool:
    """Return whether this kernel makes WireGuard interfaces itself."""
    return _works("ip link add probe type wireguard")


def _missing_in_kernel() -> list[str]:
    if not _works("true"):
        return ["network namespaces: `unshare --net --mount` is refused here"]
    lacks = []
    if not _works("ip link add v0 type veth peer name v1"):
        lacks.append("virtual Ethernet pairs (kernel module veth)")
    if not _works("ip link add b0 type bridge"):
        lacks.append("network bridges (kernel module bridge)")
    if not _works("nft add table inet probe"):
        lacks.append("nftables in the kernel (module nf_tables)")
    if not has_kernel_wireguard():
        if shutil.which("wireguard-go") is None:
            lacks.append("WireGuard: neither the kernel module nor wireguard-go")
        elif not Path("/dev/net/tun").exists():
            lacks.append("/dev/net/tun, which wireguard-go needs")
    return lacks


def _works(command: str) -> bool:
    """Return whether a command succeeds inside fresh namespaces."""
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0

"""Looks at this machine for `doctor`: the rim where facts are gathered.

Nothing is changed. The one transaction that is tried adds a table without a hook and
deletes it again in the same breath: no packet ever meets it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import socket
import stat
import struct
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway import links, status, wireguard, wireguard_kernel
from gateway.config import DoctorCommand
from gateway.doctor.facts import (
    Chain,
    Interface,
    Kernel,
    Observed,
    Others,
    State,
    StateFile,
)
from gateway.doctor.reach import endpoint, reach
from gateway.errors import GatewayError, KernelError
from gateway.netfilter import SWITCHES, Nftables, has_table
from gateway.publisher import connection_table
from gateway.store import Identity, Store
from policies.compiler.nftables import table_name

PROC: Final = Path("/proc")
SYSTEM: Final = Path("/")
TRIAL: Final = """\
add table inet peerage_doctor
add chain inet peerage_doctor trial
add rule inet peerage_doctor trial ct state established log group 41 accept
delete table inet peerage_doctor
"""
SERVICES: Final = ("firewalld", "ufw", "nftables", "iptables", "netfilter-persistent")
TIME_ERROR: Final = 5
"""What adjtimex(2) returns while nobody keeps the clock."""
TIMEX_BYTES: Final = 512
SIOCGIFMTU: Final = 0x8921


def observe(command: DoctorCommand, *, now: datetime) -> Observed:
    """Return everything that can be found out about this machine."""
    state, identity = _state(command.state)
    kernel = _kernel(command.interface)
    agent, told, wanted_port = "not running", None, 0
    if identity is not None:
        with contextlib.suppress(GatewayError):
            found = status.document(command.state, command.runtime, now=now)
            agent, told = found["agent"], found["report"]
            wanted_port = (found["stored"] or {}).get("listen_port", 0)
    portal = None if identity is None else reach(identity, now=now)
    return Observed(
        now=now,
        uid=os.geteuid(),
        capabilities=_capabilities(),
        is_synchronised=is_synchronised(),
        state=state,
        kernel=kernel,
        interface=_interface(
            command.interface,
            wanted_port=0 if agent != "not running" else wanted_port,
            path_mtu=_path_mtu(identity),
        ),
        portal=portal,
        others=_others(table_name(command.interface)),
        nameservers=nameservers(SYSTEM / "etc/resolv.conf"),
        agent=agent,
        report=told,
    )


def _state(directory: Path) -> tuple[State, Identity | None]:
    try:
        about = directory.stat()
        space = os.statvfs(directory)
        identity = Store(directory).read_identity()
        paths = [directory, *directory.rglob("*")]
        files = tuple(map(_file, paths))
    except (OSError, GatewayError) as exc:
        problem = (isinstance(exc, OSError) and exc.strerror) or str(exc)
        return State(directory=directory, problem=problem), None
    state = State(
        directory=directory,
        owner=about.st_uid,
        files=tuple(f for f in files if f is not None),
        free_bytes=space.f_bavail * space.f_frsize,
        # A file system without a fixed number of files says 0 of 0.
        free_inodes=space.f_favail if space.f_files else 1 << 30,
    )
    return state, identity


def _file(path: Path) -> StateFile | None:
    """Return what a file of the state directory is; None if it has just gone."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return None
    return StateFile(path=path, mode=stat.S_IMODE(about.st_mode), owner=about.st_uid)


def _capabilities() -> int:
    """Return the effective capabilities of this process, as bits."""
    for line in (PROC / "self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def is_synchronised() -> bool | None:
    """Return whether somebody keeps the clock right, None if nobody says."""
    try:
        code = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if code < 0 else code != TIME_ERROR


def _kernel(interface: str) -> Kernel:
    netfilter = PROC / "sys/net/netfilter"
    stands = False
    with contextlib.suppress(GatewayError, OSError):
        stands = has_table(table_name(interface))
    return Kernel(
        nftables=_nftables(),
        has_table=stands,
        has_conntrack=(netfilter / "nf_conntrack_max").exists(),
        has_nflog=(PROC / "net/netfilter/nfnetlink_log").exists(),
        has_wireguard=_has_wireguard(),
        has_wireguard_go=shutil.which(wireguard.PROGRAM) is not None,
        switches=_switches(),
        connections=connection_table(),
    )


def _has_wireguard() -> bool:
    """Return whether the module is loaded, built in, or there to be loaded."""
    if (SYSTEM / "sys/module/wireguard").exists():
        return True
    modules = SYSTEM / "lib/modules" / os.uname().release
    for name in ("modules.dep", "modules.builtin"):
        with contextlib.suppress(OSError):
            if "/wireguard.ko" in (modules / name).read_text("utf-8"):
                return True
    return False


def _nftables() -> str:
    try:
        with contextlib.closing(Nftables()) as nftables:
            nftables.run(TRIAL)
    except KernelError as exc:
        return " ".join(str(exc).split())
    return ""


def _switches() -> dict[str, str]:
    root = PROC / "sys"
    conf = [
        str(path.relative_to(root))
        for path in root.glob("net/ipv*/conf/*/*")
        if path.name in {"rp_filter", "accept_redirects"}
    ]
    found = {}
    for name in (*(name for name, _ in SWITCHES), *conf):
        with contextlib.suppress(OSError):
            found[name] = (root / name).read_text(encoding="ascii").strip()
    return found


def _interface(name: str, *, wanted_port: int, path_mtu: int) -> Interface:
    """Look at the interface; `wanted_port` is 0 while an agent sees to the port."""
    uplink = _uplink()
    exists = links.exists(name)
    port = _listen_port(name) if exists else 0
    problem = _bind_problem(wanted_port) if wanted_port not in {0, port} else ""
    return Interface(
        name=name,
        exists=exists,
        mtu=_mtu(name) if exists else 0,
        listen_port=port,
        wanted_port=wanted_port,
        port_problem=problem,
        uplink=uplink,
        uplink_mtu=_mtu(uplink) if uplink else 0,
        path_mtu=path_mtu,
    )


def _listen_port(interface: str) -> int:
    driver = wireguard.userspace(interface) or wireguard_kernel.find(interface)
    try:
        return driver.read().listen_port if driver else 0
    except GatewayError:
        return 0


def _bind_problem(port: int) -> str:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as trial:
            trial.bind(("::", port))
    except OSError as exc:
        return exc.strerror or str(exc)
    return ""


def _mtu(interface: str) -> int:
    """Return an interface's MTU, 0 if there is none of that name (netdevice(7))."""
    request = struct.pack("16sI12x", interface.encode(), 0)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            answer = fcntl.ioctl(any_socket, SIOCGIFMTU, request)
    except OSError:
        return 0
    return int(struct.unpack("16sI12x", answer)[1])


def _uplink() -> str:
    """Return the interface of the IPv4 default route, empty without one."""
    with contextlib.suppress(OSError):
        for line in (PROC / "net/route").read_text("ascii").splitlines()[1:]:
            name, destination = line.split()[:2]
            if destination == "00000000":
                return name
    return ""


IP_MTU: Final = 14
"""ip(7): the path MTU that the kernel knows of a connected socket's way."""


def _path_mtu(identity: Identity | None) -> int:
    """Return the MTU of the way to the portal as the kernel knows it, 0 if not."""
    if identity is None:
        return 0
    host, port = endpoint(identity.portal)
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial,
    ):
        trial.connect((host, port))
        return int(trial.getsockopt(socket.IPPROTO_IP, IP_MTU))
    return 0


def _others(ours: str) -> Others:
    return Others(
        chains=_chains(ours),
        legacy_tables=_lines(PROC / "net/ip_tables_names"),
        services=tuple(name for name in SERVICES if _is_active(name)),
    )


def _chains(ours: str) -> tuple[Chain, ...]:
    try:
        with contextlib.closing(Nftables()) as nftables:
            objects = nftables.list_all("chains")
    except KernelError:
        return ()
    chains = [o["chain"] for o in objects if "chain" in o]
    return tuple(
        Chain(
            table=f"{c['family']} {c['table']}",
            name=c["name"],
            hook=c["hook"],
            drops=c.get("policy") == "drop",
        )
        for c in chains
        if c.get("hook") in {"forward", "input"} and c["table"] != ours
    )


def _is_active(service: str) -> bool:
    """Return whether systemd has a unit active, or will start it at boot."""
    name = f"{service}.service"
    return (
        (SYSTEM / f"sys/fs/cgroup/system.slice/{name}").exists()
        or (SYSTEM / f"run/systemd/units/invocation:{name}").is_symlink()
        or any((SYSTEM / "etc/systemd/system").glob(f"*.wants/{name}"))
    )


def _lines(path: Path) -> tuple[str, ...]:
    with contextlib.suppress(OSError):
        return tuple(path.read_text("ascii").split())
    return ()


def nameservers(path: Path) -> tuple[str, ...]:
    """Return the servers of resolv.conf(5), in order."""
    with contextlib.suppress(OSError):
        words = (line.split() for line in path.read_text("utf-8").splitlines())
        return tuple(w[1] for w in words if w[:1] == ["nameserver"] and len(w) > 1)
    return ()

"""The units of a gateway: as closed as systemd can judge, and still enough to work."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from gateway import wireguard
from gateway.netfilter import SWITCHES
from tests.faults.confined import ACCOUNT, RIGHTS, mount
from tests.faults.field import field
from tests.faults.isolated import isolated
from tests.gateway.netns.lab import until
from tests.gateway.world import ALICE, facts, without

UNITS: Final = Path("deploy/systemd")
GATEWAY: Final = (
    "peerage-gateway.service",
    "peerage-gateway-boot.service",
    "peerage-wireguard@.service",
)
PROGRAMS: Final = re.compile(r"/opt/\S+|/usr/bin/wireguard-go|/usr/sbin/sysctl")
SWITCHED: Final = Path("deploy/sysctl.d/60-peerage-gateway.conf")


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("unit", sorted(p.name for p in UNITS.glob("*.service")))
def test_no_unit_is_exposed_beyond_two(unit: str) -> None:
    done = analyze("security", "--offline=true", "--threshold=20", str(UNITS / unit))
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


@pytest.mark.parametrize("unit", GATEWAY)
def test_systemd_understands_every_line(unit: str, tmp_path: Path) -> None:
    for name in GATEWAY:
        text = PROGRAMS.sub("/bin/true", (UNITS / name).read_text())
        (tmp_path / name).write_text(text)
    name = unit.replace("@", "@wg0")
    if name != unit:
        (tmp_path / unit).rename(tmp_path / name)
    done = analyze("verify", "--man=no", str(tmp_path / name))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_line_that_systemd_does_not_know_would_be_noticed(tmp_path: Path) -> None:
    unit = tmp_path / "broken.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nProtectEverything=yes\n")
    assert "ProtectEverything" in analyze("verify", "--man=no", str(unit)).stderr


def settings(unit: str) -> dict[str, list[str]]:
    """Return the settings of a unit, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("unit", GATEWAY)
def test_a_gateway_s_unit_holds_one_capability_and_no_root(unit: str) -> None:
    found = settings(unit)
    assert found["CapabilityBoundingSet"] == ["CAP_NET_ADMIN"]
    assert found["User"] == ["peerage-gateway"]


def test_the_boot_unit_comes_before_the_network_and_before_forwarding() -> None:
    found = settings("peerage-gateway-boot.service")
    before = " ".join(found["Before"]).split()
    assert {"network-pre.target", "systemd-sysctl.service"} <= set(before)
    assert found["Wants"] == ["network-pre.target"]
    assert found["DefaultDependencies"] == ["no"]


def test_forwarding_is_switched_on_only_behind_the_closed_ruleset() -> None:
    assert "forward" not in re.sub(r"#.*", "", SWITCHED.read_text())
    found = settings("peerage-gateway.service")
    assert found["Requires"] == ["peerage-gateway-boot.service"]
    assert "peerage-gateway-boot.service" in " ".join(found["After"])
    [forwarding] = found["ExecStartPre"]
    for name in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
        assert name in forwarding


def switched_on() -> dict[str, str]:
    """Return what the installed files set, by the name below /proc/sys."""
    reader = configparser.ConfigParser(interpolation=None)
    reader.read_string(f"[all]\n{SWITCHED.read_text()}")
    found = dict(reader["all"])
    for word in settings("peerage-gateway.service")["ExecStartPre"][0].split():
        name, is_setting, value = word.partition("=")
        if is_setting:
            found[name] = value
    return {name.replace(".", "/"): value for name, value in found.items()}


def test_every_switch_the_agent_needs_is_set_by_what_is_installed() -> None:
    found = switched_on()
    assert {name: found.get(name) for name, _ in SWITCHES} == dict(SWITCHES)


@contextlib.contextmanager
def supervisor(path: Path) -> Iterator[socket.socket]:
    """Listen as a supervisor does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.settimeout(30)
        yield listener


@contextlib.contextmanager
def wireguard_unit() -> Iterator[None]:
    """Run wireguard-go as its unit does: no root, one capability."""
    os.chown(wireguard.SOCKETS, ACCOUNT, ACCOUNT)
    # udev lets everybody open it (50-udev-default.rules); the capability decides.
    tunnels = Path("/run/netns/tun")
    os.mknod(tunnels, 0o020666, os.makedev(10, 200))
    tunnels.chmod(0o666)
    mount("--bind", str(tunnels), "/dev/net/tun")
    process = subprocess.Popen(
        ["setpriv", *RIGHTS, "wireguard-go", "--foreground", "wg0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        umask=0o077,
    )
    try:
        until(lambda: wireguard.userspace("wg0"), "the tunnel")
        yield
    finally:
        process.terminate()
        process.wait(5)


@isolated(seconds=120)
def test_the_agent_enforces_under_what_its_unit_leaves_it() -> None:
    for name, value in switched_on().items():
        (Path("/proc/sys") / name).write_text(value)
    with field(start=False) as made, wireguard_unit():
        made.runtime.mkdir()
        for path in (
            made.runtime,
            made.state.parent,
            made.state,
            *made.state.rglob("*"),
        ):
            os.chown(path, ACCOUNT, ACCOUNT)
        # As systemd's, in the one directory that is not read-only here.
        notify = made.state / "notify"
        with supervisor(notify) as listener:
            made.publish()
            made.start(
                program=("-m", "tests.faults.confined"),
                environment={"NOTIFY_SOCKET": str(notify)},
            )
            made.applied(1)
            alice = made.probe("alice")
            bob = made.probe("bob")
            alice.opens()
            bob.opens()
            heard = [listener.recv(1000).decode()]
            while heard[-1] != "READY=1":
                heard.append(listener.recv(1000).decode())
            until(
                lambda: "gate open" in listener.recv(1000).decode(), "the watchdog", 30
            )
            status = Path(f"/proc/{made.agent.pid}/status").read_text()
            assert "CapEff:\t0000000000001000" in status
            assert f"Uid:\t{ACCOUNT}\t{ACCOUNT}" in status
            # It still cuts, records, and hears of others' changes.
            made.publish(without([ALICE], facts()))
            made.applied(2)
            cut = time.monotonic()
            assert alice.closes(2) <= cut
            assert (made.runtime / "metrics.prom").exists()
            until(lambda: made.records("open"), "evidence")


@isolated(seconds=60)
def test_boot_closes_under_what_its_unit_leaves_it() -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    boot = [sys.executable, "-m", "gateway", "boot"]
    done = subprocess.run(
        ["setpriv", *RIGHTS, *boot], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "0"
    table = subprocess.run(["nft", "list", "tables"], capture_output=True, check=True)
    assert b"peerage_wg0" in table.stdout

"""The lab itself: its wires carry, its counters count, its watch notices a cut.

A tunnel without Peerage is the positive control; a rule that drops is the planted
fault that the instruments must see.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import machines
from tests.lab.applications import Applications
from tests.lab.machines import Machine
from tests.lab.network import APPS, GATEWAY, GATEWAY_ADDRESS, Network
from tests.lab.processes import Processes

pytestmark = pytest.mark.netns

DROP = """
table inet cut {
  chain forward { type filter hook forward priority 0; policy drop; }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A lab with a tunnel for alice and no rules at all."""

    network: Network
    applications: Applications
    alice: Machine


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    logs = tmp_path_factory.mktemp("plain")
    processes = Processes(logs)
    try:
        network = Network(processes)
        applications = Applications(network, processes)
        alice = Machine("alice", network, processes, logs)
        _open_tunnel(network, processes, alice)
        yield Plain(network=network, applications=applications, alice=alice)
    finally:
        processes.stop_all()


def test_plain_tunnel_reaches_an_application(plain: Plain) -> None:
    answer = plain.alice.get(f"http://{APPS[0].address4}/")
    assert answer.status == 200


def test_counters_count_ip_bytes_of_one_flow(plain: Plain) -> None:
    answer = plain.alice.get(f"http://{APPS[0].address4}/bytes/100000")
    traffic = plain.applications.traffic(APPS[0], "100.64.9.1", answer.port)
    assert answer.size == 100_000
    assert traffic.bytes_down >= 100_000 + 40 * traffic.packets_down
    assert traffic.packets_up > 3


def test_watch_notices_the_cut_of_a_download(plain: Plain) -> None:
    source = str(APPS[0].address4)
    download = plain.alice.download(f"http://{source}/stream", source)
    assert download.is_flowing()
    plain.network.run(GATEWAY, "nft", "-f", "-", text=DROP)
    flowing = download.is_flowing()
    plain.network.run(GATEWAY, "nft", "delete", "table", "inet", "cut")
    download.stop()
    assert not flowing


def _open_tunnel(network: Network, processes: Processes, alice: Machine) -> None:
    machines.make_wireguard(network, processes, namespace=GATEWAY, name="wgplain")
    theirs, mine = _key(), _key()
    network.run(
        GATEWAY,
        *("wg", "setconf", "wgplain", "/dev/stdin"),
        text=f"[Interface]\nPrivateKey = {theirs[0]}\nListenPort = 51820\n"
        f"[Peer]\nPublicKey = {mine[1]}\nAllowedIPs = 100.64.9.1/32\n",
    )
    network.run(GATEWAY, "ip", "link", "set", "wgplain", "up")
    network.run(GATEWAY, "ip", "route", "add", "100.64.9.1/32", "dev", "wgplain")
    alice.connect(
        f"[Interface]\nPrivateKey = {mine[0]}\nAddress = 100.64.9.1/32\n\n"
        f"[Peer]\nPublicKey = {theirs[1]}\nEndpoint = {GATEWAY_ADDRESS}:51820\n"
        "AllowedIPs = 10.50.0.0/16\n"
    )


def _key() -> tuple[str, str]:
    private = subprocess.run(
        ["wg", "genkey"], capture_output=True, text=True, check=True
    ).stdout
    public = subprocess.run(
        ["wg", "pubkey"], input=private, capture_output=True, text=True, check=True
    ).stdout
    return private.strip(), public.strip()


def test_logs_of_the_lab_are_files(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("echo", ["echo", "hello"]).wait()
    assert processes.log("echo").read_text() == "hello\n"

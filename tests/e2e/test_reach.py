"""What a person reaches through the tunnel, and what the log says about it."""

from __future__ import annotations

import pytest

from tests.lab.lab import Lab
from tests.lab.network import GATEWAY, PAYROLL, WIKI
from tests.lab.processes import wait_until
from tests.lab.scenes import url

pytestmark = [pytest.mark.e2e, pytest.mark.netns]

BOTH_FAMILIES = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


@BOTH_FAMILIES
def test_granted_application_answers(world: Lab, version: int) -> None:
    answer = world.machines["alice"].get(url(WIKI, version))
    assert answer.status == 200


@BOTH_FAMILIES
def test_application_without_a_grant_stays_silent(world: Lab, version: int) -> None:
    answer = world.machines["alice"].get(url(PAYROLL, version), seconds=1)
    assert answer.status == 0


@BOTH_FAMILIES
def test_denial_is_on_record_under_the_person(world: Lab, version: int) -> None:
    machine, target = world.machines["bob"], url(WIKI, version)
    assert machine.get(target, seconds=1).status == 0
    address = world.devices["bob"].address(version)
    carol = world.visitor("carol")
    wait_until(
        lambda: bool(carol.connections(verdict="denied", address=address)),
        what="the denial reaching the log",
    )
    (row, *_) = carol.connections(verdict="denied", address=address)
    assert row["person_label"] == "Bob Baker"
    assert row["device_label"] == "bob-1"
    assert row["end_reason"] == "no_grant"


@BOTH_FAMILIES
def test_bytes_on_record_are_those_the_application_counted(
    world: Lab, version: int
) -> None:
    answer = world.machines["alice"].get(url(WIKI, version, 123_456))
    source, carol = world.devices["alice"].address(version), world.visitor("carol")
    question = {"address": source, "port": str(answer.port)}
    wait_until(
        lambda: any(row["ended_at"] for row in carol.connections(**question)),
        what="the end of the connection reaching the log",
        seconds=40,
    )
    (row,) = carol.connections(**question)
    counted = world.applications.traffic(WIKI, source, answer.port)
    assert answer.size == 123_456
    assert (row["bytes_up"], row["bytes_down"]) == (
        counted.bytes_up,
        counted.bytes_down,
    )
    assert (row["packets_up"], row["packets_down"]) == (
        counted.packets_up,
        counted.packets_down,
    )
    assert row["person_label"] == "Alice Archer"


def test_other_ports_of_a_granted_machine_stay_silent(world: Lab) -> None:
    answer = world.machines["alice"].get(f"http://{WIKI.address4}:8080/", seconds=1)
    assert answer.status == 0


def test_gateway_itself_does_not_answer_devices(world: Lab) -> None:
    answer = world.machines["alice"].get(f"http://{WIKI.gateway4}/", seconds=1)
    assert answer.status == 0


def test_devices_do_not_reach_each_other(world: Lab) -> None:
    bob = world.devices["bob"].address(4)
    alice = world.machines["alice"]
    world.network.run(
        "alice", "ip", "route", "replace", f"{bob}/32", "dev", alice.interface
    )
    assert alice.get(f"http://{bob}/", seconds=1).status == 0


def test_underlay_cannot_speak_for_a_device(world: Lab) -> None:
    spoofed = world.devices["alice"].address(4)
    world.network.run("mallory", "ip", "address", "add", f"{spoofed}/32", "dev", "lo")
    world.network.run(
        "mallory", "ip", "route", "replace", str(WIKI.address4), "via", "203.0.113.10"
    )
    before = world.network.run("app1", "nft", "list", "set", "inet", "lab", "up4")
    tried = world.network.run(
        "mallory",
        *("curl", "--silent", "--max-time", "1", "--interface", spoofed),
        url(WIKI, 4),
        check=False,
    )
    after = world.network.run("app1", "nft", "list", "set", "inet", "lab", "up4")
    assert tried.returncode != 0
    assert after.stdout == before.stdout


def test_kernel_holds_the_device_as_mark(world: Lab) -> None:
    world.machines["alice"].get(url(WIKI, 4))
    mark = world.devices["alice"].id
    listing = world.network.run(GATEWAY, "conntrack", "-L", "--mark", str(mark))
    assert f"src={world.devices['alice'].address(4)}" in listing.stdout

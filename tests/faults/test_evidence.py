"""Rows 18, 26, 27: others change the table or the interface under the agent.

Rows 29 to 31: every flow is recorded once, or counted as missing.

Row 27 is attack E12 (another tool runs `nft flush ruleset`).
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from gateway import wireguard
from gateway.counters import read_accepted
from gateway.wireguard import UapiWireGuard
from tests.faults.field import HOST, OWN_HOST, Field, IllPortal, field
from tests.faults.isolated import isolated
from tests.gateway.netns import lab
from tests.gateway.netns.lab import command, until
from tests.gateway.world import ALICE, public_text

TABLE = "inet peerage_wg0"
BY_HAND = {
    "a rule": f"insert rule {TABLE} forward counter accept",
    "an element of who may": f"add element {TABLE} who_us_1 {{ 8 }}",
    "an element of where": f"delete element {TABLE} udp4 {{ 10.50.0.11 . 7007 }}; "
    f"add element {TABLE} udp4 {{ 10.50.0.11 . 7007 : accept }}",
    "a rule of a grant": f"insert rule {TABLE} app_5 accept",
    "a table that sleeps": f"add table {TABLE} {{ flags dormant; }}",
    "a policy": f"add chain {TABLE} forward {{ policy accept; }}; "
    f"flush chain {TABLE} forward",
}
"""What opens alice's own host to bob, as nft(8) takes it."""


def by_hand(script: str) -> None:
    command("nft", script)


def drift(made: Field) -> dict[str, object]:
    """Wait for the record of a repair; return it."""

    def repaired() -> list[dict[str, object]]:
        return [r for r in made.records("drift") if r["repaired_ms"] is not None]

    until(repaired, "the record of a repair")
    return repaired()[-1]


def wg(*words: str) -> None:
    command("wg", "set", "wg0", *words)


@pytest.mark.parametrize("script", BY_HAND.values(), ids=BY_HAND.keys())
@isolated()
def test_fault_26_what_is_opened_by_hand_is_closed_and_told(script: str) -> None:
    with field() as made:
        alice = made.probe("alice")
        alice.opens()
        mine = made.probe("alice", OWN_HOST)
        mine.opens()
        bob = made.probe("bob", OWN_HOST)
        made.probe("bob").opens()
        assert not bob.is_open()
        by_hand(script)
        until(lambda: made.records("drift"), "a record", 5)
        assert not bob.is_open()
        record = drift(made)
        assert str(record["by"]).startswith("nft pid ")
        assert int(str(record["repaired_ms"])) < 1000
        assert alice.is_open()
        assert made.agent.poll() is None


@isolated()
def test_fault_26_a_foreign_rule_is_told_with_its_text() -> None:
    with field() as made:
        by_hand(f"insert rule {TABLE} forward ip saddr 100.64.0.8 counter accept")
        what = str(drift(made)["what"])
        assert "rule added forward handle" in what
        assert "ip saddr 100.64.0.8 counter packets 0 bytes 0 accept" in what
        assert "100.64.0.8" not in made.table().split("chain forward")[1]


@isolated()
def test_fault_26_a_foreign_element_is_told_and_deleted() -> None:
    with field() as made:
        by_hand(f"add element {TABLE} device4 {{ 100.64.9.9 : 99 }}")
        what = str(drift(made)["what"])
        assert "element added device4" in what
        assert "element of device4: 100.64.9.9 : 99" in what
        assert "100.64.9.9" not in made.table()


@isolated()
def test_fault_26_a_foreign_peer_is_removed_and_told() -> None:
    with field() as made:
        made.probe("alice").opens()
        wg("peer", public_text("mallory"), "allowed-ips", "100.64.0.66/32")
        until(lambda: public_text("mallory") not in made.peers(), "its removal", 3)
        record = drift(made)
        assert record["what"] == (
            f"peer added: {public_text('mallory')} 100.64.0.66/32"
        )


@isolated()
def test_fault_26_prefixes_port_and_key_changed_by_hand_are_set_back() -> None:
    with field() as made:
        alice = made.probe("alice")
        alice.opens()
        driver = wireguard.userspace("wg0")
        assert driver is not None
        before = driver.read()
        wg("peer", public_text("bob"), "allowed-ips", "100.64.0.7/32,100.64.0.8/32")
        what = str(drift(made)["what"])
        assert f"AllowedIPs of {public_text('bob')}" in what
        assert driver.read() == before
        wg("listen-port", "51999")
        until(lambda: driver.read() == before, "the port", 5)
        _stranger(driver)
        until(lambda: made.said().count("drift.repaired") >= 3, "the key", 5)
        alice.opens()


def _stranger(driver: UapiWireGuard) -> None:
    """Give the interface another private key, as `wg set` would."""
    UapiWireGuard(driver._path).set_private_key(public_text("x"))  # noqa: SLF001 -- the test's own hand


@isolated()
def test_fault_27_a_flushed_ruleset_is_closed_at_once_and_restored_in_a_second() -> (
    None
):
    with field() as made:
        alice = made.probe("alice")
        alice.opens()
        made.probe("bob").opens()
        bob = made.probe("bob", OWN_HOST)
        assert not bob.is_open()
        begun = time.monotonic()
        by_hand("flush ruleset")
        until(made.is_live, "the gate to open again", 5)
        restored_ms = (time.monotonic() - begun) * 1000
        alice.opens()
        record = drift(made)
        assert "table deleted" in str(record["what"])
        assert int(str(record["repaired_ms"])) < 1000
        assert not bob.is_open()
        window_ms = max(0.0, (bob.last() - begun) * 1000)
        print(f"open window {window_ms:.0f} ms, restored {restored_ms:.0f} ms")
        assert made.agent.poll() is None


@isolated()
def test_fault_27_flows_begun_while_no_table_stood_are_cut() -> None:
    with field() as made:
        made.probe("bob").opens()
        bob = made.probe("bob", OWN_HOST)
        assert not bob.is_open()
        made.freeze()
        by_hand("flush ruleset")
        bob.opens()
        made.thaw()
        bob.closes(5)
        drift(made)
        assert not bob.is_open()


@isolated()
def test_fault_27_a_storm_of_flushes_ends_closed_and_is_told_once() -> None:
    with field() as made:
        alice = made.probe("alice")
        alice.opens()
        for _ in range(12):
            by_hand("flush ruleset")
            time.sleep(0.2)
        alice.closes(5)
        until(
            lambda: any(
                "closed until" in str(r["what"]) for r in made.records("drift")
            ),
            "the record of the storm",
        )
        assert not made.is_live()
        assert len(made.records("drift")) <= 7
        assert made.agent.poll() is None


@isolated()
def test_fault_18_a_removed_interface_is_made_again_by_the_same_agent() -> None:
    with field() as made:
        alice = made.probe("alice")
        alice.opens()
        command("ip", "link", "delete", "wg0")
        record = drift(made)
        assert record["what"] == "the interface is gone or down"
        assert made.peers() == {public_text("alice"), public_text("bob")}
        alice.opens(30)
        assert made.agent.poll() is None


@isolated()
def test_fault_18_a_killed_wireguard_is_started_again() -> None:
    with field() as made:
        made.probe("alice").opens()
        _kill_wireguard("wg0")
        drift(made)
        made.probe("alice").opens(30)


@isolated()
def test_fault_18_what_others_made_is_waited_for_closed_without_a_crash_loop() -> None:
    with field(start=False) as made:
        mine = ["wireguard-go", "--foreground", "wg0"]
        first = subprocess.Popen(
            mine, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: wireguard.userspace("wg0"), "the interface")
        made.publish()
        made.start()
        made.applied(1)
        made.probe("alice").opens()
        first.kill()
        first.wait()
        until(lambda: made.records("drift"), "the alarm")
        assert made.records("drift")[0]["repaired_ms"] is None
        assert not made.is_live()
        time.sleep(3)
        assert made.agent.poll() is None
        assert wireguard.userspace("wg0") is None
        second = subprocess.Popen(
            mine, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        drift(made)
        made.probe("alice").opens(30)
        second.kill()
        second.wait()


def _kill_wireguard(interface: str) -> None:
    found = subprocess.run(
        ["pgrep", "-f", f"^wireguard-go --foreground {interface}$"],
        capture_output=True,
        text=True,
        check=True,
    )
    command("kill", "-9", *found.stdout.split())


def _beginnings(count: int) -> None:
    """Let alice begin so many flows, a datagram each from a port of its own."""

    def sockets() -> list[socket.socket]:
        return [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]

    before = _accepted()
    with ExitStack() as opened:
        made = [opened.enter_context(one) for one in lab.inside("alice", sockets)]

        def have_begun() -> bool:
            # A tunnel on a busy machine may lose one; what has begun begins no more.
            for one in made:
                one.sendto(b"x", (HOST, 7007))
                time.sleep(0.005)
            return _accepted() - before >= count

        until(have_begun, "every beginning to be counted")


def _accepted() -> int:
    return sum(read_accepted("peerage_wg0").values())


@isolated()
def test_fault_30_flows_while_the_reader_was_dead_are_counted_exactly() -> None:
    with field() as made:
        made.probe("alice").opens()
        for probe in made.probes:
            probe.stop()
        until(lambda: made.records("totals"), "the first totals", 20)
        made.kill()
        before = _accepted()
        _beginnings(100)
        unseen = _accepted() - before
        assert unseen >= 100
        made.start()
        until(lambda: made.records("gap"), "the gap", 20)
        gaps = {(g["source"], g["lost"]) for g in made.records("gap")}
        assert gaps == {("totals", unseen)}
        sums = made.records("totals")[-1]
        assert sums["accepted"] == int(str(sums["logged"])) + int(str(sums["lost"]))


@isolated()
def test_fault_30_a_frozen_reader_loses_nothing_that_its_buffers_hold() -> None:
    with field() as made:
        made.probe("alice").opens()
        before = len(made.records("open"))
        made.freeze()
        _beginnings(100)
        made.thaw()
        until(lambda: len(made.records("open")) >= before + 100, "every beginning")
        assert made.records("gap") == []


@pytest.mark.netns
def test_fault_29_a_burst_of_20_000_flows_is_recorded_once_each() -> None:
    bench = [sys.executable, "-m", "tests.bench.flows", "--only", "burst"]
    done = subprocess.run(bench, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = done.stdout.splitlines()[1].split()[1:8]
    assert numbers == ["20000"] * 4 + ["0"] * 3


@isolated()
def test_fault_31_every_batch_delivered_three_times_is_stored_once() -> None:
    with field() as made:
        made.portal.send_evidence = _thrice(made.portal)  # type: ignore[method-assign]
        made.probe("alice").opens()
        _beginnings(50)
        until(lambda: len(made.records("open")) >= 51, "every beginning")
        numbers = [r["seq"] for r in made.portal.records]
        assert numbers == list(range(1, len(numbers) + 1))
        flows = [r["flow"] for r in made.records("open")]
        assert len(flows) == len(set(flows))


def _thrice(portal: IllPortal) -> Callable[..., bytes]:
    """Return what takes a batch three times, as a network that repeats."""
    take = portal.send_evidence

    def send_evidence(*batch: object, **spool: object) -> bytes:
        take(*batch, **spool)  # type: ignore[arg-type]
        take(*batch, **spool)  # type: ignore[arg-type]
        return take(*batch, **spool)  # type: ignore[arg-type]

    return send_evidence


@isolated()
def test_a_handshake_is_told_with_where_it_came_from() -> None:
    with field() as made:
        made.probe("alice").opens()
        until(lambda: made.records("handshake"), "the handshake", 10)
        told = made.records("handshake")[0]
        assert told["device"] == ALICE
        assert str(told["endpoint"]).startswith("192.0.2.6:")
        assert told["handshake_at"] is not None

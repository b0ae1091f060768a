"""Faults of the machine around the agent: crash loops, reboots, clocks."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import boot
from gateway.errors import KernelError
from gateway.netfilter import Nftables
from policies.compiler.nftables import live_text
from tests.faults.field import Field, field
from tests.faults.isolated import isolated
from tests.gateway.netns import lab
from tests.gateway.netns.lab import command, fetch, until
from tests.gateway.world import private_text

HOUR = 3600
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def reported(made: Field) -> dict[str, Any]:
    """Return what the agent publishes, empty before it does."""
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads((made.runtime / "status.json").read_text())
        return found
    return {}


@contextlib.contextmanager
def shifted(made: Field, seconds: float) -> Iterator[Path]:
    """Start an agent on a machine whose clock is wrong; yield the file that says so."""
    with tempfile.TemporaryDirectory() as directory:
        shift = Path(directory) / "shift"
        shift.write_text(str(seconds))
        environment = {"PEERAGE_TEST_SHIFT": str(shift)}
        made.start(program=("-m", "tests.faults.shifted"), environment=environment)
        yield shift
        made.kill()


@pytest.mark.parametrize("skew", [HOUR, -HOUR], ids=["ahead", "behind"])
@isolated(seconds=90)
def test_fault_35_a_clock_set_by_an_hour_closes_nothing_and_is_alarmed(
    skew: int,
) -> None:
    with field(start=False) as made, shifted(made, 0) as shift:
        made.publish()
        made.applied(1)
        alice = made.probe("alice")
        alice.opens()
        temporary = shift.with_suffix(".new")
        temporary.write_text(str(skew))
        temporary.replace(shift)
        until(lambda: "clock.skewed" in made.said(), "the alarm", 20)
        until(
            lambda: abs((reported(made).get("clock_offset_seconds") or 0) - skew) < 5,
            "the offset to be published",
        )
        polls = made.portal.polls
        until(lambda: made.portal.polls > polls + 2, "polls that go on")
        # Longer than a renewal, and what a revocation needs still works.
        until(lambda: reported(made)["lease_seconds"] > 890, "the lease")
        assert alice.is_open()
        assert reported(made)["gate"]["is_open"]
        assert made.said().count("gate.closing") <= 1
        assert made.publish() == 2
        made.applied(2)


@pytest.mark.parametrize("skew", [HOUR, -HOUR], ids=["ahead", "behind"])
@isolated(seconds=90)
def test_fault_35_a_clock_wrong_at_the_start_still_gets_a_lease_that_ends_in_time(
    skew: int,
) -> None:
    lease = 6.0
    with field(lease=lease, start=False) as made, shifted(made, skew):
        made.publish()
        made.applied(1)
        alice = made.probe("alice")
        alice.opens()
        assert "clock.skewed" in made.said()
        made.partition()
        cut = time.monotonic()
        assert alice.closes(lease + 1) - cut <= lease


def supervise(made: Field, stop: threading.Event, options: list[str]) -> list[int]:
    """Start the agent again whenever it ends, as the unit does; note how it ended."""
    ends: list[int] = []

    def run() -> None:
        while not stop.is_set():
            ends.append(made.start(program=("-m", "gateway", *options)).wait())
            stop.wait(0.2)

    threading.Thread(target=run, daemon=True).start()
    return ends


def damage(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("cause", ["configuration", "state"])
@isolated(seconds=90)
def test_fault_16_a_crash_loop_closes_within_a_minute_and_ends_when_mended(
    cause: str,
) -> None:
    with field() as made:
        alice = made.probe("alice")
        alice.opens()
        accepted = made.state / "accepted.json"
        whole = accepted.read_bytes()
        options: list[str] = []
        made.kill()
        # Nobody waits here for the rest of a minute: ten seconds of it are left.
        made.nft(live_text("wg0", 10))
        begun = time.monotonic()
        if cause == "state":
            damage(accepted)
        else:
            options.append("--no-such-option")
        stop = threading.Event()
        ends = supervise(made, stop, options)
        try:
            assert alice.closes(11) - begun <= 10.5
            until(lambda: len(ends) >= 3, "the loop to go round", 20)
            assert set(ends) == {2 if options else 1}
            assert not made.is_live()
            assert not alice.is_open()
            assert ("no-such-option" if options else "accepted.json") in made.said()
            options.clear()
            accepted.write_bytes(whole)
            alice.opens()
        finally:
            stop.set()


def boot_program(*words: str) -> subprocess.CompletedProcess[str]:
    """Run what the boot unit runs."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", "boot", "--interface", "wg0", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@isolated(seconds=90)
def test_fault_21_after_a_boot_nothing_passes_before_the_agent_runs() -> None:
    lab.prepare()
    server = lab.Server()
    server.start()
    FORWARDING.write_text("1")
    command("ip", "route", "add", "100.64.0.0/16", "dev", "galice")
    command("ip", "-n", "alice", "route", "add", "default", "via", "192.0.2.5")
    command("ip", "-n", "app", "route", "add", "192.0.2.0/24", "via", "10.50.0.1")
    # Without anything of ours this host is a router: the probe can be answered.
    assert fetch("alice", "10.50.0.10", 9) == 9
    done = boot_program()
    assert (done.returncode, done.stderr) == (0, "")
    assert FORWARDING.read_text().strip() == "0"
    assert fetch("alice", "10.50.0.10", 9, seconds=1) is None
    # The table alone holds too: also while something else switches forwarding on.
    FORWARDING.write_text("1")
    assert fetch("alice", "10.50.0.10", 9, seconds=1) is None
    Nftables().run("delete table inet peerage_wg0")
    assert fetch("alice", "10.50.0.10", 9) == 9


@isolated(seconds=90)
def test_fault_21_a_boot_over_a_table_that_was_open_closes_it() -> None:
    with field() as made:
        alice = made.probe("alice")
        alice.opens()
        made.kill()
        made.nft(live_text("wg0", 60))
        assert alice.is_open()
        assert boot_program().returncode == 0
        assert not made.is_live()
        assert not alice.is_open()
        made.start()
        alice.opens()


@isolated(seconds=30)
def test_a_boot_that_cannot_switch_forwarding_off_says_so_and_loads_nothing() -> None:
    with tempfile.TemporaryDirectory() as directory:
        switch = Path(directory) / "net/ipv4/ip_forward"
        switch.mkdir(parents=True)
        with pytest.raises(KernelError, match="cannot switch off"):
            boot.close("wg0", sysctl=Path(directory))


def secrets_of(state: Path) -> list[str]:
    """Return every private key of a gateway, in each form it could be printed."""
    identity = json.loads((state / "identity.json").read_text())
    found = []
    for name in ("signing_seed", "wireguard_private_key"):
        text = str(identity[name])
        raw = base64.b64decode(text)
        found += [text, raw.hex(), repr(raw)[2:-1]]
    return found


@isolated(seconds=90)
def test_no_key_token_or_signature_is_ever_logged() -> None:
    with field(start=False) as made:
        made.start(program=("-m", "tests.faults.loud"))
        made.publish()
        made.applied(1)
        made.probe("alice").opens()
        made.portal.is_reachable = False
        until(lambda: "poll.failed" in made.said(), "a failure")
        made.portal.is_reachable = True
        made.publish()
        made.applied(2)
        made.agent.terminate()
        made.agent.wait()
        said = made.said()
        assert private_text("alice") not in said
        assert [s for s in secrets_of(made.state) if s in said] == []
        assert "token-1" not in said
        # 64 bytes of a signature are 86 letters of base64; nothing is as long.
        assert re.findall(r"[A-Za-z0-9+/]{80,}={0,2}", said) == []
        # The control: all of it was said, in lines of JSON.
        events = {json.loads(line)["event"] for line in said.splitlines()}
        assert {"agent.started", "poll.failed", "gate.opened", "request.sent"} <= events


def test_the_field_s_log_would_show_a_key(tmp_path: Path) -> None:
    key = os.urandom(64).hex()
    assert re.findall(r"[A-Za-z0-9+/]{80,}={0,2}", f"x {key}") == [key]

"""The command line: what it takes, what it refuses, what `status` says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from audit.tlog.cosignature import parse_witness_key
from audit.tlog.witnessing import Head
from gateway import status
from gateway.__main__ import main
from gateway.config import RunCommand, StatusCommand, parse
from gateway.errors import ConfigError, StoreError
from gateway.room import Limits
from gateway.spool import Spool
from gateway.store import Identity, Store
from gateway.witness import Kept
from tests.gateway.world import NOW, facts, signer, snapshot
from tests.policies.compiler.build import application, resolved

MINUTE = timedelta(minutes=1)


def enrolled(directory: Path) -> Store:
    """Return a store with an identity that trusts the test's signer."""
    store = Store(directory)
    store.write_identity(
        Identity(
            portal="https://portal.example",
            insecure_http=False,
            ca_file="",
            gateway="gw_1",
            deployment="peerage",
            epoch=1,
            snapshot_keys=((signer().keyid, signer().public_key),),
            signing_seed=b"s" * 32,
            wireguard_private_key="k",
        )
    )
    return store


def said(directory: Path, *, after: float = 0) -> str:
    """Return what `status` says."""
    now = NOW + timedelta(seconds=after)
    command = StatusCommand(state=directory, runtime=directory)
    return "\n".join(status.lines(command, now=now))


def test_a_fresh_gateway_is_closed(tmp_path: Path) -> None:
    enrolled(tmp_path)
    text = said(tmp_path)
    assert "gw_1 of peerage" in text
    assert "none accepted yet: closed" in text
    assert "not running" in text


def test_status_shows_the_key_for_an_auditors_policy_file(tmp_path: Path) -> None:
    store = enrolled(tmp_path)
    assert "witness     no key yet" in said(tmp_path)
    kept = Kept(
        seed=bytes(32),
        keys={"control": "a", "connections": "b"},
        heads={
            "control": Head(size=7, root=bytes(32)),
            "connections": Head(size=0, root=bytes(32)),
        },
    )
    store.write_witness(kept.document())
    text = said(tmp_path)
    key = next(line for line in text.splitlines() if line.startswith("witness"))
    assert parse_witness_key(key.split()[1]).name == "gw_1"
    assert "cosigned    connections up to 0 leaves, control up to 7 leaves" in text
    store.write_witness(Kept(seed=bytes(32)).document())
    assert "cosigned    nothing yet" in said(tmp_path)


def test_status_shows_generation_lease_and_spool(tmp_path: Path) -> None:
    store = enrolled(tmp_path)
    store.write_accepted(signer().snapshot(snapshot(12)))
    store.write_lease(signer().lease(snapshot(12)))
    spool = Spool(store.spool_directory)
    spool.append({"kind": "start"})
    spool.close()
    store.lock()
    text = said(tmp_path, after=100)
    store.unlock()
    assert "generation  1.12" in text
    assert "800 s left, until 2026-11-23T12:15:00Z" in text
    assert "1 records to deliver" in text
    assert "agent       runs and has told nothing at all" in text


def test_status_shows_what_names_stand_for(tmp_path: Path) -> None:
    store = enrolled(tmp_path)
    policy = replace(
        facts(),
        applications=(
            application(3, "db.example.com@10.50.0.0/24 any"),
            application(5, "www.example.com@10.50.0.0/24 any"),
        ),
    )
    store.write_accepted(signer().snapshot(snapshot(of=policy)))
    store.write_names(
        {
            **resolved("db.example.com 10.50.0.10 10.50.0.9", end=NOW + MINUTE),
            **resolved("www.example.com 10.50.0.10", end=NOW),
        }
    )
    text = said(tmp_path)
    assert "name        db.example.com: 10.50.0.10, 10.50.0.9" in text
    assert "name        www.example.com: stands for nothing" in text


def test_a_lease_that_ran_out_reads_as_closed(tmp_path: Path) -> None:
    store = enrolled(tmp_path)
    store.write_accepted(signer().snapshot(snapshot()))
    assert "lease       none: closed" in said(tmp_path)
    store.write_lease(signer().lease(snapshot()))
    assert "closed: the lease ran out" in said(tmp_path, after=900)


def test_a_stored_snapshot_of_somebody_else_is_named(tmp_path: Path) -> None:
    enrolled(tmp_path).write_accepted(signer(2).snapshot(snapshot()))
    with pytest.raises(StoreError, match="no pinned key"):
        said(tmp_path)


def test_status_before_enrolment_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--state", str(tmp_path)]) == 1
    assert "run `peerage-gateway enroll`" in capsys.readouterr().err


def test_status_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    enrolled(tmp_path)
    assert main(["status", "--state", str(tmp_path)]) == 0
    assert "gw_1" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "wg 0", "wg0;", "WG0", "0wg", "a" * 16, "wg/0"])
def test_an_interface_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="not an interface name"):
        parse(["run", "--interface", name])


def test_run_takes_a_state_and_an_interface(tmp_path: Path) -> None:
    command = parse(["run", "--state", str(tmp_path), "--interface", "wg7"])
    assert command == RunCommand(state=tmp_path, runtime=tmp_path, interface="wg7")


def test_a_token_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    words = ["enroll", "--portal", "https://p.example", "--state", str(tmp_path)]
    command = parse([*words, "--token-file", str(tmp_path / "token")])
    assert command.token == "secret"  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="cannot be read"):
        parse([*words, "--token-file", str(tmp_path / "absent")])


def test_plain_http_needs_the_word_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["enroll", "--portal", "http://127.0.0.1:1", "--token", "t"]
    assert main([*words, "--state", str(tmp_path)]) == 1
    assert "--insecure-http" in capsys.readouterr().err


def test_the_agent_needs_no_django() -> None:
    code = (
        "import sys, gateway.__main__\n"
        "bad = {'django', 'rest_framework', 'celery', 'peers', 'portal'}\n"
        "sys.exit(', '.join(bad & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_run_takes_resolvers_in_order() -> None:
    words = ("10.0.0.53", "10.0.0.54:5353", "[fd00::53]:54", "[fd00::53]", "fd00::54")
    command = parse(["run", *(w for s in words for w in ("--resolver", s))])
    assert isinstance(command, RunCommand)
    assert [(str(s.address), s.port) for s in command.resolvers] == [
        ("10.0.0.53", 53),
        ("10.0.0.54", 5353),
        ("fd00::53", 54),
        ("fd00::53", 53),
        ("fd00::54", 53),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "dns.example.com", "10.0.0.53:0", "10.0.0.53:65536", "[fd::", ":53"],
)
def test_a_resolver_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(["run", "--resolver", text])


@pytest.mark.parametrize(
    ("given", "total"), [("1G", 1 << 30), ("64K", 1 << 16), ("512M", 1 << 29)]
)
def test_evidence_on_disk_is_bounded_as_told(given: str, total: int) -> None:
    command = parse(["run", "--spool-limit", given, "--spool-keep-free", "0"])
    assert isinstance(command, RunCommand)
    assert command.spool == Limits(total=total, free_percent=0)


@pytest.mark.parametrize(
    "words",
    [
        ["--spool-limit", "1"],
        ["--spool-limit=-1G"],
        ["--spool-limit", "1.5G"],
        ["--spool-limit", "9999999999999G"],
        ["--spool-keep-free", "100"],
        ["--spool-keep-free", "-1"],
    ],
)
def test_bounds_that_are_none_are_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError):
        parse(["run", *words])

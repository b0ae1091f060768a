"""A gateway cosigns what continues what it cosigned, across restarts and refusals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from audit.tlog.cosignature import parse_witness_key
from audit.tlog.note import verify_note
from gateway.errors import PortalAnswerError, PortalUnreachableError, StoreError
from gateway.store import WITNESS, Store
from gateway.witness import Shown, Witness
from tests.audit.witness.log import MemoryLog
from tests.gateway.fakes import FakePortal
from tests.gateway.world import GATEWAY, NOW


@dataclass
class Host:
    """A gateway's state directory and the portal it sees."""

    store: Store
    portal: FakePortal
    log: MemoryLog

    def start(self) -> Witness:
        """Start a witness as after a kill: only what is on disk is left."""
        return Witness(
            store=self.store, portal=self.portal, name=GATEWAY, clock=lambda: NOW
        )

    def told(self) -> list[str]:
        """Return what was said, as words."""
        return [" ".join(sorted(told)) for told in self.portal.witnessed]


SIGNED = "key line log size"
REFUSED = "log refused"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    portal, log = FakePortal(), MemoryLog()
    log.add(b"a", b"b", b"c")
    portal.logs["control"] = log
    store = Store(tmp_path)
    store.create()
    return Host(store, portal, log)


def rewritten(log: MemoryLog, *leaves: bytes) -> MemoryLog:
    """Return a log by the same key whose history is another one."""
    other = MemoryLog(key=log.key)
    other.add(*leaves)
    return other


def test_each_head_is_cosigned_once(host: Host) -> None:
    witness = host.start()
    assert (witness.step(), witness.step()) == (1, 0)
    host.log.add(b"d")
    assert witness.step() == 1
    assert host.told() == [SIGNED, SIGNED]
    told = host.portal.witnessed[-1]
    assert (told["log"], told["key"]) == ("control", str(witness.key))
    key = parse_witness_key(told["key"])
    verify_note((host.log.note() + told["line"]).encode(), [key])


def test_after_a_restart_key_and_head_are_the_same(host: Host) -> None:
    first = host.start()
    first.step()
    second = host.start()
    assert second.key == first.key
    assert second.step() == 0


def test_g03_a_history_rewritten_with_the_stolen_key_is_not_cosigned(
    host: Host,
) -> None:
    host.start().step()
    host.portal.logs["control"] = rewritten(host.log, b"x", b"b", b"c", b"d")
    witness = host.start()
    assert (witness.step(), witness.step()) == (0, 0)
    assert host.told() == [SIGNED, REFUSED]
    evidence = host.store.directory / "witness-control.fork"
    assert evidence.read_bytes() == host.portal.logs["control"].request(3)


def test_g02_a_log_that_became_shorter_is_not_cosigned(host: Host) -> None:
    witness = host.start()
    witness.step()
    del host.log.hashes[1:]
    assert witness.step() == 0
    assert "1 leaves where there were 3" in host.portal.witnessed[-1]["refused"]
    host.log.add(b"b", b"c", b"d")
    assert witness.step() == 1


def test_the_first_fork_is_kept_whatever_is_shown_after_it(host: Host) -> None:
    witness = host.start()
    witness.step()
    fork = rewritten(host.log, b"x", b"b", b"c", b"d")
    host.portal.logs["control"] = fork
    witness.step()
    first = fork.request(3)
    for leaf in (b"e", b"f"):
        fork.add(leaf)
        witness.step()
    evidence = host.store.directory / "witness-control.fork"
    assert evidence.read_bytes() == first
    assert host.told() == [SIGNED, REFUSED]


def test_what_the_logs_key_did_not_sign_convicts_nobody(host: Host) -> None:
    host.start().step()
    forged = MemoryLog()
    forged.add(b"a")
    key, request = str(host.log.verifier), forged.request(1)
    shown = Shown(key=key, request=request)
    host.portal.show_log = lambda _name, **_: shown  # type: ignore[method-assign]
    host.start().step()
    assert not list(host.store.directory.glob("*.fork"))


def test_another_key_of_a_log_is_not_believed(host: Host) -> None:
    host.start().step()
    thief = MemoryLog()
    thief.add(b"a", b"b", b"c", b"d")
    host.portal.logs["control"] = thief
    assert host.start().step() == 0
    assert "not the one first seen" in host.portal.witnessed[-1]["refused"]


def test_logs_do_not_hold_up_each_other(host: Host) -> None:
    witness = host.start()
    witness.step()
    host.portal.logs["control"] = rewritten(host.log, b"x", b"b", b"c", b"d")
    other = MemoryLog(origin="audit.test/connections")
    other.add(b"a")
    host.portal.logs["connections"] = other
    assert witness.step() == 1
    assert host.portal.witnessed[-1]["log"] == "connections"


def test_what_is_not_kept_is_not_signed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = host.start()

    def full(_document: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(host.store, "write_witness", full)
        with pytest.raises(StoreError):
            witness.step()
    assert host.told() == []
    assert witness.step() == 1


def test_a_lost_answer_costs_one_signature_and_no_more(host: Host) -> None:
    witness = host.start()
    host.portal.is_reachable = False
    with pytest.raises(PortalUnreachableError):
        witness.step()
    host.portal.is_reachable = True
    host.log.add(b"d")
    assert witness.step() == 1


def test_a_key_that_is_none_is_no_answer(host: Host) -> None:
    shown = Shown(key="nonsense", request=host.log.request(0))
    host.portal.show_log = lambda _name, **_: shown  # type: ignore[method-assign]
    with pytest.raises(PortalAnswerError):
        host.start().step()


def test_a_damaged_file_is_told_by_name(host: Host) -> None:
    host.start()
    path = host.store.directory / WITNESS
    path.write_bytes(path.read_bytes().replace(b'"seed": "', b'"seed": "A', 1))
    with pytest.raises(StoreError, match=WITNESS):
        host.start()

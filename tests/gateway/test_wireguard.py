"""The userspace protocol against a small server that speaks it; both drivers' texts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import wireguard
from gateway.errors import WireGuardError
from gateway.wireguard import UapiWireGuard, clamped
from policies.compiler.types import network
from tests.gateway.world import private_text, public_text


class Uapi:
    """A socket that notes what it is asked and answers what it is told."""

    def __init__(self, path: Path) -> None:
        """Listen."""
        self.path = path
        self.asked: list[str] = []
        self.answer = "errno=0\n\n"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, as a program that dies: the socket file stays."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                text = ""
                while not text.endswith("\n\n"):
                    text += client.recv(4096).decode()
                self.asked.append(text)
                client.sendall(self.answer.encode())


@pytest.fixture
def uapi(tmp_path: Path) -> Iterator[Uapi]:
    """Return a listening socket."""
    server = Uapi(tmp_path / "wg0.sock")
    yield server
    if server._socket.fileno() >= 0:  # noqa: SLF001 -- a test may have closed it
        server.close()


def hexadecimal(name: str) -> str:
    """Return a public key as the protocol writes it."""
    return wireguard._hex(public_text(name))  # noqa: SLF001 -- the protocol's spelling


def test_another_private_key_than_was_set_is_seen(uapi: Uapi) -> None:
    driver = UapiWireGuard(uapi.path)
    mine, other = private_text("gateway"), private_text("x")
    uapi.answer = f"private_key={clamped(mine).hex()}\nerrno=0\n\n"
    assert driver.read().is_keyed
    driver.set_private_key(mine)
    assert driver.read().is_keyed
    uapi.answer = f"private_key={clamped(other).hex()}\nerrno=0\n\n"
    assert not driver.read().is_keyed


def test_the_state_is_read_with_every_prefix(uapi: Uapi) -> None:
    uapi.answer = (
        f"private_key={'0' * 64}\nlisten_port=51820\n"
        f"public_key={hexadecimal('alice')}\nlast_handshake_time_sec=0\n"
        "allowed_ip=100.64.0.7/32\nallowed_ip=fd5e::7/128\n"
        f"public_key={hexadecimal('bob')}\nerrno=0\n\n"
    )
    state = UapiWireGuard(uapi.path).read()
    assert state.listen_port == 51820
    assert state.peers == {
        public_text("alice"): frozenset(
            {network("100.64.0.7/32"), network("fd5e::7/128")}
        ),
        public_text("bob"): frozenset(),
    }


def test_peers_are_changed_without_being_removed(uapi: Uapi) -> None:
    driver = UapiWireGuard(uapi.path)
    driver.set_peers({public_text("alice"): frozenset({network("100.64.0.7/32")})})
    (asked,) = uapi.asked
    assert asked == (
        f"set=1\npublic_key={hexadecimal('alice')}\nreplace_allowed_ips=true\n"
        "allowed_ip=100.64.0.7/32\n\n"
    )


def test_many_peers_leave_in_one_operation(uapi: Uapi) -> None:
    UapiWireGuard(uapi.path).remove_peers([public_text("alice"), public_text("bob")])
    (asked,) = uapi.asked
    assert asked == (
        f"set=1\npublic_key={hexadecimal('alice')}\nremove=true\n"
        f"public_key={hexadecimal('bob')}\nremove=true\n\n"
    )


def test_nothing_to_change_asks_nothing(uapi: Uapi) -> None:
    driver = UapiWireGuard(uapi.path)
    driver.remove_peers([])
    driver.set_peers({})
    assert uapi.asked == []


def test_a_refusal_is_an_error(uapi: Uapi) -> None:
    uapi.answer = "errno=-22\n\n"
    with pytest.raises(WireGuardError, match="errno=-22"):
        UapiWireGuard(uapi.path).set_listen_port(1)


def test_an_answer_that_breaks_off_is_an_error(uapi: Uapi) -> None:
    uapi.answer = "listen_port=1\n"
    with pytest.raises(WireGuardError, match="refused"):
        UapiWireGuard(uapi.path).read()


def test_a_socket_nobody_listens_on_is_no_interface(
    uapi: Uapi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wireguard, "SOCKETS", uapi.path.parent)
    assert wireguard.userspace("wg0") is not None
    uapi.close()
    assert wireguard.userspace("wg0") is None
    assert wireguard.userspace("wg1") is None


def test_a_key_that_is_no_key_never_reaches_the_socket(uapi: Uapi) -> None:
    with pytest.raises(ValueError, match=r"[Ii]ncorrect padding|base64"):
        UapiWireGuard(uapi.path).set_private_key("x\nremove=true")
    assert uapi.asked == []

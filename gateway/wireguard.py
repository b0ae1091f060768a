"""One WireGuard interface, two drivers behind the same methods.

* UAPI: the unix socket of wireguard-go and other userspace implementations
  (https://www.wireguard.com/xplatform/). Started here where the kernel has none.
* Kernel: generic netlink, in `gateway.wireguard_kernel`.

Rules: peers change by difference and are never removed and added again (that is a
blackout of 15 seconds for the person behind it); the listen port is set only when
it differs, because wireguard-go closes and opens its sockets for it.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

from gateway import links
from gateway.errors import WireGuardError
from gateway.types import InterfaceState, PeerMap, Sighting
from policies.compiler.types import IPNetwork, network

SOCKETS: Final = Path("/var/run/wireguard")
START_SECONDS: Final = 5.0
PROGRAM: Final = "wireguard-go"
READ_BYTES: Final = 1 << 16


class WireGuard(Protocol):
    """A WireGuard interface."""

    def read(self) -> InterfaceState:
        """Return what the interface holds."""

    def set_private_key(self, private_key: str) -> None:
        """Set the private key (base64)."""

    def set_listen_port(self, port: int) -> None:
        """Listen on another port."""

    def remove_peers(self, keys: Iterable[str]) -> None:
        """Remove the peers with these public keys."""

    def set_peers(self, peers: PeerMap) -> None:
        """Add peers, or change the AllowedIPs of those there are."""


class UapiWireGuard:
    """The cross-platform userspace protocol, one connection per operation."""

    def __init__(self, path: Path) -> None:
        """Talk to the socket at `path`."""
        self._path = path
        self._private_key = ""

    def read(self) -> InterfaceState:
        """Return what the interface holds."""
        port, private_key, key = 0, "", ""
        peers: dict[str, set[IPNetwork]] = {}
        facts: dict[str, dict[str, str]] = {}
        for line in self._ask("get=1\n\n").splitlines():
            name, _, value = line.partition("=")
            match name:
                case "listen_port":
                    port = int(value)
                case "private_key":
                    private_key = value
                case "public_key":
                    key = _base64(value)
                    peers[key], facts[key] = set(), {}
                case "allowed_ip":
                    peers[key].add(network(value))
                case _ if key:
                    facts[key][name] = value
                case _:
                    pass
        held = {key: frozenset(found) for key, found in peers.items()}
        return InterfaceState(
            listen_port=port,
            peers=held,
            is_keyed=self._private_key in {"", private_key},
            seen={key: _sighting(found) for key, found in facts.items()},
        )

    def set_private_key(self, private_key: str) -> None:
        """Set the private key (base64)."""
        self._ask(f"set=1\nprivate_key={_hex(private_key)}\n\n")
        self._private_key = clamped(private_key).hex()

    def set_listen_port(self, port: int) -> None:
        """Listen on another port."""
        self._ask(f"set=1\nlisten_port={port}\n\n")

    def remove_peers(self, keys: Iterable[str]) -> None:
        """Remove the peers with these public keys."""
        lines = [f"public_key={_hex(key)}\nremove=true\n" for key in keys]
        if lines:
            self._ask(f"set=1\n{''.join(lines)}\n")

    def set_peers(self, peers: PeerMap) -> None:
        """Add peers, or change the AllowedIPs of those there are."""
        lines = [
            f"public_key={_hex(key)}\nreplace_allowed_ips=true\n"
            + "".join(f"allowed_ip={prefix}\n" for prefix in sorted(prefixes, key=str))
            for key, prefixes in peers.items()
        ]
        if lines:
            self._ask(f"set=1\n{''.join(lines)}\n")

    def _ask(self, text: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect(str(self._path))
                client.sendall(text.encode("ascii"))
                answer = self._receive(client)
        except OSError as exc:
            raise WireGuardError(f"{self._path}: {exc.strerror or exc}") from exc
        if "\nerrno=0\n" not in f"\n{answer}":
            tail = answer.strip().splitlines()[-1:] or ["no answer"]
            raise WireGuardError(f"{self._path} refused: {tail[0]}")
        return answer

    @staticmethod
    def _receive(client: socket.socket) -> str:
        """Read until the empty line that ends an answer."""
        chunks = bytearray()
        while not chunks.endswith(b"\n\n"):
            chunk = client.recv(READ_BYTES)
            if not chunk:
                break
            chunks += chunk
        return chunks.decode("ascii")


def userspace(interface: str) -> UapiWireGuard | None:
    """Return the driver of a running userspace implementation, or None."""
    path = SOCKETS / f"{interface}.sock"
    if not path.exists():
        return None
    driver = UapiWireGuard(path)
    try:
        driver.read()
    except WireGuardError:
        # The socket of a program that died; nobody will answer on it again.
        return None
    return driver


def start_userspace(interface: str, *, log: Path) -> tuple[UapiWireGuard, int]:
    """Start wireguard-go for `interface`; return its driver and its process id.

    It outlives this program: the tunnel stays while the agent is restarted.

    Raises:
        WireGuardError: it is not installed, or does not answer in five seconds.
    """
    (SOCKETS / f"{interface}.sock").unlink(missing_ok=True)
    environment = {**os.environ, "WG_PROCESS_FOREGROUND": "1"}
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 -- a fixed program and a checked name
                [PROGRAM, "--foreground", interface],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
    except OSError as exc:
        raise WireGuardError(
            f"the kernel has no WireGuard and {PROGRAM} cannot start: {exc.strerror}"
        ) from exc
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        driver = userspace(interface)
        if driver is not None and links.exists(interface):
            # It is left running on purpose; Popen would warn about that.
            process.returncode = 0
            return driver, process.pid
        time.sleep(0.01)
    if process.poll() is None:
        process.terminate()
        process.wait()
    raise WireGuardError(f"{PROGRAM} did not start; see {log}")


def _sighting(facts: Mapping[str, str]) -> Sighting:
    seconds = int(facts.get("last_handshake_time_sec", "0"))
    nanoseconds = int(facts.get("last_handshake_time_nsec", "0"))
    return Sighting(
        handshake_ns=seconds * 10**9 + nanoseconds,
        endpoint=facts.get("endpoint", ""),
        received=int(facts.get("rx_bytes", "0")),
        sent=int(facts.get("tx_bytes", "0")),
    )


def clamped(private_key: str) -> bytes:
    """Return a private key (base64) as an interface gives it back (RFC 7748 §5)."""
    key = bytearray(base64.b64decode(private_key, validate=True))
    key[0] &= 248
    key[31] = key[31] & 127 | 64
    return bytes(key)


def _hex(key: str) -> str:
    return base64.b64decode(key, validate=True).hex()


def _base64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode("ascii")

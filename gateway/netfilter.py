"""nftables through libnftables, and the switches of conntrack and forwarding.

* One call of `Nftables.run` is one transaction: all of it, or nothing.
* The text comes from `policies.compiler.nftables`; nothing is composed here.
* libnftables is loaded by ctypes: starting the `nft` program would cost 20 ms.
* What changes nothing but elements of plain hash sets goes to the kernel directly
  (`ElementWriter`): libnftables lists the table first, which takes milliseconds.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import json
import os
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gateway.elements import SUBSYSTEM, requests
from gateway.errors import KernelError, NetlinkError, NftablesError
from gateway.netlink import NETLINK_NETFILTER, NFGENMSG, NetlinkSocket, attribute
from policies.compiler.delta import ElementChange

OUTPUT_HANDLE: Final = 1 << 3
OUTPUT_JSON: Final = 1 << 4
SONAME: Final = "libnftables.so.1"
GET_TABLE: Final = 10 << 8 | 1  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE
SEND_BUFFER: Final = 1 << 20
"""For a batch of `elements.MOST` changes, each in a set of its own."""
TABLE_NAME: Final = 1  # NFTA_TABLE_NAME
INET: Final = 1  # NFPROTO_INET

SWITCHES: Final = (
    # Counters and start times of a flow: both off by default, both evidence.
    ("net/netfilter/nf_conntrack_acct", "1"),
    ("net/netfilter/nf_conntrack_timestamp", "1"),
    # The default 2 makes no events for flows that began while nobody listened.
    ("net/netfilter/nf_conntrack_events", "1"),
    # A cut flow must not come back from the middle of its stream.
    ("net/netfilter/nf_conntrack_tcp_loose", "0"),
    # The record of a closed connection is written when its entry ends: not after
    # the two minutes of TIME_WAIT.
    ("net/netfilter/nf_conntrack_tcp_timeout_time_wait", "5"),
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
)
"""What the kernel must do, with the reason beside what is not obvious."""


class Nftables:
    """A libnftables context; safe to share between threads."""

    def __init__(self) -> None:
        """Load the library and make a context.

        Raises:
            KernelError: the library is not installed.
        """
        try:
            library = ctypes.CDLL(SONAME)
        except OSError as exc:
            raise KernelError(f"{SONAME} is missing: install libnftables1") from exc
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_free.argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            function = getattr(library, name)
            function.restype = ctypes.c_char_p
            function.argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._library = library
        self._lock = threading.Lock()
        self._context = library.nft_ctx_new(0)
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def run(self, text: str) -> None:
        """Apply one transaction.

        Raises:
            NftablesError: libnftables refused; nothing was applied.
        """
        with self._lock:
            self._run(text)

    def list_table(self, table: str) -> list[dict[str, Any]] | None:
        """Return `table` (`inet name`) as libnftables-json(5) objects.

        None when there is no such table.

        Raises:
            NftablesError: the listing failed for another reason.
        """
        with self._lock:
            self._library.nft_ctx_output_set_flags(self._context, OUTPUT_JSON)
            try:
                output = self._run(f"list table {table}")
            except NftablesError as exc:
                if "No such file or directory" in str(exc):
                    return None
                raise
            finally:
                self._library.nft_ctx_output_set_flags(self._context, 0)
        objects: list[dict[str, Any]] = json.loads(output)["nftables"]
        return objects

    def list_all(self, what: str) -> list[dict[str, Any]]:
        """Return every `tables` or `chains` there is, whoever made them.

        Raises:
            NftablesError: the listing failed.
        """
        with self._lock:
            self._library.nft_ctx_output_set_flags(self._context, OUTPUT_JSON)
            try:
                output = self._run(f"list {what}")
            finally:
                self._library.nft_ctx_output_set_flags(self._context, 0)
        objects: list[dict[str, Any]] = json.loads(output)["nftables"]
        return objects

    def rule_text(self, table: str, chain: str, handle: int) -> str:
        """Return the rule with that handle as nft(8) writes it, or nothing.

        Raises:
            NftablesError: the listing failed; also where the chain is gone.
        """
        with self._lock:
            self._library.nft_ctx_output_set_flags(self._context, OUTPUT_HANDLE)
            try:
                output = self._run(f"list chain {table} {chain}")
            finally:
                self._library.nft_ctx_output_set_flags(self._context, 0)
        for line in output.splitlines():
            rule, _, number = line.strip().rpartition(" # handle ")
            if number == str(handle):
                return rule
        return ""

    def close(self) -> None:
        """Free the context; the ruleset stays."""
        with self._lock:
            if self._context:
                self._library.nft_ctx_free(self._context)
                self._context = None

    def _run(self, text: str) -> str:
        code = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context)
        error: bytes = self._library.nft_ctx_get_error_buffer(self._context)
        if code:
            message = error.decode(errors="replace").strip() or f"error {code}"
            raise NftablesError(f"nftables refused the transaction: {message}")
        return output.decode()


class ElementWriter:
    """Adds and deletes elements of plain hash sets; safe to share between threads.

    One socket for all: closing one waits until the kernel has freed what earlier
    transactions deleted, which takes longer than they did.
    """

    def __init__(self) -> None:
        """Open a socket."""
        self._socket = NetlinkSocket(NETLINK_NETFILTER, send_buffer=SEND_BUFFER)
        self._lock = threading.Lock()

    def run(
        self, changes: Sequence[ElementChange], *, interface: str, now: datetime
    ) -> None:
        """Apply changes, all of them or none.

        Raises:
            NftablesError: the kernel refused; nothing was applied.
        """
        batch = requests(changes, interface=interface, now=now)
        if not batch:
            return
        messages = [(r.kind, r.flags, r.payload) for r in batch]
        try:
            with self._lock:
                numbers = self._socket.transact(SUBSYSTEM, messages)
        except OSError as exc:
            raise NftablesError(f"nftables did not take the batch: {exc}") from exc
        refused = [
            f"{request.what}: {os.strerror(number)}"
            for request, number in zip(batch, numbers, strict=True)
            if number
        ]
        if refused:
            raise NftablesError(f"nftables refused the batch: {'; '.join(refused)}")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def has_table(name: str) -> bool:
    """Return whether the kernel has an `inet` table of that name.

    Raises:
        NetlinkError: it does not say.
    """
    payload = NFGENMSG.pack(INET, 0, 0)
    payload += attribute(TABLE_NAME, name.encode("ascii") + b"\0")
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        number = netlink.send(((GET_TABLE, 0, payload),))[0]
    if number not in {0, errno.ENOENT}:
        raise NetlinkError(number, f"table {name}")
    return not number


def set_switches(root: Path = Path("/proc/sys")) -> None:
    """Set every switch of `SWITCHES`, leaving those that stand right already.

    Raises:
        KernelError: one cannot be set; the message names it and the fix.
    """
    for name, wanted in SWITCHES:
        path = root / name
        try:
            if path.read_text().strip() != wanted:
                path.write_text(wanted)
        except OSError as exc:
            key = name.replace("/", ".")
            msg = f"cannot set {key}={wanted} ({exc.strerror}): try sysctl -w"
            raise KernelError(msg) from exc

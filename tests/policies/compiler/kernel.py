"""A real kernel of one's own: a network namespace in which nft(8) may do anything.

Nothing here skips. A machine that refuses namespaces fails these tests.
"""

from __future__ import annotations

import json
import subprocess
from types import TracebackType
from typing import Self

from policies.compiler.nftables import Ruleset
from policies.compiler.readback import ruleset_from_nft
from tests.policies.compiler.build import NOW


class Kernel:
    """Use as a context manager; the namespace ends with it."""

    def __enter__(self) -> Self:
        """Make the namespace and a process that keeps it."""
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", "echo ready; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            _, error = self._holder.communicate()
            msg = f"no network namespace here: {error}"
            raise RuntimeError(msg)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process, and with it the namespace."""
        self._holder.communicate()

    def run(self, *command: str, given: str = "") -> str:
        """Run a command inside and return what it says."""
        done = subprocess.run(
            self.inside(*command),
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr[:2000]}\n{given[:5000]}"
        return done.stdout

    def inside(self, *command: str) -> list[str]:
        """Return a command line that runs a command inside."""
        return ["nsenter", "-t", str(self._holder.pid), "-n", *command]

    def load(self, script: str) -> None:
        """Apply a script as one transaction."""
        self.run("nft", "-f", "-", given=script)

    def check(self, script: str) -> None:
        """Have the kernel check a script without applying it."""
        self.run("nft", "-c", "-f", "-", given=script)

    def listing(self, interface: str = "wg0") -> object:
        """Return the table as parsed JSON."""
        table = f"peerage_{interface}"
        listed: object = json.loads(
            self.run("nft", "-j", "list", "table", "inet", table)
        )
        return listed

    def ruleset(self, interface: str = "wg0") -> Ruleset:
        """Return the table as it is read back."""
        return ruleset_from_nft(self.listing(interface), interface=interface, now=NOW)

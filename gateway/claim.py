"""One agent for one interface, by the kernel's own word."""

from __future__ import annotations

import time
from typing import Final

from gateway.errors import KernelError, NftablesError
from gateway.netfilter import Nftables, has_table
from policies.compiler.nftables import claim_name, claim_text

TRIES: Final = 20
PAUSE_SECONDS: Final = 0.1


class Claim:
    """The right to enforce on one interface; one process has it.

    It is a table that the kernel gives to the netlink socket which made it (nft(8):
    flags owner): nobody else can make or delete it, a flushed ruleset leaves it, and it
    goes with the process, however that ends. Who may not change nftables cannot take
    it, unlike a name of a socket or a file that all may lock.
    """

    def __init__(self, interface: str) -> None:
        """Prepare; `take` takes it."""
        self._interface = interface
        self._owner = Nftables()

    def take(self) -> None:
        """Have it until `close`.

        Raises:
            KernelError: another process has it, or the kernel refuses.
        """
        for _ in range(TRIES):
            try:
                self._owner.run(claim_text(self._interface))
            except NftablesError:
                if not has_table(claim_name(self._interface)):
                    raise
                # The kernel may still be clearing up behind one that was killed.
                time.sleep(PAUSE_SECONDS)
            else:
                return
        raise KernelError(f"another agent enforces on {self._interface}")

    def close(self) -> None:
        """Leave it to others."""
        self._owner.close()

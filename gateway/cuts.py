"""Keys that were cut ahead of a snapshot, until a snapshot says so itself. Pure.

A key stays cut whatever snapshot comes (one that was compiled before the revocation
may come after the notice) until an accepted snapshot has it among its `revoked`. From
then on the snapshot remembers it, because no later one may forget it (`trust`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from policies.compiler.narrow import without_keys
from policies.compiler.notice import Notice
from policies.compiler.types import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """The notices no accepted snapshot covers yet, each with its envelope.

    `number` is the last one accepted, covered or not; `epoch` is the one it counts in.
    """

    epoch: int
    number: int = 0
    notices: tuple[tuple[Notice, bytes], ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """The keys that are cut."""
        return frozenset[str]().union(*(notice.keys for notice, _ in self.notices))

    def with_notice(
        self, notice: Notice, envelope: bytes, *, is_counted: bool = True
    ) -> Cuts:
        """Return these and one more; not counted if one before it is missing."""
        return replace(
            self,
            number=notice.number if is_counted else self.number,
            notices=(*self.notices, (notice, envelope)),
        )

    def beyond(self, revoked: Collection[str]) -> Cuts:
        """Return what is left when a snapshot says that these keys are revoked."""
        if not self.notices:
            return self
        known = frozenset(revoked)
        return replace(
            self, notices=tuple(kept for kept in self.notices if kept[0].keys - known)
        )

    def less(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot without the peers that are cut, itself if there is none.

        Of a snapshot that is accepted, that is what is enforced.
        """
        return without_keys(snapshot, self.keys) if self.notices else snapshot

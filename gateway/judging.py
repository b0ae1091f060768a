"""From an answer of the portal to what may be held: judged, and its traces on disk.

The rules are `gateway.trust`'s, the files `gateway.standing`'s; here they meet. A delta
is judged as the whole that it leads to, a contradiction is kept before it is refused,
and a step to a higher epoch is on disk before it counts.

A peer whose key was ever revoked is refused, but for one that a notice still cuts: a
snapshot from before the revocation is enforced less that key (ADR-0019).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.client import Answer
from gateway.deltas import whole_envelope
from gateway.errors import DeltaError, EquivocationError, StoreError, UntrustedError
from gateway.logs import Log
from gateway.standing import Standing
from gateway.store import Store
from gateway.trust import Held, Judge
from policies.compiler.types import Lease

log = Log(__name__)


@dataclass(frozen=True, slots=True)
class _Uncut:
    """The keys that are revoked, less those that are cut whatever snapshot comes."""

    revoked: Container[str]
    cut: Callable[[], Collection[str]]

    def __contains__(self, key: object) -> bool:
        return key in self.revoked and key not in self.cut()


class Judging:
    """Judges for one engine, in the highest epoch reached."""

    def __init__(
        self, judge: Judge, store: Store, *, cut: Callable[[], Collection[str]]
    ) -> None:
        """Read what never goes back; `cut` gives the keys that notices cut.

        Raises:
            StoreError: it cannot be read.
        """
        self._store = store
        self._standing = Standing(store.directory)
        self._revoked = _Uncut(self._standing.revoked, cut)
        self.judge = replace(judge, anchor=self._standing.raised(judge.anchor))
        self.takes_delta = True
        """Whether a delta may be asked for; not after one that led nowhere."""

    def go_up(self, envelope: bytes, *, held: Held | None, now: datetime) -> None:
        """Take a step to a higher epoch; kept before it counts.

        Raises:
            UntrustedError: it breaks a rule of trust.
            StoreError: it could not be kept.
        """
        step = self.judge.epoch(envelope, held=held, now=now)
        self._standing.go_up(step)
        self.judge = replace(
            self.judge, anchor=self._standing.raised(self.judge.anchor)
        )
        log.warning("epoch.raised", epoch=step.after, floor=step.generation)

    def stored(self, envelope: bytes, *, now: datetime) -> Held:
        """Return the snapshot that was accepted and kept here.

        Raises:
            UntrustedError: it is not acceptable any more.
        """
        return self.judge.stored(
            envelope, now=now, revoked=self._revoked, least=self._standing.kept
        )

    def revoke(self, keys: Collection[str]) -> None:
        """Know keys for ever that a notice revoked; on disk the notice does already."""
        try:
            self._standing.revoked.add(keys)
        except StoreError as exc:
            log.warning("revoked.unstored", reason=str(exc))

    def knows(self, keys: Collection[str]) -> bool:
        """Return whether all these keys are known to be revoked."""
        return all(key in self._standing.revoked for key in keys)

    def answered(
        self, answer: Answer, *, held: Held | None, lease: Lease | None, now: datetime
    ) -> tuple[Answer, Held, Lease]:
        """Return an answer, whole, with what is held from now on and its lease.

        Raises:
            DeltaError: what a delta led to is refused; the whole must be asked for.
            UntrustedError: the answer breaks a rule of trust.
        """
        if answer.delta is None or answer.snapshot is not None:
            found = self._judged(answer, held, lease, now)
            self.takes_delta = True
            return answer, *found
        self.takes_delta = False
        accepted = self._store.read_accepted()
        answer = replace(answer, snapshot=whole_envelope(accepted, answer.delta))
        try:
            found = self._judged(answer, held, lease, now)
        except UntrustedError as exc:
            # Whether the delta or the snapshot is at fault will be seen by the whole.
            raise DeltaError(f"what a delta led to is refused: {exc}") from exc
        self.takes_delta = True
        return answer, *found

    def remember(self, held: Held) -> None:
        """Know revoked keys for ever; until then the snapshot on disk knows them."""
        try:
            self._standing.revoked.add(held.snapshot.revoked_keys)
            self._standing.remember(held.snapshot.epoch, held.snapshot.generation)
        except StoreError as exc:
            log.warning("revoked.unstored", reason=str(exc))

    def _judged(
        self, answer: Answer, held: Held | None, lease: Lease | None, now: datetime
    ) -> tuple[Held, Lease]:
        """Return what is held from now on with its lease; keep contradictions."""
        try:
            offered = self._offered(answer, held, now)
            return offered, self.judge.lease(
                answer.lease, of=offered, held=lease, now=now
            )
        except EquivocationError:
            accepted = self._store.read_accepted()
            found = [answer.snapshot or answer.lease, *([accepted] if accepted else [])]
            for path in self._standing.keep_contradiction(*found):
                log.error("contradiction.kept", path=str(path))  # noqa: TRY400 -- no traceback: the files are the fact
            raise

    def _offered(self, answer: Answer, held: Held | None, now: datetime) -> Held:
        if answer.snapshot is not None:
            offered = self.judge.snapshot(
                answer.snapshot, held=held, now=now, revoked=self._revoked
            )
            return held if held and offered.digest == held.digest else offered
        if held is None:
            raise UntrustedError("a lease without a snapshot, and none is held")
        return held

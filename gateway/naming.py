"""Keeps what host names stand for true: asks, tells the kernel, remembers.

The decisions are `names`'; here are the questions (several at a time, so that one that
hangs holds up no other for long) and the file that outlives a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.clock import Clock
from gateway.errors import ResolverError, StoreError
from gateway.logs import Log
from gateway.names import Answer, Bounds, Dropped, Names, Query
from gateway.resolver import Resolver
from gateway.store import Store
from policies.compiler.types import IPAddress, Resolved

log = Log(__name__)

ASKING: Final = 8
"""Questions at a time."""
LONGEST_PAUSE: Final = 30.0
KEEP_SECONDS: Final = 5.0
TELL_SECONDS: Final = 30.0
"""The portal is told no more often; what changes all the time is not news."""
RETELL_SECONDS: Final = 120.0
"""Ends that only moved on are written down this often."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the portal was told of names, and when; nothing, long ago, at first."""

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ticks: float = float("-inf")


class Enforcer(Protocol):
    """Who holds the kernel to what names stand for: the engine."""

    def bounds(self) -> Bounds:
        """Return the names in force, each with the prefixes it counts in."""

    def resolve(self, resolved: Resolved) -> dict[str, object] | None:
        """Let names stand for this; return an acknowledgement if all was redone."""


class Naming:
    """The names of one gateway, in rounds. One thread."""

    def __init__(
        self,
        *,
        engine: Enforcer,
        resolver: Resolver,
        store: Store,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        """Know no name yet."""
        self._engine = engine
        self._resolver = resolver
        self._store = store
        self._clock = clock
        self._names = Names(jitter=jitter)
        self._dropped: dict[Query, Dropped] = {}
        self._failing: dict[Query, str] = {}
        self._latest: Resolved = {}
        self._kept: Resolved = {}
        self._kept_at = 0.0

    def recall(self) -> None:
        """Take up what an earlier run wrote down; before the engine opens."""
        now, ticks = self._clock.now(), self._clock.ticks()
        try:
            remembered = self._store.read_names()
        except StoreError as exc:
            # They are asked again; until then they stand for nothing.
            log.warning("names.unread", error=str(exc))
            return
        self._names.recall(remembered, now=now, ticks=ticks)
        self._engine.resolve(self._names.resolved(now=now, ticks=ticks))

    def step(self) -> dict[str, object] | None:
        """Ask what is due and tell the kernel what has changed.

        Returns the acknowledgement if everything had to be applied anew.
        """
        self._names.expect(self._engine.bounds(), ticks=self._clock.ticks())
        self._ask(self._names.due(ticks=self._clock.ticks()))
        now, ticks = self._clock.now(), self._clock.ticks()
        resolved = self._names.resolved(now=now, ticks=ticks)
        acknowledgement = self._engine.resolve(resolved)
        self._keep(resolved, ticks)
        return acknowledgement

    def pause(self) -> float:
        """Return how long nothing needs to be done."""
        longest = LONGEST_PAUSE if self._latest == self._kept else KEEP_SECONDS
        pause = self._names.pause(ticks=self._clock.ticks())
        return longest if pause is None else min(pause, longest)

    def news(self, told: Told) -> Told | None:
        """Return what the portal should be told now, or None.

        `told` is what it was told last. Any thread may ask.
        """
        names = {
            host: tuple(str(address) for address in sorted(found, key=int))
            for host, found in self._latest.items()
        }
        ago = self._clock.ticks() - told.ticks
        if names == told.names:
            is_due = bool(names) and ago >= RETELL_SECONDS
        else:
            is_due = ago >= TELL_SECONDS
        return Told(names, self._clock.ticks()) if is_due else None

    def end(self) -> None:
        """Write down what an orderly end need not forget."""
        self._write(self._clock.ticks())

    def _ask(self, queries: tuple[Query, ...]) -> None:
        if not queries:
            return
        with ThreadPoolExecutor(min(ASKING, len(queries))) as pool:
            for query, answer in pool.map(self._asked, queries):
                self._hear(query, answer)

    def _asked(self, query: Query) -> tuple[Query, Answer | ResolverError]:
        try:
            return query, self._resolver.ask(query)
        except ResolverError as exc:
            return query, exc

    def _hear(self, query: Query, answer: Answer | ResolverError) -> None:
        if isinstance(answer, ResolverError):
            self._names.failed(query, ticks=self._clock.ticks())
            if query not in self._failing:
                log.warning("name.unanswered", host=query.host, error=str(answer))
            self._failing[query] = str(answer)
            return
        if self._failing.pop(query, None):
            log.info("name.answered", host=query.host)
        dropped = self._names.answered(
            query, answer, now=self._clock.now(), ticks=self._clock.ticks()
        )
        if dropped and dropped != self._dropped.get(query):
            log.warning(
                "name.addresses_dropped",
                host=query.host,
                outside=dropped.outside,
                forbidden=dropped.forbidden,
                surplus=dropped.surplus,
            )
        self._dropped[query] = dropped

    def _keep(self, resolved: Resolved, ticks: float) -> None:
        """Write down what names stand for, at once if it is something else."""
        self._latest = resolved
        is_late = ticks - self._kept_at >= KEEP_SECONDS
        if is_late or _addresses(resolved) != _addresses(self._kept):
            self._write(ticks)

    def _write(self, ticks: float) -> None:
        if self._latest == self._kept:
            return
        try:
            self._store.write_names(self._latest)
        except StoreError as exc:
            log.warning("names.unwritten", error=str(exc))
        # What failed is tried again when an end moves on: within minutes.
        self._kept, self._kept_at = self._latest, ticks


def _addresses(resolved: Resolved) -> Mapping[str, frozenset[IPAddress]]:
    return {host: frozenset(addresses) for host, addresses in resolved.items()}

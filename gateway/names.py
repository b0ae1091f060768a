"""What host names stand for here, and when to ask again. Pure: it is told the time.

Rules this module keeps:

* An address counts until the TTL of the last answer that had it has run out, and no
  longer, whatever goes wrong. A failure or an empty answer prolongs nothing and takes
  nothing away before its time.
* TTLs are kept between `SHORTEST` and `LONGEST`.
* An address outside the bounds of its name, or nobody's to grant, never counts. More
  than `MOST_ADDRESSES` of one family do not either: those that end first give way.
* A name is asked again well before its answer ends, at a moment of its own, so that a
  thousand names are not a thousand questions at once.
* Ends are kept by two clocks, the wall and the ticks; the earlier one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from policies.compiler.named import is_grantable
from policies.compiler.ranges import Family, address_family, network_family
from policies.compiler.types import IPAddress, IPNetwork, Resolved

SHORTEST: Final = 30.0
"""Seconds. Answers of a few seconds are for spreading load over servers; cutting
connections and asking as often would serve nobody, and clients cache about as long."""

LONGEST: Final = 300.0
"""Seconds. How long an address may count that DNS has taken back or never should have
given, and how long a dead resolver goes unnoticed by whoever is connected."""

MOST_ADDRESSES: Final = 64
BATCH: Final = 64
"""Questions in one round."""

FIRST_RETRY: Final = 2.0
LONGEST_RETRY: Final = 30.0

Bounds = Mapping[str, tuple[IPNetwork, ...]]


@dataclass(frozen=True, slots=True, order=True)
class Query:
    """What is asked: the addresses of one family that a name has."""

    host: str
    family: Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a resolver said: addresses, or none, and for how many seconds."""

    addresses: tuple[IPAddress, ...]
    ttl: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """How many addresses of an answer do not count, by reason."""

    outside: int = 0
    forbidden: int = 0
    surplus: int = 0

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.outside or self.forbidden or self.surplus)


@dataclass(frozen=True, slots=True)
class _End:
    """Until when an address counts, by both clocks."""

    wall: datetime
    ticks: float


@dataclass(slots=True)
class _Name:
    """What is known of one query."""

    due: float
    failures: int = 0
    held: dict[IPAddress, _End] = field(default_factory=dict)


class Names:
    """The names of one gateway. Not safe to share between threads."""

    def __init__(self, *, jitter: Callable[[], float]) -> None:
        """Know no name; `jitter` gives numbers from 0 to 1."""
        self._jitter = jitter
        self._bounds: Bounds = {}
        self._names: dict[Query, _Name] = {}

    def recall(self, resolved: Resolved, *, now: datetime, ticks: float) -> None:
        """Take up what names stood for in an earlier run, until it ends.

        Nothing counts longer than an answer given now could.
        """
        for host, addresses in resolved.items():
            for address, end in addresses.items():
                left = min((end - now).total_seconds(), LONGEST)
                if left > 0:
                    query = Query(host, address_family(address))
                    name = self._names.setdefault(query, _Name(due=ticks))
                    name.held[address] = _end(left, now=now, ticks=ticks)

    def expect(self, bounds: Bounds, *, ticks: float) -> None:
        """Resolve these names, inside their bounds, from now on and no others."""
        if bounds == self._bounds:
            return
        known, held, self._bounds = self._bounds, self._names, bounds
        self._names = {
            query: self._taken_over(held.get(query), known.get(host), query, ticks)
            for host, prefixes in bounds.items()
            for query in {Query(host, network_family(p)) for p in prefixes}
        }

    def due(self, *, ticks: float) -> tuple[Query, ...]:
        """Return what to ask now, longest due first, no more than one round."""
        waiting = [(name.due, query) for query, name in self._names.items()]
        return tuple(query for due, query in sorted(waiting) if due <= ticks)[:BATCH]

    def answered(
        self, query: Query, answer: Answer, *, now: datetime, ticks: float
    ) -> Dropped:
        """Let an answer count; return how many of its addresses do not."""
        name = self._names.get(query)
        if name is None:
            return Dropped()
        ttl = min(max(answer.ttl, SHORTEST), LONGEST)
        given = {a for a in answer.addresses if a.version == query.family}
        allowed = {a for a in given if is_grantable(a)}
        inside = {a for a in allowed if self._counts(query.host, a)}
        end = _end(ttl, now=now, ticks=ticks)
        name.held |= dict.fromkeys(sorted(inside, key=int), end)
        surplus = self._trim(name, ticks=ticks)
        name.failures = 0
        # Between a half and three quarters of the time: leaves room to fail twice.
        name.due = ticks + ttl * (0.5 + self._jitter() / 4)
        return Dropped(
            outside=len(allowed - inside),
            forbidden=len(given - allowed),
            surplus=surplus,
        )

    def failed(self, query: Query, *, ticks: float) -> None:
        """Ask again after a growing while; what is held ends when it ends."""
        name = self._names.get(query)
        if name is not None:
            delay = min(FIRST_RETRY * 2.0**name.failures, LONGEST_RETRY)
            name.due = ticks + delay * (0.5 + self._jitter() / 2)
            name.failures = min(name.failures + 1, 10)

    def resolved(self, *, now: datetime, ticks: float) -> Resolved:
        """Return what each name stands for, and forget what has ended."""
        found: dict[str, dict[IPAddress, datetime]] = {h: {} for h in self._bounds}
        for query, name in sorted(self._names.items()):
            name.held = {
                address: end
                for address, end in name.held.items()
                if now < end.wall and ticks < end.ticks
            }
            for address, end in name.held.items():
                left = timedelta(seconds=end.ticks - ticks + 1)
                found.setdefault(query.host, {})[address] = min(end.wall, now + left)
        return found

    def pause(self, *, ticks: float) -> float | None:
        """Return the seconds until something is due or ends; None for never."""
        moments = [name.due for name in self._names.values()]
        moments += [e.ticks for n in self._names.values() for e in n.held.values()]
        return max(0.0, min(moments) - ticks) if moments else None

    def _taken_over(
        self,
        name: _Name | None,
        bound: tuple[IPNetwork, ...] | None,
        query: Query,
        ticks: float,
    ) -> _Name:
        """Return what is known of a name; asked at once where its bound is new."""
        if name is None:
            return _Name(due=ticks)
        if bound == self._bounds[query.host]:
            return name
        kept = {a: e for a, e in name.held.items() if self._counts(query.host, a)}
        return _Name(due=ticks, held=kept)

    def _counts(self, host: str, address: IPAddress) -> bool:
        return any(address in prefix for prefix in self._bounds.get(host, ()))

    def _trim(self, name: _Name, *, ticks: float) -> int:
        """Let go of what is too much; return how much of it had not ended."""
        live = sorted(
            ((a, e) for a, e in name.held.items() if ticks < e.ticks),
            key=lambda pair: (-pair[1].ticks, int(pair[0])),
        )
        name.held = dict(live[:MOST_ADDRESSES])
        return len(live[MOST_ADDRESSES:])


def lost(before: Resolved, after: Resolved) -> frozenset[IPAddress]:
    """Return the addresses that some name no longer stands for."""
    return frozenset(
        address
        for host, addresses in before.items()
        for address in addresses
        if address not in after.get(host, {})
    )


def _end(seconds: float, *, now: datetime, ticks: float) -> _End:
    return _End(now + timedelta(seconds=seconds), ticks + seconds)

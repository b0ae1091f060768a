"""What differs between what the kernel should hold and what it was found to hold. Pure.

In words, for people: a rule, an element, a peer, by name. Lists are cut short, for a
record has a limit and whoever flushed a table changed everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.reconcile import Have
from gateway.types import InterfaceState
from policies.compiler.tables import NamedSet, Ruleset

MOST: int = 6
"""Differences of one kind that are named; the rest is a number."""


def differences(known: Have, found: Have) -> tuple[str, ...]:
    """Return what somebody else changed, as far as it can still be seen."""
    return (
        *of_ruleset(known.ruleset, found.ruleset),
        *of_interface(known.interface, found.interface),
    )


def of_interface(known: InterfaceState, found: InterfaceState) -> tuple[str, ...]:
    """Return the peers, prefixes, port and key that are not as they were set."""
    if known.peers == found.peers:
        # The usual case, many times a minute, of thousands of peers.
        changed: Iterator[str] = iter(())
    else:
        changed = _of_peers(known, found)
    phrases = list(_shortened(changed))
    if known.listen_port != found.listen_port:
        phrases.append(f"listen port {found.listen_port}")
    if not found.is_keyed:
        phrases.append("private key changed")
    return tuple(phrases)


def of_ruleset(known: Ruleset | None, found: Ruleset | None) -> tuple[str, ...]:
    """Return the rules and elements that are not as they were loaded."""
    if known is None or found is None:
        return ()
    return (
        *_shortened(_of_chains(known, found)),
        *_shortened(_of_sets(known, found)),
        *_shortened(f"foreign {kind} {name}" for kind, name in found.foreign),
    )


def _of_peers(known: InterfaceState, found: InterfaceState) -> Iterator[str]:
    for key in sorted(found.peers.keys() - known.peers.keys()):
        yield f"peer added: {key} {_prefixes(found.peers[key])}"
    for key in sorted(known.peers.keys() - found.peers.keys()):
        yield f"peer removed: {key}"
    for key in sorted(known.peers.keys() & found.peers.keys()):
        before, after = known.peers[key], found.peers[key]
        if before != after:
            yield f"AllowedIPs of {key}: {_prefixes(before)} became {_prefixes(after)}"


def _of_chains(known: Ruleset, found: Ruleset) -> Iterator[str]:
    before = {chain.name: chain for chain in known.chains}
    after = {chain.name: chain for chain in found.chains}
    yield from (f"chain added: {name}" for name in sorted(after.keys() - before.keys()))
    yield from (f"chain gone: {name}" for name in sorted(before.keys() - after.keys()))
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        if old.hook != new.hook:
            yield f"chain {name} hooked as {new.hook}"
        yield from (f"rule in {name}: {r}" for r in new.rules if r not in old.rules)
        yield from (
            f"rule gone of {name}: {r}" for r in old.rules if r not in new.rules
        )
        if old.rules != new.rules and sorted(old.rules) == sorted(new.rules):
            yield f"rules of {name} in another order"


def _of_sets(known: Ruleset, found: Ruleset) -> Iterator[str]:
    before = {named.name: named for named in known.sets}
    for named in found.sets:
        old = before.get(named.name)
        if old is None:
            yield f"{named.kind} added: {named.name}"
            continue
        had, has = _keys(old), _keys(named)
        yield from (f"element of {named.name}: {e}" for e in sorted(has - had))
        # What has an end may have ended by itself.
        if not named.is_timed:
            yield from (f"element gone of {named.name}: {e}" for e in sorted(had - has))


def _keys(named: NamedSet) -> set[str]:
    return {f"{e.key} : {e.data}" if e.data else e.key for e in named.elements}


def _prefixes(prefixes: Iterable[object]) -> str:
    return ",".join(sorted(str(prefix) for prefix in prefixes)) or "none"


def _shortened(phrases: Iterable[str]) -> Iterator[str]:
    more = 0
    for number, phrase in enumerate(phrases):
        if number < MOST:
            yield phrase
        else:
            more += 1
    if more:
        yield f"and {more} more of the kind"

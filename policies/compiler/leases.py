"""Which applications stand behind a lease of their own, beside the gateway's. Pure.

* The gateway's lease (`live`) stands for a fresh snapshot and a sane clock, and, as
  long as every application is strict, for evidence too. Then only those with a limit
  of their own need another.
* As soon as one application goes on without evidence, `live` must as well; all that
  are strict then stand behind a lease that means evidence.
* One set for each distinct pair of terms, whose one element is the interface. It is
  asked last in a rule, by those applications alone (ADR-0024).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import Final

from policies.compiler.strictness import Strictness
from policies.compiler.types import Application, Snapshot

LIVE: Final = "live"
"""The gateway's lease: declared in the ruleset, but its element is the agent's."""

_PREFIX: Final = "lease_"


def is_lease(name: str) -> bool:
    """Return whether a set's elements are the agent's, and no part of a policy."""
    return name == LIVE or name.startswith(_PREFIX)


def lease_name(terms: Strictness) -> str:
    """Return the set whose one element, the interface, stands while terms are met."""
    kind = "strict" if terms.is_strict else "best"
    limit = "" if terms.max_staleness is None else f"_{terms.max_staleness}"
    return f"{_PREFIX}{kind}{limit}"


def needs_evidence(applications: Iterable[Application]) -> bool:
    """Return whether the gateway's own lease demands that evidence is recorded."""
    return all(application.strictness.is_strict for application in applications)


def leased(applications: Collection[Application]) -> Mapping[int, Strictness]:
    """Return the applications that stand behind a lease of their own."""
    is_covered = needs_evidence(applications)
    return {
        application.id: terms
        for application in applications
        if (terms := application.strictness).max_staleness is not None
        or (terms.is_strict and not is_covered)
    }


def seconds_left(terms: Strictness, *, silent_for: float, is_recorded: bool) -> float:
    """Return how long terms are met still; 0 or less when they are not.

    `silent_for` are the seconds since the portal's last word, and `is_recorded` says
    whether evidence becomes durable.
    """
    if terms.is_strict and not is_recorded:
        return 0.0
    if terms.max_staleness is None:
        return inf
    return terms.max_staleness - silent_for


def closed_leases(
    applications: Collection[Application], *, silent_for: float, is_recorded: bool
) -> frozenset[str]:
    """Return the leases of applications whose terms are not met."""
    return frozenset(
        lease_name(terms)
        for terms in leased(applications).values()
        if seconds_left(terms, silent_for=silent_for, is_recorded=is_recorded) <= 0
    )


def applications_behind(snapshot: Snapshot, closed: Collection[str]) -> tuple[int, ...]:
    """Return the applications that stand behind one of these leases, by id."""
    behind = leased(snapshot.applications)
    return tuple(
        number for number, terms in behind.items() if lease_name(terms) in closed
    )


def less_withheld(snapshot: Snapshot, closed: Collection[str]) -> Snapshot:
    """Return a snapshot less the grants that stand behind one of these leases."""
    withheld = frozenset(applications_behind(snapshot, closed))
    if not withheld:
        return snapshot
    return replace(
        snapshot,
        grants=tuple(g for g in snapshot.grants if g.application_id not in withheld),
    )

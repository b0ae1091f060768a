"""The rule that is a grant: what it asks of a packet, and in which sets. Pure.

Whom it is for comes first, what holds for few comes last; a lease of the application's
own is asked only of packets that would pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policies.compiler.conditions import requirement_name
from policies.compiler.fixed import ACCEPT_GROUP
from policies.compiler.leases import lease_name, leased
from policies.compiler.named import Rule
from policies.compiler.types import NEVER, Snapshot, SnapshotGrant, Subject


def rule_writer(snapshot: Snapshot) -> Rule:
    """Return how the rule of a grant on an application is written."""
    leases = leases_of(snapshot)

    def rule(grant: SnapshotGrant, application: int, service: str) -> str:
        return _rule(grant, application, service, lease=leases.get(application, ""))

    return rule


def grant_sets(grant: SnapshotGrant) -> Iterator[str]:
    """Yield the sets that a grant's rule asks for, the time of the grant first.

    All but that one are shared: by grants for one subject, or with one requirement.
    """
    if grant.expires_at < NEVER:
        yield open_name(grant)
    yield who_name(grant.subject)
    for wanted in grant.requires:
        yield requirement_name(wanted)


def leases_of(snapshot: Snapshot) -> Mapping[int, str]:
    """Return the lease of each application that stands behind one of its own."""
    behind = leased(snapshot.applications)
    return {number: lease_name(terms) for number, terms in behind.items()}


def who_name(subject: Subject) -> str:
    """Return the set of the marks of a subject's devices."""
    return f"who_{subject.ref}"


def open_name(grant: SnapshotGrant) -> str:
    """Return the set whose one element, the interface, stands while a grant lasts."""
    return f"open_gt_{grant.id}"


def _rule(grant: SnapshotGrant, application: int, service: str, *, lease: str) -> str:
    """Return the rule that is a grant on an application; the log names both.

    A lease of the application's own is asked last: few packets come that far.
    """
    leased_by = f" iifname @{lease}" if lease else ""
    return (
        f"{service}{_asked(grant)}{leased_by} counter"
        f' log prefix "gt_{grant.id}/ap_{application}"'
        f" group {ACCEPT_GROUP} accept"
    )


def _asked(grant: SnapshotGrant) -> str:
    """Return what a grant's rule asks of a packet."""
    timed = open_name(grant)
    return " ".join(
        f"iifname @{name}" if name == timed else f"ct mark @{name}"
        for name in grant_sets(grant)
    )

"""Who holds what a grant demands, and until when. Pure.

A requirement is held by a device, through itself or through its owner's latest proof
of who they are. Nothing known is nothing held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from policies.compiler.conditions import MaxAge, Requirement, Requirements, Strength
from policies.compiler.types import NEVER, Authentication, Device

UNHELD: Final = datetime.min.replace(tzinfo=UTC)
"""When something ended that is not held: before anybody asks."""

Terms: TypeAlias = Mapping[Requirements, datetime]
"""By what they demand, when the last of a subject's grants ends."""


def held_until(
    requirement: Requirement, device: Device, proof: Authentication | None
) -> datetime:
    """Return when a device ceases to hold a requirement, or `UNHELD`.

    `proof` is its owner's.
    """
    return fulfilled_until(requirement, proof, is_approved=device.is_approved)


def fulfilled_until(
    requirement: Requirement, proof: Authentication | None, *, is_approved: bool
) -> datetime:
    """Return when a proof and an approval, or none, cease to be enough."""
    if isinstance(requirement, MaxAge):
        if proof is None or proof.proven_at is None:
            return UNHELD
        return proof.proven_at + timedelta(seconds=requirement.seconds)
    if isinstance(requirement, Strength):
        return NEVER if proof and is_strong(requirement, proof) else UNHELD
    return NEVER if is_approved else UNHELD


def is_strong(wanted: Strength, proof: Authentication) -> bool:
    """Return whether a proof is strong enough: all methods, and one of the classes."""
    return set(wanted.amr) <= set(proof.amr) and (
        not wanted.acr or proof.acr in wanted.acr
    )


def usable_until(
    terms: Iterable[Terms], device: Device, proof: Authentication | None
) -> datetime:
    """Return when the last grant ends that a device can use, or `UNHELD`."""
    return max(
        (
            min([end, *(held_until(wanted, device, proof) for wanted in requires)])
            for part in terms
            for requires, end in part.items()
        ),
        default=UNHELD,
    )

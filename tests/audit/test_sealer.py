"""The sealer's promise can be kept with what this house already holds."""

from __future__ import annotations

from datetime import datetime

import pytest

from audit import services
from audit.actor import Actor
from audit.errors import AuditError
from audit.events import EventCode
from audit.leaves import event_leaf
from audit.models import AuditEvent
from audit.sealer import Sealer
from audit.tlog.merkle import (
    EMPTY_ROOT,
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from audit.tlog.note import Checkpoint
from tests.audit.conftest import NOON

pytestmark = pytest.mark.django_db


class MemorySealer:
    """Seals the control log in memory: a compact range, and the last row taken in."""

    def __init__(self) -> None:
        """Begin with nothing sealed."""
        self.range = CompactRange()
        self.sealed: list[int] = []

    def seal(self, now: datetime) -> Checkpoint:  # noqa: ARG002 -- nothing is signed here
        unsealed = AuditEvent.objects.exclude(pk__in=self.sealed).order_by("pk")
        if AuditEvent.objects.filter(pk__in=self.sealed).count() < len(self.sealed):
            raise AuditError("sealed events are gone")
        new = list(unsealed)
        self.range = self.range.append(leaf_hash(event_leaf(event)) for event in new)
        self.sealed += [event.pk for event in new]
        return Checkpoint(
            origin="audit.test", size=self.range.size, root=self.range.root()
        )


def happen(actor: Actor, times: int) -> None:
    for _ in range(times):
        services.record(EventCode.USER_LOGIN, actor=actor, now=NOON)


def hashes() -> list[bytes]:
    events = AuditEvent.objects.order_by("pk")
    return [leaf_hash(event_leaf(event)) for event in events]


def test_an_empty_log_has_a_checkpoint() -> None:
    sealer: Sealer = MemorySealer()
    assert sealer.seal(NOON) == Checkpoint(origin="audit.test", size=0, root=EMPTY_ROOT)


def test_an_idle_log_says_the_same_tree_again(actor: Actor) -> None:
    sealer: Sealer = MemorySealer()
    happen(actor, 3)
    assert sealer.seal(NOON) == sealer.seal(NOON)


def test_each_checkpoint_continues_the_one_before(actor: Actor) -> None:
    sealer: Sealer = MemorySealer()
    happen(actor, 3)
    old = sealer.seal(NOON)
    happen(actor, 4)
    new = sealer.seal(NOON)
    verify_consistency(
        old_size=old.size,
        new_size=new.size,
        old_root=old.root,
        new_root=new.root,
        proof=consistency_proof(hashes(), old.size),
    )


def test_one_event_is_provable_from_its_row_alone(actor: Actor) -> None:
    sealer: Sealer = MemorySealer()
    happen(actor, 5)
    found = sealer.seal(NOON)
    verify_inclusion(
        index=2,
        size=found.size,
        leaf=leaf_hash(event_leaf(AuditEvent.objects.order_by("pk")[2])),
        proof=inclusion_proof(hashes(), 2),
        expected=found.root,
    )

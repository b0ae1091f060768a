"""A sealer in a few lines, for tests that need a sealed log and no process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checking import EVENTS
from audit.models import (
    Log,
    Outbox,
    SealedCheckpoint,
    SealedLeaf,
    SealedTile,
    SealerState,
)
from audit.tlog.merkle import CompactRange, leaf_hash, root
from audit.tlog.note import Checkpoint, VerifierKey, sign_note
from audit.tlog.policy import Policy, trusting
from audit.tlog.tiles import WIDTH

if TYPE_CHECKING:
    from datetime import datetime

KEYS: Final = {
    log: Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    for number, log in enumerate(Log, 1)
}


def origin(log: Log) -> str:
    return f"audit.test/{log.value}"


def policy() -> Policy:
    return trusting(
        *(
            VerifierKey(
                name=origin(log), public_key=key.public_key().public_bytes_raw()
            )
            for log, key in KEYS.items()
        )
    )


def seal(log: Log, now: datetime) -> None:
    """Take in what waits, and sign the tree."""
    size = SealedLeaf.objects.filter(log=log).count()
    waiting = Outbox.objects.filter(log=log).order_by("id")
    SealedLeaf.objects.bulk_create(
        SealedLeaf(log=log, index=size + place, event_id=row.event_id)
        for place, row in enumerate(waiting)
    )
    waiting.delete()
    places = SealedLeaf.objects.filter(log=log).order_by("index")
    held = EVENTS[log].objects.in_bulk(list(places.values_list("event_id", flat=True)))
    hashes = [leaf_hash(bytes(held[place.event_id].leaf or b"")) for place in places]
    tree = CompactRange().append(hashes)
    level, row = 0, hashes
    while row:
        full = [row[at : at + WIDTH] for at in range(0, len(row), WIDTH)]
        full = [part for part in full if len(part) == WIDTH]
        SealedTile.objects.bulk_create(
            (
                SealedTile(log=log, level=level, index=index, data=b"".join(part))
                for index, part in enumerate(full)
            ),
            ignore_conflicts=True,
        )
        level, row = level + 1, [root(part) for part in full]
    checkpoint = Checkpoint(origin=origin(log), size=tree.size, root=tree.root())
    note = str(sign_note(checkpoint.text(), name=origin(log), key=KEYS[log]))
    SealedCheckpoint.objects.create(
        log=log,
        size=tree.size,
        root=tree.root(),
        hashes=b"".join(tree.hashes),
        at=now,
        note=note,
    )
    SealerState.objects.update_or_create(
        log=log, defaults={"size": tree.size, "signed_at": now, "note": note}
    )

"""What the sealer reads and writes in the database.

On PostgreSQL a batch is one DELETE … RETURNING and one COPY; on SQLite, which has one
writer at a time, the same in Django's words. Whoever holds the lock of a log is the
only one who numbers its events; it ends with the transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import connection as database
from django.db.models import Max

from audit.errors import SealError
from audit.models import (
    AuditEvent,
    FlowEvent,
    Log,
    Outbox,
    SealedCheckpoint,
    SealedLeaf,
    SealedTile,
    SealerRefusal,
    SealerState,
)
from audit.sealing.growing import GrowingTree, unfinished_widths
from audit.tlog.merkle import leaf_hash, root
from audit.tlog.tiles import HEIGHT, WIDTH, TileTree, hashes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from audit.tlog.merkle import CompactRange

EVENTS: Final[dict[Log, type[AuditEvent | FlowEvent]]] = {
    Log.CONTROL: AuditEvent,
    Log.CONNECTIONS: FlowEvent,
}
# Chosen once and at random; the log's place is added.
LOCK: Final = 0x7065_6572_6167_6500


def lock(log: Log) -> bool:
    """Return whether this transaction alone seals the log."""
    if database.vendor != "postgresql":
        # The transaction is the only one that writes.
        return True
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(%s)", [LOCK + [*Log].index(log)]
        )
        return bool(cursor.fetchone()[0])


def size(log: Log) -> int:
    """Return how many leaves a log has."""
    last = SealedLeaf.objects.filter(log=log).aggregate(last=Max("index"))["last"]
    return 0 if last is None else last + 1


def take(log: Log, limit: int) -> list[tuple[int, bytes]]:
    """Take the oldest events out of the outbox; return their ids and leaves.

    Raises:
        SealError: an event that waits here is gone, or has no leaf.
    """
    taken = (_take_postgresql if database.vendor == "postgresql" else _take)(log, limit)
    for event_id, leaf in taken:
        if leaf is None:
            raise SealError(
                f"event {event_id} of the {log.value} log was removed, or its leaf,"
                " before it was sealed"
            )
    return [(event_id, bytes(leaf)) for event_id, leaf in taken if leaf is not None]


def _take_postgresql(log: Log, limit: int) -> list[tuple[int, Any]]:
    # The table's name is one of ours.
    sql = f"""
        WITH taken AS (
            DELETE FROM audit_outbox WHERE id IN (
                SELECT id FROM audit_outbox WHERE log = %s ORDER BY id LIMIT %s
            ) RETURNING id, event_id
        )
        SELECT taken.event_id, event.leaf FROM taken
        LEFT JOIN {EVENTS[log]._meta.db_table} event ON event.id = taken.event_id
        ORDER BY taken.id
    """  # noqa: S608 -- see above; Django documents _meta
    with database.cursor() as cursor:
        cursor.execute(sql, [log.value, limit])
        taken: list[tuple[int, Any]] = cursor.fetchall()
        return taken


def _take(log: Log, limit: int) -> list[tuple[int, Any]]:
    waiting = list(
        Outbox.objects.filter(log=log)
        .order_by("id")
        .values_list("id", "event_id")[:limit]
    )
    if not waiting:
        return []
    # SQLite numbers rows in the order in which they are committed.
    Outbox.objects.filter(log=log, id__lte=waiting[-1][0]).delete()
    leaves = event_leaves(log, [event_id for _, event_id in waiting])
    return [(event_id, leaves.get(event_id)) for _, event_id in waiting]


def add_leaves(log: Log, first: int, event_ids: Sequence[int]) -> None:
    """Give events their places, beginning with `first`."""
    if database.vendor == "postgresql":
        sql = 'COPY audit_sealedleaf (log, "index", event_id) FROM STDIN'
        rows = (
            f"{log.value}\t{first + place}\t{event_id}\n"
            for place, event_id in enumerate(event_ids)
        )
        with database.cursor() as cursor, cursor.copy(sql) as copy:
            copy.write("".join(rows))
        return
    SealedLeaf.objects.bulk_create(
        SealedLeaf(log=log, index=first + place, event_id=event_id)
        for place, event_id in enumerate(event_ids)
    )


def add_tiles(log: Log, tiles: Iterable[tuple[int, int, bytes]]) -> None:
    """Store tiles: level, index, hashes."""
    SealedTile.objects.bulk_create(
        SealedTile(log=log, level=level, index=index, data=data)
        for level, index, data in tiles
    )


def load_tree(log: Log) -> GrowingTree:
    """Return the tree of a log, as the tables tell it.

    Raises:
        SealError: leaves or tiles are missing.
    """
    count = size(log)
    unfinished: list[list[bytes]] = []
    for level, width in enumerate(unfinished_widths(count)):
        begin = (count >> (HEIGHT * (level + 1))) * WIDTH
        unfinished.append(nodes(log, level, begin, width))
    return GrowingTree(size=count, unfinished=unfinished)


def root_at(log: Log, count: int) -> bytes:
    """Return the root of the first `count` leaves, from the tables.

    Raises:
        SealError: leaves or tiles are missing.
    """
    return tree_of(log, count).root()


def tree_of(log: Log, count: int) -> TileTree:
    """Return the tree of the first `count` leaves, for roots and proofs.

    What it returns raises SealError where leaves or tiles are missing.
    """

    def read(level: int, index: int, width: int) -> bytes:
        return b"".join(nodes(log, level, index * WIDTH, width))

    return TileTree(size=count, read=read)


def signed(log: Log) -> SealerState | None:
    """Return the newest checkpoint that was published; None if there is none."""
    return SealerState.objects.filter(log=log).first()


def publish(
    log: Log, tree: CompactRange, *, note: str, key: str, now: datetime
) -> None:
    """Store a checkpoint, which from then on everybody may see, and the log's key."""
    SealedCheckpoint.objects.bulk_create(
        [
            SealedCheckpoint(
                log=log,
                size=tree.size,
                root=tree.root(),
                hashes=b"".join(tree.hashes),
                at=now,
                note=note,
            )
        ],
        ignore_conflicts=True,
    )
    SealerState.objects.update_or_create(
        log=log,
        defaults={"size": tree.size, "signed_at": now, "note": note, "key": key},
    )


def nodes(log: Log, level: int, begin: int, width: int) -> list[bytes]:
    """Return hashes of one level of tiles, from a full tile or from what is below."""
    if width == WIDTH:
        row = SealedTile.objects.filter(log=log, level=level, index=begin // WIDTH)
        return hashes(_only(log, [bytes(tile.data) for tile in row], 1)[0], WIDTH)
    if level:
        below = SealedTile.objects.filter(
            log=log, level=level - 1, index__gte=begin, index__lt=begin + width
        ).order_by("index")
        found = [root(hashes(bytes(tile.data), WIDTH)) for tile in below]
        return _only(log, found, width)
    numbers = event_ids(log, begin, begin + width)
    leaves = event_leaves(log, numbers)
    found = [leaf_hash(leaves[number]) for number in numbers if number in leaves]
    return _only(log, found, width)


def event_ids(log: Log, begin: int, end: int) -> list[int]:
    """Return the ids of the events with the indexes from `begin` to below `end`."""
    places = SealedLeaf.objects.filter(log=log, index__gte=begin, index__lt=end)
    return list(places.order_by("index").values_list("event_id", flat=True))


def event_leaves(log: Log, numbers: Sequence[int]) -> dict[int, bytes]:
    """Return the leaves of events by their ids, of those that are there."""
    model = EVENTS[log]
    found: dict[int, bytes | memoryview[int] | None] = {}
    part = database.features.max_query_params or len(numbers) or 1
    for begin in range(0, len(numbers), part):
        rows = model.objects.filter(id__in=numbers[begin : begin + part])
        found.update(rows.values_list("id", "leaf"))
    return {number: bytes(leaf) for number, leaf in found.items() if leaf is not None}


def _only(log: Log, found: list[bytes], count: int) -> list[bytes]:
    if len(found) != count:
        raise SealError(
            f"{count} hashes of the {log.value} log should be here, {len(found)} are:"
            " the database was edited. Run manage.py verify_log"
        )
    return found


def tell_refusal(log: Log, reason: str, *, now: datetime) -> None:
    """Leave word that a log is not signed; the first moment of a reason stays."""
    found = SealerRefusal.objects.filter(log=log).first()
    if found is None or found.reason != reason:
        SealerRefusal.objects.update_or_create(
            log=log, defaults={"at": now, "reason": reason}
        )


def withdraw_refusal(log: Log) -> None:
    """Take the word back: the log is signed."""
    SealerRefusal.objects.filter(log=log).delete()

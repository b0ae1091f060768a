"""The log, timed: rows bare, rows as events, their way into the tree, and checked."""

from __future__ import annotations

import multiprocessing
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any, Final

import django
from django.core.management import call_command
from django.db import connection, connections, transaction

django.setup()

from audit.leaves import flow_row, flow_shape  # noqa: E402 -- after Django's settings
from audit.models import FlowEvent, IdentitySalt, Log, SealedLeaf  # noqa: E402
from audit.sealing import keeping, tables  # noqa: E402 -- the same
from audit.sealing.sealer import Sealer  # noqa: E402 -- the same
from audit.services import rebuild_connections  # noqa: E402 -- the same
from audit.tlog.policy import trusting  # noqa: E402 -- the same
from audit.verification import verify_log  # noqa: E402 -- the same

BATCH: Final = 5_000
SALT: Final = bytes(32)
PEOPLE: Final = 1_000
PERIOD_SECONDS: Final = 1.0
TURNS: Final = 10
"""In a second, of the writer."""
COLUMNS: Final = tuple(
    field for field in FlowEvent._meta.concrete_fields if field.attname != "id"
)


def measure(events: int, rate: int, seconds: int) -> None:
    """Print every figure of one database."""
    call_command("migrate", interactive=False, verbosity=0)
    call_command("init_keys", stdout=sys.stderr)
    say(f"{connection.vendor}, {events} events in batches of {BATCH}")
    made = list(rows(0, events))
    _make_bare_table()
    bare = _timed_inserts("bench_bare", made)
    say(f"  bare INSERT            {events / bare:9.0f} rows/s")
    inserted = _timed_inserts("audit_flowevent", made)
    say(f"  INSERT with outbox     {events / inserted:9.0f} events/s")
    sealer, began = Sealer(Log.CONNECTIONS), time.perf_counter()
    while sealer.seal(_now()):
        pass
    took = time.perf_counter() - began
    ratio = took / bare
    say(f"  sealing                {events / took:9.0f} events/s, {ratio:.2f} × bare")
    _verify(events)
    _latency(sealer, events, rate, seconds)


def rows(first: int, end: int) -> Iterator[tuple[Any, ...]]:
    """Yield flow events with their leaves, as parameters of an INSERT."""
    for number in range(first, end):
        seen = {
            "protocol": 6,
            "source": "100.64.0.7",
            "source_port": 1024 + number % 60_000,
            "destination": "10.2.0.5",
            "destination_port": 443,
        }
        event = FlowEvent(
            gateway_id="gw_1",
            sequence=number,
            kind="open",
            at=_now(),
            received_at=_now(),
            flow=f"{number:032x}",
            body=seen,
            attribution={
                **seen,
                "person_id": f"us_{number % PEOPLE}",
                "person_label": "Somebody",
                "device_id": f"dv_{number % 1500}",
                "application_id": "ap_3",
                "grant_id": "gt_4",
                "generation": 12,
            },
            nonce=number.to_bytes(16),
        )
        event.leaf = flow_shape(flow_row(event)).leaf(
            {f"us_{number % PEOPLE}": SALT},
        )
        yield tuple(
            field.get_db_prep_save(getattr(event, field.attname), connection)
            for field in COLUMNS
        )


def _make_bare_table() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE TABLE bench_bare (LIKE audit_flowevent INCLUDING ALL)"
            )
            return
        cursor.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'audit_flowevent'"
            " AND type IN ('table', 'index') AND sql IS NOT NULL ORDER BY type DESC"
        )
        for number, (sql,) in enumerate(cursor.fetchall()):
            text = sql.replace('"audit_flowevent"', '"bench_bare"')
            cursor.execute(text.replace('INDEX "', f'INDEX "bench_{number}_'))


def _timed_inserts(table: str, made: Sequence[tuple[Any, ...]]) -> float:
    began = time.perf_counter()
    for at in range(0, len(made), BATCH):
        _insert(table, made[at : at + BATCH])
    return time.perf_counter() - began


def _insert(table: str, made: Sequence[tuple[Any, ...]]) -> None:
    names = ", ".join(f'"{field.column}"' for field in COLUMNS)
    places = ", ".join(["%s"] * len(COLUMNS))
    # Names of our own tables and columns.
    sql = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(sql, made)


def _verify(events: int) -> None:
    """Print how fast the tables are verified, with the connections made of them."""
    IdentitySalt.objects.bulk_create(
        IdentitySalt(person_id=f"us_{number}", salt=SALT) for number in range(PEOPLE)
    )
    rebuild_connections()
    policy = trusting(keeping.verifier_key(Log.CONNECTIONS))
    for jobs in (1, 2):
        began = time.perf_counter()
        found = verify_log(policy, jobs=jobs)
        took = time.perf_counter() - began
        if found.faults:
            raise SystemExit(found.as_text())
        each = "process" if jobs == 1 else "processes"
        say(f"  verify_log, {jobs} {each}  {events / took * 60:9.0f} leaves/min")


def _latency(sealer: Sealer, first: int, rate: int, seconds: int) -> None:
    """Print how long an event waits from its commit until it is under a signature."""
    fork = multiprocessing.get_context("fork")
    committed: multiprocessing.Queue[tuple[int, int, float]] = fork.Queue()
    over = fork.Event()
    # Made before, so that the writer does nothing but write.
    made = list(rows(first, first + rate * seconds))
    connections.close_all()
    writer = fork.Process(target=_write, args=(committed, over, first, made, rate))
    writer.start()
    signed: list[tuple[int, float]] = []
    batches: list[tuple[int, int, float]] = []
    while True:
        is_over = over.is_set()
        taken = sealer.seal(_now())
        state = tables.signed(Log.CONNECTIONS)
        if state is not None and (not signed or signed[-1][0] != state.size):
            signed.append((state.size, time.monotonic()))
        while not committed.empty():
            batches.append(committed.get())
        if is_over and not taken:
            break
        if taken < BATCH:
            time.sleep(PERIOD_SECONDS)
    writer.join()
    while not committed.empty():
        batches.append(committed.get())
    waits = _waits(batches, signed)
    cuts = quantiles(waits, n=100)
    span = batches[-1][2] - batches[0][2]
    written = sum(end - begin for begin, end, _ in batches)
    say(
        f"  under {written / span:.0f} events/s: event → sealed, median"
        f" {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s, worst {max(waits):.2f} s"
    )


def _waits(
    batches: Sequence[tuple[int, int, float]], signed: Sequence[tuple[int, float]]
) -> list[float]:
    index_of = dict(
        FlowEvent.objects.filter(sequence__gte=batches[0][0])
        .order_by()
        .values_list("sequence", "id")
    )
    place_of = dict(
        SealedLeaf.objects.filter(log=Log.CONNECTIONS).values_list("event_id", "index")
    )
    sizes = [size for size, _ in signed]
    return [
        signed[bisect_right(sizes, place_of[index_of[number]])][1] - at
        for begin, end, at in batches
        for number in range(begin, end)
    ]


def _write(
    committed: multiprocessing.Queue[tuple[int, int, float]],
    over: Any,  # noqa: ANN401 -- an event of multiprocessing
    first: int,
    made: Sequence[tuple[Any, ...]],
    rate: int,
) -> None:
    part = rate // TURNS
    began = time.monotonic()
    for turn in range(len(made) // part):
        begin = turn * part
        _insert("audit_flowevent", made[begin : begin + part])
        committed.put((first + begin, first + begin + part, time.monotonic()))
        time.sleep(max(0.0, began + (turn + 1) / TURNS - time.monotonic()))
    over.set()


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- a bench is an edge

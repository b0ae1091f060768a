"""Ten million connections in PostgreSQL, and the questions an investigator asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median, quantiles
from typing import Any, Final

import django
from django.core.management import call_command
from django.db import connection

django.setup()

from audit import selectors  # noqa: E402 -- after Django's settings
from audit.models import Connection  # noqa: E402 -- the same
from audit.search.filters import Decision, Filter  # noqa: E402 -- the same

PEOPLE: Final = 20_000
STEP: Final = 1_000_000
# random()^4: one person in a thousand makes a sixth of the connections.
ROWS: Final = """
INSERT INTO audit_connection (
    gateway_id, gateway_label, flow, verdict, person_id, person_label, device_id,
    device_label, key_fingerprint, application_id, application_label, grant_id,
    grant_label, generation, protocol, source, source_port, destination,
    destination_port, bytes_up, bytes_down, packets_up, packets_down, started_at,
    ended_at, end_reason)
SELECT
    'gw_' || gw, 'gateway ' || gw, 'f' || n,
    CASE WHEN bad THEN 'denied' ELSE 'allowed' END,
    'us_' || us, 'Person' || us || ' Family' || us %% 997,
    'dv_' || us * 2 + dv, (ARRAY['laptop', 'phone'])[dv + 1] || ' of Person' || us,
    substr(md5('k' || us * 2 + dv), 1, 16),
    CASE WHEN bad THEN '' ELSE 'ap_' || ap END,
    CASE WHEN bad THEN '' ELSE 'Application' || ap END,
    CASE WHEN bad THEN '' ELSE 'gt_' || ap END,
    CASE WHEN bad THEN '' ELSE 'group' || ap %% 50 || ' → Application' || ap END,
    n / 5000 + 1, 6,
    ('100.64.0.0'::inet + us * 2 + dv), 32768 + (n * 7919 %% 28232),
    ('10.20.0.0'::inet + ap), (ARRAY[443, 443, 443, 22, 5432, 8080])[ap %% 6 + 1],
    CASE WHEN bad THEN NULL ELSE n %% 90000 END,
    CASE WHEN bad THEN NULL ELSE n %% 4000000 END,
    CASE WHEN bad THEN NULL ELSE n %% 90 END,
    CASE WHEN bad THEN NULL ELSE n %% 4000 END,
    '2026-01-01T00:00:00Z'::timestamptz + n * interval '3 seconds',
    '2026-01-01T00:01:00Z'::timestamptz + n * interval '3 seconds',
    CASE WHEN bad THEN 'no_grant' ELSE 'closed' END
FROM (
    SELECT n, random() < 0.03 AS bad, (random() < 0.2)::int AS dv,
        1 + floor(power(random(), 4) * %(people)s)::int AS us,
        1 + floor(power(random(), 3) * 2000)::int AS ap,
        1 + floor(power(random(), 2) * 20)::int AS gw
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
) AS made
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question and its name."""

    name: str
    filters: Filter


def fill(rows: int) -> None:
    """Make the tables and the rows; the indexes come afterwards."""
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        for name, _ in _indexes(cursor):
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute(
            "ALTER TABLE audit_connection DROP CONSTRAINT"
            " audit_connection_one_per_gateway_flow_verdict"
        )
        cursor.execute("SELECT setseed(0.5)")
        for first in range(1, rows + 1, STEP):
            last = min(first + STEP - 1, rows)
            cursor.execute(ROWS, {"first": first, "last": last, "people": PEOPLE})


def index() -> None:
    """Build what the migrations built, and gather statistics."""
    editor = connection.schema_editor(atomic=False)
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
        have = {name for name, _ in _indexes(cursor)}
        for made in Connection._meta.indexes:
            if made.name not in have:
                began = time.perf_counter()
                cursor.execute(str(made.create_sql(Connection, editor)))
                print(
                    f"  {made.name:24}{time.perf_counter() - began:6.0f} s", flush=True
                )
        if "audit_conn_words" not in have:
            cursor.execute(_words_index())
        cursor.execute("VACUUM ANALYZE audit_connection")
        cursor.execute(
            "SELECT indexrelname, pg_relation_size(indexrelid) / 1048576"
            " FROM pg_stat_user_indexes WHERE relname = 'audit_connection'"
            " UNION ALL SELECT 'table', pg_table_size('audit_connection') / 1048576"
        )
        for name, size in cursor.fetchall():
            print(f"  {name:48}{size:8} MiB")


def ask(rounds: int) -> None:
    """Ask every question as the page asks it, and print a line for each."""
    bare = _times(_bare, rounds)
    print(f"{'':44}{'p50 ms':>9}{'p99 ms':>9}{'ratio':>8}{'found':>9}")
    _print("bare SELECT … LIMIT 50 by an index", bare, bare, "")
    worst = 0.0
    for asked in _questions():
        times = _times(lambda: _page(asked.filters), rounds)  # noqa: B023 -- called before it changes
        found = _page(asked.filters)
        _print(asked.name, times, bare, f"{found.number}{'' if found.is_all else '+'}")
        worst = max(worst, _p99(times))
    print(f"slowest p99: {worst:.0f} ms (target 300)")


def _page(filters: Filter) -> selectors.Counted:
    page = selectors.list_connections(filters)
    return selectors.count_connections(filters, page)


def _questions() -> Iterator[Asked]:
    newest = Connection.objects.first()
    assert newest is not None
    since = newest.started_at - timedelta(days=1)
    oldest = datetime(2026, 1, 2, tzinfo=since.tzinfo)
    singles: dict[str, dict[str, Any]] = {
        "nothing": {},
        "person, frequent": {"person": "us_1"},
        "person, ordinary": {"person": "us_2000"},
        "person, rare": {"person": "us_19990"},
        "person, unknown": {"person": "us_999999"},
        "device": {"device": "dv_4000"},
        "key": {"key": newest.key_fingerprint},
        "application, frequent": {"application": "ap_1"},
        "application, rare": {"application": "ap_1990"},
        "gateway, frequent": {"gateway": "gw_1"},
        "gateway, unknown": {"gateway": "gw_99"},
        "address, one person": {"address": "100.64.15.160"},
        "address, an application": {"address": "10.20.0.1"},
        "address, unknown": {"address": "192.0.2.1"},
        "prefix /24 of applications": {"address": "10.20.1.0/24"},
        "prefix /8 of applications": {"address": "10.0.0.0/8"},
        "prefix /28 of devices": {"address": "100.64.140.0/28"},
        "prefix, unknown": {"address": "192.0.2.0/24"},
        "port 443": {"port": 443},
        "port 22": {"port": 22},
        "port, somebody's own": {"port": 40000},
        "verdict denied": {"verdict": Decision.DENIED},
        "verdict allowed": {"verdict": Decision.ALLOWED},
        "the last day": {"since": since},
        "a day long ago": {"since": oldest, "until": oldest + timedelta(days=1)},
        "word, frequent (laptop)": {"words": "laptop"},
        "word, ordinary (family7)": {"words": "family7"},
        "word, one person": {"words": "person19990"},
        "word, nowhere": {"words": "zebra"},
        "two words": {"words": "laptop person2000"},
        "two words, each frequent, never together": {"words": "phone no_such"},
    }
    pairs: dict[str, dict[str, Any]] = {
        "person + application": {"person": "us_2000", "application": "ap_1"},
        "frequent person + rare application": {
            "person": "us_1",
            "application": "ap_1990",
        },
        "person + denied": {"person": "us_1", "verdict": Decision.DENIED},
        "person + the last day": {"person": "us_2000", "since": since},
        "application + denied (none)": {
            "application": "ap_1",
            "verdict": Decision.DENIED,
        },
        "application + the last day": {"application": "ap_1", "since": since},
        "gateway + denied": {"gateway": "gw_1", "verdict": Decision.DENIED},
        "gateway + application": {"gateway": "gw_20", "application": "ap_1990"},
        "address + port": {"address": "10.20.0.1", "port": 22},
        "address + somebody's port": {"address": "10.20.0.1", "port": 40000},
        "prefix + denied": {"address": "10.20.1.0/24", "verdict": Decision.DENIED},
        "prefix + port": {"address": "10.20.0.0/16", "port": 22},
        "word + denied": {"words": "family7", "verdict": Decision.DENIED},
        "word + application": {"words": "laptop", "application": "ap_1990"},
        "word + the last day": {"words": "family7", "since": since},
        "person + gateway + port": {"person": "us_2000", "gateway": "gw_3", "port": 22},
    }
    for name, values in (singles | pairs).items():
        yield Asked(name=name, filters=Filter(**values))


def _bare() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM audit_connection WHERE person_id = 'us_2000'"
            " ORDER BY started_at DESC LIMIT 50"
        )
        cursor.fetchall()


def _times(asking: Callable[[], object], rounds: int) -> Sequence[float]:
    """Return milliseconds, the first answer of a cold cache among them."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        asking()
        found.append((time.perf_counter() - began) * 1e3)
    return found


def _p99(times: Sequence[float]) -> float:
    return quantiles(times, n=100, method="inclusive")[98]


def _print(
    name: str, times: Sequence[float], bare: Sequence[float], found: str
) -> None:
    print(
        f"{name:44}{median(times):9.1f}{_p99(times):9.1f}"
        f"{median(times) / median(bare):8.1f}{found:>9}",
        flush=True,
    )


def _indexes(cursor: Any) -> list[tuple[str, str]]:  # noqa: ANN401 -- Django's cursor
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename ="
        " 'audit_connection' AND indexname LIKE 'audit_conn\\_%'"
    )
    return list(cursor.fetchall())


def _words_index() -> str:
    from audit.search.words import CONNECTION_TEXT  # noqa: PLC0415 -- after the settings

    text = " || ' ' || ".join(CONNECTION_TEXT)
    return (
        "CREATE INDEX audit_conn_words ON audit_connection"
        f" USING gin (audit_words({text}))"
    )

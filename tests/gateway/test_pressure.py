"""The alarm of the table of flows: once up, once down."""

from __future__ import annotations

import pytest

from gateway.pressure import Pressure
from gateway.report import Table
from tests.gateway.world import NOW


def told(pressure: Pressure, entries: int) -> object:
    record = pressure.observe(Table(entries=entries, most=1000), now=NOW)
    return None if record is None else (record["state"], record["entries"])


def test_the_alarm_is_told_once_and_so_is_its_end() -> None:
    pressure = Pressure()
    assert [told(pressure, n) for n in (0, 799, 800, 1000, 790, 700, 699, 10, 801)] == [
        *(None, None, ("crowded", 800), None, None, None),
        *(("relieved", 699), None, ("crowded", 801)),
    ]


@pytest.mark.parametrize("table", [None, Table(entries=5, most=0)])
def test_a_kernel_without_a_table_is_not_crowded(table: Table | None) -> None:
    assert Pressure().observe(table, now=NOW) is None

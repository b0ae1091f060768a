"""Fault tests by row: which passed, and how many of the rows are automated.

`--long` runs the tests of minutes too, `--fault-table` prints a line for each row of
the fault table that a test `test_fault_NN_…` stands for.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Final

import pytest

ROWS: Final = (1, 3, *range(9, 32), 33, 35, 38, 44, 57, 59, 60, 61)
"""The rows that the gateway's suite has to automate (docs/operations.md)."""
NAME: Final = re.compile(r"test_fault_(\d+)_(\w+)")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switches."""
    parser.addoption(
        "--long", action="store_true", help="run the tests that take minutes too"
    )
    parser.addoption(
        "--fault-table", action="store_true", help="print the result of each fault row"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep the results; with xdist only the controller sees them all."""
    if config.getoption("--fault-table") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(FaultTable(), "peerage-fault-table")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out the tests of minutes, and mark the fault suite."""
    for item in items:
        if item.nodeid.startswith("tests/faults/"):
            item.add_marker(pytest.mark.faults)
    if config.getoption("--long"):
        return
    dropped = [item for item in items if item.get_closest_marker("long") is not None]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item.get_closest_marker("long") is None]


class FaultTable:
    """Results by row."""

    def __init__(self) -> None:
        """Begin with none."""
        self.results: defaultdict[int, list[tuple[str, str, float]]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a result."""
        found = NAME.search(report.nodeid)
        if found is None or (report.when != "call" and report.passed):
            return
        name = report.nodeid[found.start(2) :].replace("_", " ")
        self.results[int(found[1])].append((report.outcome, name, report.duration))

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Print the table."""
        write = terminalreporter.write_line
        for row, results in sorted(self.results.items()):
            for outcome, name, seconds in results:
                write(f"{row:02}  {outcome:7} {seconds:7.1f} s  {name}")
        green = {
            row
            for row, results in self.results.items()
            if all(outcome == "passed" for outcome, _, _ in results)
        }
        if missing := [row for row in ROWS if row not in self.results]:
            write(f"not in this run: {', '.join(map(str, missing))}")
        others = len(green - set(ROWS))
        write(
            f"{len(green & set(ROWS))} of {len(ROWS)} rows of the gateway's suite"
            f" automated and passed; {others} other rows passed"
        )

"""A skipped test is a failed run, where the machine can run everything.

`--no-skips` is what `script/test` adds as root and in CI: there a network or
browser test that skips itself would be a hole in the proof. One reason is
allowed: the vectors of other projects lie outside this repository.
"""

from __future__ import annotations

import re
from typing import Final

import pytest

ALLOWED: Final = re.compile(r"shared.vectors")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch."""
    parser.addoption(
        "--no-skips", action="store_true", help="fail the run when a test was skipped"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch the reports; with xdist only the controller sees them all."""
    if config.getoption("--no-skips") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipWatch(), "peerage-skip-watch")


class SkipWatch:
    """Remembers every skip and turns a green run with skips red."""

    def __init__(self) -> None:
        """Begin with none."""
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that skipped itself."""
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that skipped itself whole."""
        self._note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run."""
        if self.skipped and session.exitstatus in {
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        }:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Name what was skipped."""
        for line in self.skipped:
            terminalreporter.write_line(f"skipped, which --no-skips forbids: {line}")

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = str(
            report.longrepr[2]
            if isinstance(report.longrepr, tuple)
            else report.longrepr
        )
        if not ALLOWED.search(reason):
            self.skipped.append(f"{report.nodeid} ({reason})")

"""`--every-event`: a run in which some declared event was never made is a failed run.

What is made is seen where events are made, not looked up in a table that could rot:
each test that brings one about counts, and a code, or a way for it to end, that no test
brings about is named at the end. `script/test` gives the switch where it runs
everything; a chosen part of the tests could not keep the rule.

An event that a test writes with its own hand says nothing of the product and does not
count: whoever asks the log to write must not be a file of the tests.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

from audit.catalogue.checking import problems
from audit.events import CATALOGUE

TESTS: Final = str(Path(__file__).parents[1])
MADE: Final[set[str]] = set()
OUTPUT: Final = "peerage_events"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch."""
    parser.addoption(
        "--every-event",
        action="store_true",
        help="fail the run when a declared event was never made",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add up what the workers saw, where there are workers."""
    if not config.getoption("--every-event"):
        return
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Worker(), "peerage-event-worker")
    else:
        config.pluginmanager.register(Watch(), "peerage-event-watch")


@pytest.fixture(autouse=True)
def _events_are_noted(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Note the code and the outcome of each event that this test makes."""
    if request.config.getoption("--every-event"):
        note(monkeypatch)


def note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look on where the fields of an event are checked."""

    def noted(declared, outcome, details):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 -- the same as `problems`
        if is_the_products():
            MADE.add(f"{declared.code.value}{outcome.value}")
        return problems(declared, outcome, details)

    # By its path: models exist only once Django is set up.
    monkeypatch.setattr("audit.services.problems", noted)


def is_the_products() -> bool:
    """Return whether whoever asked `audit.services` for an event is no test."""
    frame = sys._getframe(2)  # noqa: SLF001 -- documented, and what tracebacks use
    while frame.f_back and frame.f_code.co_filename.endswith("audit/services.py"):
        frame = frame.f_back
    return not frame.f_code.co_filename.startswith(TESTS)


def missing(made: set[str]) -> list[str]:
    """Return the declared codes, with their outcomes, that nobody made."""
    declared = {
        f"{code.value}{outcome.value}"
        for code, kind in CATALOGUE.items()
        for outcome in kind.outcomes
    }
    return sorted(declared - made)


class Worker:
    """One of several processes: hands what it saw to the one that asked."""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Send it."""
        session.config.workeroutput[OUTPUT] = sorted(MADE)  # type: ignore[attr-defined]


class Watch:
    """Turns a green run in which an event is missing red."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.missing: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Take what a worker saw."""
        MADE.update(getattr(node, "workeroutput", {}).get(OUTPUT, ()))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run."""
        self.missing = missing(MADE)
        if self.missing and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Name what nobody made."""
        for quoted in self.missing:
            terminalreporter.write_line(f"no test makes the event {quoted}")

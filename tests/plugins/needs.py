"""Skip what this machine cannot run, and say what it lacks.

Where `--no-skips` is given (script/test as root, CI) such a skip fails the run.
"""

from __future__ import annotations

import functools
import shutil
from typing import Final

import pytest

from tests.lab import requirements

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look at the marks of the test."""
    if item.get_closest_marker("netns") is not None:
        lacks = _lacking_for_networks()
        if lacks:
            pytest.skip(f"network tests need {lacks}")
    if item.get_closest_marker("browser") is not None and not _has_browser():
        pytest.skip("browser tests need Chromium")


@functools.cache
def _lacking_for_networks() -> str:
    return "; ".join(requirements.missing())


@functools.cache
def _has_browser() -> bool:
    return any(shutil.which(name) for name in BROWSERS)

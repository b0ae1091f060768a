"""Loads the plugins of `tests/plugins` for every run, wherever it starts."""

from __future__ import annotations

pytest_plugins = (
    "tests.plugins.database_only",
    "tests.plugins.needs",
    "tests.plugins.no_skips",
)

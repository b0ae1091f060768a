"""Loads the plugins of `tests/plugins` for every run, wherever it starts."""

from __future__ import annotations

pytest_plugins = ("tests.plugins.no_skips", "tests.plugins.database_only")

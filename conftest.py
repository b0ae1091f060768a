"""Loads the plugins of `tests/plugins` for every run, wherever it starts."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = (
    "tests.plugins.database_only",
    "tests.plugins.every_event",
    "tests.plugins.faults",
    "tests.plugins.needs",
    "tests.plugins.no_skips",
)

# How long an example takes says how busy the machine is; benchmarks measure time.
settings.register_profile("peerage", deadline=None)
settings.load_profile("peerage")

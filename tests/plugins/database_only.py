"""`--database-only`: leave out tests that would behave the same on any database."""

from __future__ import annotations

from typing import Final

import pytest

DATABASE_FIXTURES: Final = frozenset({"db", "transactional_db", "live_server"})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch."""
    parser.addoption(
        "--database-only",
        action="store_true",
        help="run only tests that touch the database",
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Keep the tests that asked pytest-django for a database."""
    if not config.getoption("--database-only"):
        return
    dropped = [item for item in items if not _touches_database(item)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if _touches_database(item)]


def _touches_database(item: pytest.Item) -> bool:
    fixtures = frozenset(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or bool(
        fixtures & DATABASE_FIXTURES
    )

"""Fixtures of the compiler's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.policies.compiler.kernel import Kernel


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """Lend a network namespace."""
    with Kernel() as lent:
        yield lent

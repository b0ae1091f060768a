"""What tests about peers start from."""

from __future__ import annotations

import pytest

from tests.peers.makers import make_pools


@pytest.fixture
def pools(db: None) -> None:
    """One pool of each family."""
    make_pools()

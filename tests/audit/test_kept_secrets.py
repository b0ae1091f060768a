"""Secrets that are kept can be said again, by their owner's row alone. No database."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from audit.kept_secrets import SecretError, kept, said


def test_a_secret_comes_back_for_its_owner() -> None:
    assert said(kept("hunter2é", owner="a"), owner="a") == "hunter2é"


def test_what_is_stored_neither_shows_nor_repeats_the_secret() -> None:
    first, second = kept("hunter2", owner="a"), kept("hunter2", owner="a")
    assert "hunter2" not in first
    assert first != second


def test_a_secret_moved_to_another_row_does_not_open() -> None:
    with pytest.raises(SecretError, match="another secret key"):
        said(kept("hunter2", owner="a"), owner="b")


@pytest.mark.parametrize("stored", ["", "v1.", "v1.!", "v1.AAAA", "nonsense"])
def test_what_was_never_kept_is_an_error(stored: str) -> None:
    with pytest.raises(SecretError):
        said(stored, owner="a")


def test_a_secret_outlives_the_portals_key_as_long_as_that_is_remembered(
    settings: Settings,
) -> None:
    stored = kept("hunter2", owner="a")
    former, settings.SECRET_KEY = settings.SECRET_KEY, "another" * 10
    with pytest.raises(SecretError):
        said(stored, owner="a")
    settings.SECRET_KEY_FALLBACKS = [former]
    assert said(stored, owner="a") == "hunter2"

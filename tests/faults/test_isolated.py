"""What fails inside fails outside, with the values around it."""

from __future__ import annotations

import subprocess

import pytest

from tests.faults.isolated import isolated


@isolated(seconds=20)
def passes(*, number: int) -> None:
    assert number == 3
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, check=True)
    assert links.stdout.count(b"\n") == 1


@isolated(seconds=20)
def fails() -> None:
    secret = 40 + 2
    assert secret == 43


@pytest.mark.netns
def test_a_test_has_a_network_of_its_own() -> None:
    passes(number=3)


@pytest.mark.netns
def test_what_fails_inside_fails_outside_with_its_values() -> None:
    with pytest.raises(pytest.fail.Exception, match="secret = 42"):
        fails()

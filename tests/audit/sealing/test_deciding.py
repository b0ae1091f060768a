"""What was signed is a prefix of whatever is signed next. Pure."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.errors import SealError
from audit.sealing.deciding import Signed, check_continues, is_due
from tests.audit.conftest import NOON

ROOTS = {5: b"five", 7: b"seven"}


def check(last: Signed | None, size: int, signed_size: int | None = 5) -> None:
    check_continues(last, size=size, signed_size=signed_size, root_at=ROOTS.__getitem__)


@pytest.mark.parametrize("size", [5, 6, 1000])
def test_a_tree_that_begins_like_the_signed_one_goes_on(size: int) -> None:
    check(Signed(size=5, root=b"five"), size)


def test_a_smaller_tree_is_refused_and_the_text_says_what_to_do() -> None:
    with pytest.raises(SealError, match=r"has 4 leaves, but 5 were signed.*Bring back"):
        check(Signed(size=5, root=b"five"), 4)


@pytest.mark.parametrize("size", [5, 6])
def test_another_tree_is_refused(size: int) -> None:
    with pytest.raises(SealError, match="first 5 leaves are not the ones"):
        check(Signed(size=5, root=b"other"), size)


def test_a_lost_memory_is_refused_where_something_was_signed() -> None:
    with pytest.raises(SealError, match="state file is gone"):
        check(None, 5)


def test_a_new_log_begins_without_a_memory() -> None:
    check(None, 5, signed_size=None)


@pytest.mark.parametrize(
    ("seconds", "signed_size", "due"),
    [(0, 5, False), (9.9, 5, False), (10, 5, True), (0, 4, True)],
    ids=["same tree", "not yet", "quiet", "grew"],
)
def test_a_tree_is_signed_when_it_grew_or_was_quiet(
    seconds: float, signed_size: int, *, due: bool
) -> None:
    now = NOON + timedelta(seconds=seconds)
    found = is_due(now=now, signed_at=NOON, size=5, signed_size=signed_size)
    assert found is due


def test_a_tree_that_was_never_signed_is_due() -> None:
    assert is_due(now=NOON, signed_at=None, size=0, signed_size=None)

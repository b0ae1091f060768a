"""Rules of an application's own terms."""

from __future__ import annotations

import pytest

from policies.compiler.errors import InvalidValueError
from policies.compiler.strictness import ORDINARY, Evidence, Strictness, stricter

BEST_EFFORT = Strictness(evidence=Evidence.BEST_EFFORT)


def test_ordinary_is_the_lease_and_no_access_without_evidence() -> None:
    assert ORDINARY.is_strict
    assert ORDINARY.max_staleness is None


@pytest.mark.parametrize("seconds", [-1, 0, 59, 86_401])
def test_a_limit_that_could_not_be_kept_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidValueError, match="no limit"):
        Strictness(max_staleness=seconds)


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        (ORDINARY, ORDINARY, ORDINARY),
        (ORDINARY, BEST_EFFORT, ORDINARY),
        (BEST_EFFORT, BEST_EFFORT, BEST_EFFORT),
        (Strictness(max_staleness=60), ORDINARY, Strictness(max_staleness=60)),
        (
            Strictness(max_staleness=120),
            Strictness(max_staleness=60, evidence=Evidence.BEST_EFFORT),
            Strictness(max_staleness=60),
        ),
    ],
)
def test_what_keeps_both_is_the_stricter_of_each(
    left: Strictness, right: Strictness, both: Strictness
) -> None:
    assert stricter(left, right) == stricter(right, left) == both

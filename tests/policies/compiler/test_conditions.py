"""Rules of what a grant may demand: values that say something, and one thing only."""

from __future__ import annotations

import re

import pytest

from policies.compiler.conditions import (
    MAX_AGE,
    MIN_AGE,
    ApprovedDevice,
    MaxAge,
    Strength,
    requirement_name,
    sorted_requirements,
)
from policies.compiler.errors import InvalidValueError

WANTED = (
    MaxAge(seconds=60),
    MaxAge(seconds=28_800),
    Strength(amr=("mfa",), acr=()),
    Strength(amr=(), acr=("mfa",)),
    Strength(amr=("mfa", "pwd"), acr=()),
    ApprovedDevice(),
)


@pytest.mark.parametrize("seconds", [0, -1, MIN_AGE - 1, MAX_AGE + 1])
def test_an_absurd_age_cannot_exist(seconds: int) -> None:
    with pytest.raises(InvalidValueError):
        MaxAge(seconds=seconds)


@pytest.mark.parametrize(
    ("amr", "acr"),
    [
        ((), ()),
        (("",), ()),
        (("m" * 65,), ()),
        (("mfa\n",), ()),
        (("m\xfcfa",), ()),
        (("pwd", "mfa"), ()),
        (("mfa", "mfa"), ()),
        ((), ("b", "a")),
        (tuple(f"m{n:02}" for n in range(17)), ()),
    ],
)
def test_a_strength_that_is_empty_odd_or_disordered_cannot_exist(
    amr: tuple[str, ...], acr: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidValueError):
        Strength(amr=amr, acr=acr)


def test_names_are_distinct_identifiers() -> None:
    names = [requirement_name(wanted) for wanted in WANTED]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"if_[a-z0-9_]{1,40}", name) for name in names)
    assert requirement_name(MaxAge(seconds=60)) == "if_age_60"


def test_equal_requirements_are_one_whatever_their_order() -> None:
    once = sorted_requirements(WANTED)
    assert sorted_requirements((*reversed(WANTED), *WANTED)) == once
    assert len(once) == len(WANTED)

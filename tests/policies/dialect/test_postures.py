"""Rules of posture assertions."""

from __future__ import annotations

from decimal import Decimal

import pytest

from policies.dialect.errors import DialectError
from policies.dialect.postures import (
    Scalar,
    any_holds,
    assertion_text,
    holds,
    parse_assertion,
)

DEVICE: dict[str, Scalar] = {
    "node:os": "linux",
    "node:osVersion": "14.10",
    "custom:tier": Decimal(3),
    "custom:safe": True,
}


@pytest.mark.parametrize(
    ("text", "is_true"),
    [
        ("node:os == 'linux'", True),
        ('node:os == "linux"', True),
        ("node:os != 'linux'", False),
        ("node:os != 'macos'", True),
        ("node:osVersion >= '14.2'", True),
        ("node:osVersion < '14.2'", False),
        ("node:osVersion <= '14.10'", True),
        ("node:osVersion > '14.10'", False),
        ("custom:tier > 2", True),
        ("custom:tier >= 3.0", True),
        ("custom:tier < 2", False),
        ("custom:tier == '3'", False),
        ("custom:tier >= '3'", False),
        ("custom:safe == true", True),
        ("custom:safe == false", False),
        ("custom:safe > 0", False),
        ("node:os IN ['linux', 'macos']", True),
        ("node:os NOT IN ['linux']", False),
        ("node:os NOT IN []", True),
        ("node:os IS SET", True),
        ("node:os NOT SET", False),
        ("custom:none NOT SET", True),
        ("custom:none IS SET", False),
    ],
)
def test_assertions_hold_as_they_read(text: str, *, is_true: bool) -> None:
    assert holds((parse_assertion(text),), DEVICE) == is_true


@pytest.mark.parametrize(
    "text", ["custom:none != 1", "custom:none NOT IN [1]", "custom:none < 1"]
)
def test_an_absent_attribute_fails_every_comparison(text: str) -> None:
    assert not holds((parse_assertion(text),), DEVICE)


def test_all_assertions_of_one_of_the_postures_must_hold() -> None:
    good, bad = (parse_assertion(f"custom:tier {op} 3") for op in ("==", "!="))
    assert any_holds([(good, bad), (good,)], DEVICE)
    assert not any_holds([(good, bad)], DEVICE)


@pytest.mark.parametrize(
    "text",
    [
        "os == 'x'",
        "node:os = 'x'",
        "node:os == x",
        "node:os IS SET x",
        "node:os IN 'x'",
        "node:os IN ['x' 'y']",
        "node:os IN [x]",
        "node:os == ",
    ],
)
def test_what_is_no_assertion_is_refused(text: str) -> None:
    with pytest.raises(DialectError):
        parse_assertion(text)


@pytest.mark.parametrize(
    "text",
    [
        "node:os == 'linux'",
        'node:os != "it\'s"',
        "custom:tier >= 3.5",
        "custom:safe == true",
        "node:os IN ['a', 'b']",
        "node:os NOT IN [1, false]",
        "node:os IS SET",
    ],
)
def test_an_assertion_is_written_as_it_is_read(text: str) -> None:
    assert assertion_text(parse_assertion(text)) == text

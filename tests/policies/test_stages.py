"""How long past revocations took, in bars. Pure."""

from __future__ import annotations

from policies.stages import histogram


def test_every_time_falls_into_one_bar() -> None:
    bars = histogram([10, 50, 51, 499, 5_000, 60_001, 900_000])
    assert sum(bar.count for bar in bars) == 7
    assert [(bar.label, bar.count) for bar in bars if bar.count] == [
        ("up to 50 ms", 2),
        ("up to 100 ms", 1),
        ("up to 500 ms", 1),
        ("up to 5 s", 1),
        ("over 60 s", 2),
    ]


def test_nothing_measured_is_no_bar() -> None:
    assert histogram([]) == ()

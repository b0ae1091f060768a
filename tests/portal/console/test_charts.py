"""Numbers become rectangles that fit the chart. No database."""

from __future__ import annotations

from itertools import pairwise

from portal.console.charts import HEIGHT, WIDTH, Column, stacked


def column(*values: int) -> Column:
    tones = ("below", "above")
    return Column(parts=tuple(zip(tones, values, strict=False)), label="x")


def test_the_highest_column_fills_the_chart() -> None:
    chart = stacked("x", "4", [column(2, 2), column(1, 0)])
    below, above, half = chart.bars
    assert (float(above.y), float(below.y) + float(below.height)) == (0, HEIGHT)
    assert float(half.height) == HEIGHT / 4


def test_parts_stand_on_each_other() -> None:
    below, above = stacked("x", "4", [column(1, 3)]).bars
    assert float(above.y) + float(above.height) == float(below.y)
    assert (below.tone, above.tone) == ("below", "above")


def test_columns_stay_inside_and_do_not_overlap() -> None:
    bars = stacked("x", "1", [column(1)] * 90).bars
    ends = [(float(bar.x), float(bar.x) + float(bar.width)) for bar in bars]
    assert all(end <= begin for (_, end), (begin, _) in pairwise(ends))
    assert ends[-1][1] <= WIDTH


def test_one_among_thousands_is_still_seen() -> None:
    chart = stacked("x", "9999", [column(9999), column(1)])
    assert float(chart.bars[1].height) == 1


def test_nothing_is_no_bar() -> None:
    assert stacked("x", "0", [column(0), column(0)]).bars == ()
    assert stacked("x", "0", []).bars == ()

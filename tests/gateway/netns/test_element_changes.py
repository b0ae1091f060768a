"""Changes of elements made directly leave what libnftables would have left."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.netns

DAYS = 10


@functools.cache
def facts() -> dict[str, Any]:
    """Run everything once, in a namespace of its own."""
    words = ["unshare", "--net", "--mount", sys.executable, "-m"]
    done = subprocess.run(
        [*words, "tests.gateway.netns.element_changes"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def plain(listing: object) -> object:
    """Return a listing without handles, its elements in order, one interface's name."""
    text = json.dumps(listing).replace("wg1", "wg0")
    return json.loads(text, object_hook=_plain)


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    found = {k: v for k, v in item.items() if k not in {"handle", "expires"}}
    if isinstance(found.get("elem"), list):
        found["elem"] = sorted(found["elem"], key=json.dumps)
    return found


def timed(listing: object) -> dict[str, int]:
    """Return what is left of each element's time, by element."""
    ends = {json.dumps(e["val"]): e["expires"] for e in _elements(listing)}
    return {key.replace("wg1", "wg0"): left for key, left in ends.items()}


def _elements(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _elements(item)
    elif isinstance(value, dict):
        if "expires" in value:
            yield value
        for item in value.values():
            yield from _elements(item)


@pytest.mark.parametrize("day", range(DAYS))
def test_the_kernel_holds_the_same_whoever_changed_it(day: int) -> None:
    listed = facts()["listings"][day]
    assert plain(listed["wg0"]) == plain(listed["wg1"])


@pytest.mark.parametrize("day", range(DAYS))
def test_every_element_ends_at_the_same_time(day: int) -> None:
    listed = facts()["listings"][day]
    directly, by_text = timed(listed["wg0"]), timed(listed["wg1"])
    assert directly.keys() == by_text.keys()
    assert directly
    assert all(abs(left - by_text[key]) <= 1 for key, left in directly.items())


def test_there_was_something_to_change() -> None:
    listings = [plain(listed["wg0"]) for listed in facts()["listings"]]
    there, back = listings[::2], listings[1::2]
    assert all(now != then for now, then in zip(there, back, strict=True))
    assert len(facts()["listings"]) == DAYS


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("absent", "delete 1 of who_gr_4: No such file or directory"),
        ("no_set", "add 1 of who_gr_99: No such file or directory"),
        ("wrong", "add 1 of who_gr_4: Invalid argument"),
        ("no_table", "add 1 of who_gr_4: No such file or directory"),
        ("not_permitted", "Operation not permitted"),
    ],
)
def test_a_refusal_is_told(case: str, reason: str) -> None:
    assert reason in facts()["refusals"]["said"][case]


def test_nothing_of_a_refused_batch_is_applied() -> None:
    refusals = facts()["refusals"]
    assert plain(refusals["before"]) == plain(refusals["after"])
    assert refusals["said"]["control"] == ""
    assert plain(refusals["held"]) != plain(refusals["after"])

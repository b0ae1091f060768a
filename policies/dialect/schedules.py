"""Weekly hours of a rule: read from the file, and asked about a moment.

A schedule names an IANA time zone, never an offset. What hours mean is the compiler's
(`policies.compiler.schedules`): in a file, in a grant and in a test they are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, tzinfo
from typing import Final

from policies.compiler.conditions import DAYS, Hours, Schedule, Window, sorted_windows
from policies.compiler.schedules import is_open
from policies.dialect.errors import UnknownNameError
from policies.dialect.tree import Node

MIDNIGHT: Final = "24:00"

_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


def read_schedule(node: Node) -> Schedule:
    """Return the schedule written at a node.

    Raises:
        PolicyError: no time zone, an offset in its place, no windows, or a window that
            is empty or runs over midnight.
    """
    fields = node.fields(("timeZone", "windows"))
    if "timeZone" not in fields:
        node.refuse('a schedule needs a timeZone, for example "Europe/Berlin"')
    zone = fields["timeZone"].text
    if _ZONE.fullmatch(zone) is None:
        fields["timeZone"].refuse(f"{zone!r} is not the name of a time zone")
    windows = fields["windows"].items() if "windows" in fields else ()
    if not windows:
        node.refuse("a schedule needs windows; without one the rule never holds")
    return Schedule(
        time_zone=zone, windows=sorted_windows(_window(item) for item in windows)
    )


def is_within(
    schedule: Schedule, moment: datetime, zones: Mapping[str, tzinfo]
) -> bool:
    """Return whether a moment lies in the hours of a schedule.

    Raises:
        UnknownNameError: `zones` does not have the schedule's time zone.
    """
    if schedule.time_zone not in zones:
        msg = f"unknown time zone {schedule.time_zone!r}"
        raise UnknownNameError(msg)
    return is_open(Hours(schedule=schedule, zone=zones[schedule.time_zone]), moment)


def window_text(window: Window) -> dict[str, object]:
    """Return a window as the file spells it."""
    return {
        "days": [DAYS[day] for day in window.days],
        "from": window.begin.isoformat("minutes"),
        "until": window.end.isoformat("minutes") if window.end else MIDNIGHT,
    }


def _window(node: Node) -> Window:
    """Return one window."""
    fields = node.fields(("days", "from", "until"))
    if missing := {"days", "from", "until"} - fields.keys():
        node.refuse(f"{min(missing)} is missing")
    days = [_day(item) for item in fields["days"].texts()]
    if not days or len(set(days)) < len(days):
        fields["days"].refuse("days are mon to sun, each once, at least one")
    begin = _clock(fields["from"])
    end = None if fields["until"].text == MIDNIGHT else _clock(fields["until"])
    if end is not None and end <= begin:
        fields["until"].refuse("a window ends on its day, after it begins; use two")
    return Window(days=tuple(sorted(days)), begin=begin, end=end)


def _day(node: Node) -> int:
    """Return the number of a weekday."""
    name = node.text.lower()
    if name not in DAYS:
        node.refuse(f"{node.text!r} is not a day like mon")
    return DAYS.index(name)


def _clock(node: Node) -> time:
    """Return a time of day."""
    if _CLOCK.fullmatch(node.text) is None:
        node.refuse(f"{node.text!r} is not a time of day like 08:30")
    return time.fromisoformat(node.text)

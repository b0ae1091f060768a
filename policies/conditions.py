"""What a grant may demand beside its time: read from text, checked, said in words.

Rules about each value are the compiler's (`policies.compiler.conditions`); here is
what somebody types, what exists (time zones), and what people read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from policies.compiler.conditions import (
    DAYS,
    ApprovedDevice,
    MaxAge,
    Requirement,
    Requirements,
    Schedule,
    Strength,
    Window,
    sorted_requirements,
    sorted_windows,
)
from policies.compiler.errors import InvalidValueError
from policies.durations import in_words
from policies.errors import InvalidGrantError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audit.services import Json
    from policies.models.terms import Terms

MAX_WINDOWS: Final = 28
"""Four a day: more is a slip, or a policy that nobody can read."""

MIDNIGHT: Final = "24:00"
WEEK: Final = (
    "Mondays",
    "Tuesdays",
    "Wednesdays",
    "Thursdays",
    "Fridays",
    "Saturdays",
    "Sundays",
)

_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_LINE: Final = re.compile(
    r"(?P<days>\S+)\s+(?P<begin>[0-9:]+)\s*[-–]\s*(?P<end>[0-9:]+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowInput:
    """Hours as they were given: `mon`, `08:00`, `18:00` (or `24:00`)."""

    days: tuple[str, ...]
    begin: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionsInput:
    """Conditions as they were given; nothing given demands nothing."""

    time_zone: str = ""
    windows: tuple[WindowInput, ...] = ()
    max_auth_age_seconds: int | None = None
    amr: tuple[str, ...] = ()
    acr: tuple[str, ...] = ()
    needs_approved_device: bool = False


UNCONDITIONAL: Final = ConditionsInput()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Conditions that are well-formed: hours or None, and what must be held."""

    schedule: Schedule | None = None
    requires: Requirements = ()


def parse_conditions(given: ConditionsInput) -> Conditions:
    """Return conditions, if every part of them says something and exists.

    Raises:
        InvalidGrantError: hours without a time zone or the reverse, an unknown zone,
            a window that is empty, reversed or runs over midnight, an age out of
            bounds, or a method or class that is malformed.
    """
    try:
        if given.time_zone:
            time_zone(given.time_zone)
        return Conditions(
            schedule=_schedule(given),
            requires=sorted_requirements(_requirements(given)),
        )
    except InvalidValueError as exc:
        raise InvalidGrantError(str(exc)) from exc


def stored_conditions(row: Terms) -> Conditions:
    """Return the conditions of stored terms.

    Raises:
        InvalidGrantError, InvalidValueError: somebody else wrote them.
    """
    given = ConditionsInput(
        time_zone=row.time_zone,
        windows=tuple(
            WindowInput(days=tuple(w["days"]), begin=w["from"], end=w["until"])
            for w in row.windows
        ),
        max_auth_age_seconds=row.max_auth_age_seconds,
        amr=tuple(row.amr),
        acr=tuple(row.acr),
        needs_approved_device=row.needs_approved_device,
    )
    return Conditions(
        schedule=_schedule(given), requires=sorted_requirements(_requirements(given))
    )


def condition_columns(conditions: Conditions) -> dict[str, Any]:
    """Return conditions as the columns of stored terms."""
    given = given_conditions(conditions)
    return {
        "time_zone": given.time_zone,
        "windows": _window_rows(given),
        "max_auth_age_seconds": given.max_auth_age_seconds,
        "amr": [*given.amr],
        "acr": [*given.acr],
        "needs_approved_device": given.needs_approved_device,
    }


def given_conditions(conditions: Conditions) -> ConditionsInput:
    """Return what `parse_conditions` reads as these conditions."""
    schedule, requires = conditions.schedule, conditions.requires
    strength = next((r for r in requires if isinstance(r, Strength)), None)
    age = next((r for r in requires if isinstance(r, MaxAge)), None)
    return ConditionsInput(
        time_zone=schedule.time_zone if schedule else "",
        windows=tuple(
            WindowInput(
                days=tuple(DAYS[day] for day in window.days),
                begin=_clock_text(window.begin),
                end=_clock_text(window.end),
            )
            for window in (schedule.windows if schedule else ())
        ),
        max_auth_age_seconds=age.seconds if age else None,
        amr=strength.amr if strength else (),
        acr=strength.acr if strength else (),
        needs_approved_device=ApprovedDevice() in requires,
    )


def parse_window(line: str) -> WindowInput:
    """Return the hours written in one line, `mon-fri 08:00-18:00`.

    Raises:
        InvalidGrantError: the line is not written like that.
    """
    match = _LINE.fullmatch(line.strip().lower())
    if match is None:
        msg = f"{line.strip()!r} is not written like mon-fri 08:00-18:00"
        raise InvalidGrantError(msg)
    days: list[str] = []
    for part in match["days"].split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            msg = f"{part!r} is not a day like mon, or several like mon-fri"
            raise InvalidGrantError(msg)
        begin, end = DAYS.index(first), DAYS.index(last or first)
        if end < begin:
            msg = f"{part!r} runs over the end of the week; write two lines"
            raise InvalidGrantError(msg)
        days += DAYS[begin : end + 1]
    return WindowInput(days=tuple(days), begin=match["begin"], end=match["end"])


def time_zone(name: str) -> tzinfo:
    """Return the clocks of an IANA time zone.

    Raises:
        InvalidGrantError: there is no such zone. An offset from UTC is none.
    """
    if name not in _zones():
        msg = f"{name!r} is not the name of a time zone like Europe/Berlin"
        raise InvalidGrantError(msg)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        msg = f"the time zone {name} cannot be read"
        raise InvalidGrantError(msg) from exc


def local_moment(typed: datetime, zone_name: str) -> datetime:
    """Return the moment at which the clocks of a zone show a typed date and time.

    Raises:
        InvalidGrantError: no such zone, or the clocks skip that time or show it twice.
    """
    zone = time_zone(zone_name)
    moment = typed.replace(tzinfo=zone, fold=0)
    again = typed.replace(tzinfo=zone, fold=1)
    if moment.utcoffset() == again.utcoffset():
        return moment
    shown = f"{typed:%H:%M} on {typed:%Y-%m-%d}"
    before, after = moment.utcoffset(), again.utcoffset()
    if before is not None and after is not None and before < after:
        msg = f"{shown} never comes in {zone_name}: the clocks go forward over it"
    else:
        msg = f"{shown} comes twice in {zone_name}: the clocks go back over it"
    raise InvalidGrantError(msg)


def conditions_text(conditions: Conditions) -> str:
    """Return conditions in words, or nothing where there are none."""
    hours = _hours_texts(conditions.schedule)
    return "; ".join((*hours, *map(requirement_text, conditions.requires)))


def requirement_text(wanted: Requirement) -> str:
    """Return a requirement in words."""
    if isinstance(wanted, MaxAge):
        age = in_words(timedelta(seconds=wanted.seconds))
        return f"sign-in not older than {age}"
    if isinstance(wanted, Strength):
        return f"strong sign-in {strength_text(wanted)}"
    return "approved device"


def strength_text(wanted: Strength) -> str:
    """Return what a sign-in must show: `mfa and pwd, of class gold or silver`."""
    parts = []
    if wanted.amr:
        parts.append(" and ".join(wanted.amr))
    if wanted.acr:
        parts.append(f"of class {' or '.join(wanted.acr)}")
    return ", ".join(parts)


def conditions_output(conditions: Conditions) -> dict[str, Json]:
    """Return conditions as events and the API say them."""
    given = given_conditions(conditions)
    hours: Json = {
        "time_zone": given.time_zone,
        "windows": _window_rows(given),
    }
    return {
        "schedule": hours if conditions.schedule else None,
        "max_auth_age_seconds": given.max_auth_age_seconds,
        "amr": [*given.amr],
        "acr": [*given.acr],
        "needs_approved_device": given.needs_approved_device,
    }


def _window_rows(given: ConditionsInput) -> list[Json]:
    return [{"days": [*w.days], "from": w.begin, "until": w.end} for w in given.windows]


def _schedule(given: ConditionsInput) -> Schedule | None:
    if not given.time_zone and not given.windows:
        return None
    if not given.time_zone:
        msg = "hours need a time zone, for example Europe/Berlin"
        raise InvalidGrantError(msg)
    if not given.windows:
        msg = "a time zone without hours would mean never; give hours"
        raise InvalidGrantError(msg)
    if len(given.windows) > MAX_WINDOWS:
        msg = f"a grant has {MAX_WINDOWS} windows of hours at most"
        raise InvalidGrantError(msg)
    return Schedule(
        time_zone=given.time_zone,
        windows=sorted_windows(_window(window) for window in given.windows),
    )


def _window(given: WindowInput) -> Window:
    if unknown := [day for day in given.days if day not in DAYS]:
        msg = f"{unknown[0]!r} is not a day like mon"
        raise InvalidGrantError(msg)
    if not given.days:
        msg = "hours need at least one day"
        raise InvalidGrantError(msg)
    begin = _clock(given.begin)
    end = None if given.end == MIDNIGHT else _clock(given.end)
    if end is not None and end <= begin:
        msg = (
            f"hours from {given.begin} until {given.end} are empty; those over midnight"
            " are two windows, the first until 24:00"
        )
        raise InvalidGrantError(msg)
    days = tuple(sorted({DAYS.index(day) for day in given.days}))
    return Window(days=days, begin=begin, end=end)


def _clock(text: str) -> time:
    if _CLOCK.fullmatch(text) is None:
        msg = f"{text!r} is not a time of day like 08:30"
        raise InvalidGrantError(msg)
    return time.fromisoformat(text)


def _clock_text(clock: time | None) -> str:
    return MIDNIGHT if clock is None else clock.isoformat("minutes")


def _requirements(given: ConditionsInput) -> Iterator[Requirement]:
    if given.max_auth_age_seconds is not None:
        yield MaxAge(seconds=given.max_auth_age_seconds)
    if given.amr or given.acr:
        yield Strength(
            amr=tuple(sorted(set(given.amr))), acr=tuple(sorted(set(given.acr)))
        )
    if given.needs_approved_device:
        yield ApprovedDevice()


def _hours_texts(schedule: Schedule | None) -> Iterator[str]:
    if schedule is None:
        return
    by_days: dict[tuple[int, ...], list[str]] = {}
    for window in schedule.windows:
        span = f"{_clock_text(window.begin)}–{_clock_text(window.end)}"
        by_days.setdefault(window.days, []).append(span)
    said = ", ".join(
        f"{_days_text(days)} {' and '.join(spans)}" for days, spans in by_days.items()
    )
    yield f"{said} {schedule.time_zone}"


def _days_text(days: tuple[int, ...]) -> str:
    if len(days) == len(WEEK):
        return "every day"
    if len(days) > 2 and days == tuple(range(days[0], days[-1] + 1)):  # noqa: PLR2004 - a run
        return f"{WEEK[days[0]]} to {WEEK[days[-1]]}"
    return " and ".join(WEEK[day] for day in days)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    """Return the names there are: none of `posix/` or `right/`, which count others."""
    return frozenset(available_timezones())

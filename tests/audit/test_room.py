"""The brake and the ballast; tests/faults/test_full_disk.py fills a real disk."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django.test import RequestFactory
from pytest_django import Settings

import manage
from audit import room
from audit.actor import SYSTEM
from audit.alarms import tasks, watching
from audit.alarms.models import Alarm
from audit.alarms.watching import RoomWatch
from audit.errors import NoRoomError
from audit.events import EventCode, Outcome
from audit.models import AuditEvent
from audit.services import event, record, record_all
from portal.full import answer_full
from tests.conftest import NOW

RESERVE = 4
Free = Callable[[float], None]


@pytest.fixture
def free(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Free:
    """Return what says how many MiB the disk has; it has plenty at first."""
    settings.PEERAGE_ROOM_DIR, settings.PEERAGE_ROOM_RESERVE_MB = tmp_path, RESERVE
    disk = SimpleNamespace(f_bavail=0, f_frsize=1)

    def say(amount: float) -> None:
        disk.f_bavail = int(amount * room.MEBI)

    monkeypatch.setattr(os, "statvfs", lambda _path: disk)
    say(100)
    return say


def ballast(directory: Path) -> float:
    return (directory / room.BALLAST).stat().st_size / room.MEBI


def full() -> OperationalError:
    return OperationalError("database or disk is full")


def test_where_nothing_is_watched_nothing_is_refused(settings: Settings) -> None:
    settings.PEERAGE_ROOM_DIR, settings.PEERAGE_ROOM_RESERVE_MB = "", 128
    assert room.look() is None
    room.require()
    room.fill()
    assert not room.make()


def test_the_ballast_holds_real_blocks(free: Free, tmp_path: Path) -> None:
    room.fill()
    assert ballast(tmp_path) == RESERVE / 2
    assert (tmp_path / room.BALLAST).stat().st_blocks * 512 >= RESERVE / 2 * room.MEBI


def test_it_is_not_made_from_the_reserve(free: Free, tmp_path: Path) -> None:
    free(2 * RESERVE - 1)
    room.fill()
    assert not (tmp_path / room.BALLAST).exists()


def test_a_smaller_reserve_makes_it_smaller(
    free: Free, tmp_path: Path, settings: Settings
) -> None:
    room.fill()
    settings.PEERAGE_ROOM_RESERVE_MB = 2
    room.fill()
    assert ballast(tmp_path) == 1


@pytest.mark.parametrize(("left", "is_low"), [(RESERVE, False), (RESERVE - 0.1, True)])
def test_below_the_reserve_nothing_is_given(
    left: float, is_low: bool, free: Free
) -> None:
    free(left)
    if not is_low:
        return room.require()
    with pytest.raises(NoRoomError, match="4 MiB are kept for revocations"):
        room.require()
    return None


@pytest.mark.parametrize(
    ("left", "kept"), [(1.5, RESERVE / 2), (0.9, 0), (0, 0)], ids=str
)
def test_the_ballast_goes_when_the_disk_is_full(
    left: float, kept: float, free: Free, tmp_path: Path
) -> None:
    room.fill()
    free(left)
    assert room.make() is (kept == 0)
    assert ballast(tmp_path) == kept
    assert not room.make()


@pytest.mark.django_db
def test_what_takes_away_is_recorded_whatever_the_disk_says(
    free: Free, tmp_path: Path
) -> None:
    room.fill()
    free(0)
    record(EventCode.DEVICE_REVOKE, actor=SYSTEM, now=NOW)
    assert ballast(tmp_path) == 0
    for give in (record, lambda *a, **b: record_all([event(*a, **b)])):
        with pytest.raises(NoRoomError):
            give(EventCode.GRANT_CREATE, actor=SYSTEM, now=NOW)
    record(
        EventCode.ACCESS_REQUEST_REVIEW,
        actor=SYSTEM,
        now=NOW,
        outcome=Outcome.REFUSED,
    )
    assert [*AuditEvent.objects.values_list("code", flat=True)] == ["RQ002", "DV012"]


@pytest.mark.parametrize(
    ("exc", "found"),
    [
        (full(), True),
        (OperationalError("database is locked"), False),
        (ValueError("database or disk is full"), False),
        (None, False),
    ],
    ids=["full", "locked", "other", "none"],
)
def test_a_full_database_is_told_from_other_trouble(
    exc: BaseException | None, found: bool
) -> None:
    assert room.is_full(exc) is found


def test_postgresql_says_it_by_its_number() -> None:
    exc = OperationalError("could not extend file")
    cause = Exception()
    cause.sqlstate = "53100"  # type: ignore[attr-defined]
    exc.__cause__ = cause
    assert room.is_full(exc)


def unopened() -> OperationalError:
    """Return what SQLite says when it cannot make the files it needs to open."""
    return OperationalError("disk I/O error")


def test_a_command_that_could_not_open_the_database_makes_room(
    free: Free, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_words: object) -> None:
        raise unopened()

    monkeypatch.setattr(manage, "execute_from_command_line", fail)
    room.fill()
    free(0)
    with pytest.raises(OperationalError):
        manage.main(["manage.py", "revoke_user"])
    assert ballast(tmp_path) == 0


def test_a_database_that_fails_on_a_disk_with_room_is_no_full_disk(
    free: Free, tmp_path: Path, rf: RequestFactory
) -> None:
    room.fill()
    assert answer_full(rf.get("/"), unopened()) is None
    free(0)
    answer = answer_full(rf.get("/api/v1/grants/"), unopened())
    assert answer is not None
    assert answer.status_code == 507
    assert ballast(tmp_path) == 0


@pytest.mark.parametrize(("raised", "kept"), [(full(), 0), (ValueError(), 2)])
def test_what_fails_beside_the_views_makes_room_for_the_next_try(
    raised: Exception, kept: float, free: Free, tmp_path: Path
) -> None:
    room.fill()
    free(0)
    try:
        raise raised
    except (OperationalError, ValueError):
        room.make_after_failure()
    assert ballast(tmp_path) == kept


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("code", "details", "is_refused"),
    [
        (EventCode.LABEL_APPLY, {"added": [], "removed": ["db"]}, False),
        (EventCode.LABEL_APPLY, {"added": ["db"], "removed": ["x"]}, True),
        (EventCode.POLICY_APPLY, {"grants_created": 0, "grants_ended": 3}, False),
        (EventCode.POLICY_APPLY, {"grants_created": 1, "grants_ended": 3}, True),
    ],
    ids=str,
)
def test_what_only_takes_away_is_not_refused(
    code: EventCode, details: dict[str, Any], is_refused: bool, free: Free
) -> None:
    sizes = {"is_confirmed": True, "people_losing": 0}
    sizes |= {"applications_created": 0, "applications_changed": 0}
    if code is EventCode.POLICY_APPLY:
        details = sizes | details | {"sha256": "0", "etag": "0"}
    free(1)
    if is_refused:
        with pytest.raises(NoRoomError):
            record(code, actor=SYSTEM, now=NOW, details=details)
    else:
        record(code, actor=SYSTEM, now=NOW, details=details)


def test_a_ballast_that_was_not_made_is_not_taken_for_one(
    free: Free, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int, _first: int, size: int) -> None:
        os.truncate(file, size // 2)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(OSError, match="No space left"):
            room.fill()
    assert ballast(tmp_path) == 0
    room.fill()
    assert (tmp_path / room.BALLAST).stat().st_blocks * 512 >= RESERVE / 2 * room.MEBI


def test_one_revocation_takes_one_step(
    free: Free, tmp_path: Path, settings: Settings
) -> None:
    """It records several events, and each looks."""
    settings.PEERAGE_ROOM_RESERVE_MB = 128
    free(1000)
    room.fill()
    free(0)
    assert room.make()
    free(7.5)
    assert not room.make()
    assert ballast(tmp_path) == 56


def test_who_comes_second_makes_no_hole_and_takes_no_second_step(
    free: Free, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the turn somebody else gave a step back."""
    monkeypatch.setattr(room, "STEP", room.MEBI)
    room.fill()
    free(0)

    def wait(_file: int, _how: int) -> None:
        os.truncate(tmp_path / room.BALLAST, room.MEBI)
        free(1)

    monkeypatch.setattr(fcntl, "flock", wait)
    assert not room.make()
    assert ballast(tmp_path) == 1


@pytest.mark.django_db
def test_little_room_is_one_alarm_until_there_is_room(
    free: Free, tmp_path: Path
) -> None:
    watch = RoomWatch()
    watch.look(now=NOW)
    assert ballast(tmp_path) == RESERVE / 2
    free(1)
    watch.look(now=NOW)
    watch.look(now=NOW)
    alarm = Alarm.objects.get()
    assert (alarm.rule, alarm.count) == ("room-low", 1)
    assert "less than 4 MiB" in alarm.sentence
    free(100)
    watch.look(now=NOW)
    assert Alarm.objects.count() == 1


@pytest.mark.django_db
def test_a_disk_that_is_full_at_once_has_a_place_for_its_alarm_and_no_more(
    free: Free, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PEERAGE_ROOM_RESERVE_MB = 48
    watch, truncate = RoomWatch(), os.truncate

    def give(file: int, size: int) -> None:
        truncate(file, size)
        free(8)

    watch.look(now=NOW)
    free(0)
    monkeypatch.setattr(os, "truncate", give)
    watch.look(now=NOW)
    assert Alarm.objects.exists()
    free(0)
    watch.look(now=NOW)
    assert ballast(tmp_path) == 24 - 8
    assert Alarm.objects.get().rule == "room-low"


@pytest.mark.parametrize("failing", ["look", "watch_events"])
def test_what_fails_keeps_neither_the_disk_nor_the_logs_from_being_watched(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def step(name: str) -> Callable[..., None]:
        def run(**_: object) -> None:
            done.append(name)
            if name == failing:
                raise OSError

        return run

    monkeypatch.setattr(RoomWatch, "look", lambda _self, **_: step("look")())
    for name in ("watch_events", "watch_flows", "watch_checkpoints"):
        monkeypatch.setattr(watching, name, step(name))
    with pytest.raises(OSError):  # noqa: PT011 -- it says nothing
        tasks.watch()
    assert done[:2] == ["look", "watch_events"]


@pytest.mark.django_db
def test_the_alarm_can_be_switched_off(free: Free, settings: Settings) -> None:
    settings.PEERAGE_ALARM_RULES_OFF = ["room-low"]
    free(1)
    RoomWatch().look(now=NOW)
    assert not Alarm.objects.exists()


@pytest.mark.django_db
def test_a_directory_that_is_gone_stops_grants_and_no_revocation(
    settings: Settings, tmp_path: Path
) -> None:
    settings.PEERAGE_ROOM_DIR = tmp_path / "gone"
    settings.PEERAGE_ROOM_RESERVE_MB = RESERVE
    with pytest.raises(NoRoomError, match="cannot be asked"):
        record(EventCode.GRANT_CREATE, actor=SYSTEM, now=NOW)
    assert record(EventCode.DEVICE_REVOKE, actor=SYSTEM, now=NOW).pk

"""A portal on a disk that is really filled: `python -m tests.faults.filling`.

The temporary directory of the process is the disk; `tests.faults.test_full_disk` makes
it. Everything is asked as people ask it: pages, with sessions on the same disk.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

from django.conf import settings  # noqa: E402 -- after the setup
from django.core.management import call_command  # noqa: E402 -- the same
from django.db import connection, connections  # noqa: E402 -- the same
from django.test import Client  # noqa: E402 -- the same
from django.test.utils import setup_test_environment  # noqa: E402 -- the same

from audit import room  # noqa: E402 -- the same
from audit.actor import Ref  # noqa: E402 -- the same
from audit.alarms.models import Alarm  # noqa: E402 -- the same
from audit.alarms.watching import RoomWatch  # noqa: E402 -- the same
from audit.errors import NoRoomError, SealError  # noqa: E402 -- the same
from audit.models import AuditEvent, Log, Outbox, SealerState  # noqa: E402 -- the same
from audit.sealing import keeping  # noqa: E402 -- the same
from audit.sealing.sealer import Sealer  # noqa: E402 -- the same
from audit.services import record_flows  # noqa: E402 -- the same
from audit.tlog.policy import trusting  # noqa: E402 -- the same
from audit.verification import verify_log  # noqa: E402 -- the same
from peers.models import Device, DeviceState  # noqa: E402 -- the same
from policies.models import Grant  # noqa: E402 -- the same
from tests.browser.world import World, make_world  # noqa: E402 -- the same
from tests.gateway.netns.lab import command  # noqa: E402 -- the same
from tests.peers.makers import Machine  # noqa: E402 -- the same

if TYPE_CHECKING:
    from portal.accounts.models import User

RESERVE: Final = 40
"""MiB; half of it is the ballast."""
BACKDATED: Final = "dated more than an hour before"
"""The morning of this company was invented, and the verifier notices."""
BLOCK: Final = bytes(1 << 16)


class Disk:
    """The disk of the portal, and somebody else's file on it."""

    def __init__(self, home: Path) -> None:
        """Take a directory on it."""
        self.home = home
        self.filler = self.home / "somebody-elses.log"

    @property
    def free(self) -> int:
        """Return how many bytes are free."""
        disk = os.statvfs(self.home)
        return disk.f_bavail * disk.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Write until no more than `leave` bytes are free, or nothing goes any more."""
        with self.filler.open("ab", buffering=0) as file:
            while self.free > leave:
                try:
                    file.write(BLOCK[: min(len(BLOCK), self.free - leave)])
                except OSError:
                    break

    def relieve(self) -> None:
        """Take the file away."""
        self.filler.unlink()


class Desk:
    """An administrator at their browser."""

    def __init__(self, world: World) -> None:
        """Have signed in."""
        self.world = world
        self.client = Client(raise_request_exception=False)
        self.sign_in()

    def sign_in(self) -> None:
        """Begin a session; it is stored on the disk."""
        self.client.force_login(self.world.people["dave"])
        session = self.client.session
        session["sso"] = {"auth_time": int(now().timestamp()), "amr": ["pwd"]}
        session.save()

    def grant(self) -> int:
        """Grant mallory the database; return the status of the answer."""
        sent = {
            "person": self.world.people["mallory"].ref.id,
            "application": self.world.applications["database"].pk,
            "reason": "although the disk is full",
        }
        return self.client.post("/manage/grants/add/", sent).status_code

    def revoke_device(self, device: Device) -> int:
        """Revoke a device."""
        path = f"/devices/{device.pk}/revoke/"
        return self.client.post(path, {"reason": "lost"}).status_code

    def revoke(self, user: User) -> int:
        """Revoke a person everywhere."""
        path = f"/manage/users/{user.pk}/revoke/"
        return self.client.post(path, {"reason": "left"}).status_code


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)  # noqa: TID251 -- a command's edge


def main() -> None:
    """Fill the disk in two steps; nothing is given, and everything can be taken."""
    setup_test_environment()
    call_command("migrate", verbosity=0)
    call_command("init_keys", verbosity=0)
    settings.PEERAGE_ROOM_RESERVE_MB = RESERVE
    settings.PEERAGE_ROOM_DIR = settings.PEERAGE_STATE_DIR
    world, watch = make_world(now()), RoomWatch()
    disk = Disk(Path(settings.PEERAGE_STATE_DIR))
    desk = Desk(world)
    watch.look(now=now())
    assert ballast() == RESERVE // 2
    seal()
    sealer_full(world, desk)
    low(world, desk, disk, watch)
    full(world, desk, disk)
    relieved(desk, disk, watch)
    print(connection.vendor, "done")


def sealer_full(world: World, desk: Desk) -> None:
    """The sealer's own disk is full: nothing is signed, and all else goes on."""
    own = Path(settings.PEERAGE_SEALER_STATE_DIR)
    kept = {path.name: path.read_bytes() for path in own.iterdir()}
    command("mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(own))
    for name, text in kept.items():
        (own / name).write_bytes(text)
    disk = Disk(own)
    disk.fill()
    assert desk.revoke_device(world.devices["desk"]) == 302
    before = SealerState.objects.get(log=Log.CONTROL).size
    try:
        Sealer(Log.CONTROL).seal(now())
    except SealError as exc:
        assert "No space left" in str(exc)  # noqa: PT017 -- no test run here
    else:
        raise AssertionError("it was signed")
    assert SealerState.objects.get(log=Log.CONTROL).size == before
    disk.relieve()
    seal()
    assert SealerState.objects.get(log=Log.CONTROL).size > before
    last = {path.name: path.read_bytes() for path in own.iterdir()}
    command("umount", str(own))
    for name, text in last.items():
        (own / name).write_bytes(text)


def low(world: World, desk: Desk, disk: Disk, watch: RoomWatch) -> None:
    """There is less than the reserve: what gives is refused, before anything failed."""
    disk.fill(leave=(RESERVE - 4) << 20)
    grants = Grant.objects.count()
    assert desk.grant() == 507
    assert Grant.objects.count() == grants
    waiting = world.requests["waiting"].pk
    assert desk.client.post(f"/requests/{waiting}/approve/", {}).status_code == 507
    refuses(lambda: Machine().enroll(world.people["bob"], name="new", now=now()))
    gateway = Ref(id="gw_1", label="berlin")
    refuses(lambda: record_flows(gateway=gateway, flows=[], now=now()))
    assert ballast() == RESERVE // 2
    assert desk.revoke_device(world.devices["phone"]) == 302
    watch.look(now=now())
    watch.look(now=now())
    alarm = Alarm.objects.get(rule="room-low")
    assert alarm.count == 1
    assert desk.client.get(f"/audit/alarms/{alarm.pk}/").status_code == 200


def full(world: World, desk: Desk, disk: Disk) -> None:
    """Somebody else takes the last byte; what takes away finds its place."""
    disk.fill()
    assert disk.free < 4096
    assert desk.grant() == 507
    assert disk.free < 4096
    assert desk.revoke(world.people["alice"]) == 302
    assert ballast() == RESERVE // 2 - 8
    assert not Device.objects.filter(
        owner=world.people["alice"], state=DeviceState.ACTIVE
    )
    assert AuditEvent.objects.filter(code="RV001").count() == 1
    seal()
    disk.fill()
    desk.client = Client(raise_request_exception=False)
    desk.sign_in()
    assert desk.revoke(world.people["bob"]) == 302
    assert desk.grant() == 507
    assert AuditEvent.objects.filter(code="RV001").count() == 2
    seal()
    alone(world, desk, disk)


def alone(world: World, desk: Desk, disk: Disk) -> None:
    """Nobody has the database open; SQLite cannot be opened without some room."""
    connections.close_all()
    disk.fill()
    told = [desk.revoke(world.people["mallory"]) for _ in range(2)]
    assert told in ([302, 302], [500, 302], [507, 302]), told
    assert AuditEvent.objects.filter(code="RV001").count() > 2


def relieved(desk: Desk, disk: Disk, watch: RoomWatch) -> None:
    """The disk has room again: the ballast is whole, and things are granted."""
    disk.relieve()
    watch.look(now=now())
    assert ballast() == RESERVE // 2
    assert desk.grant() in {200, 302}
    seal()
    report = verify_log(trusting(*map(keeping.verifier_key, Log)))
    faults = [fault for fault in map(str, report.faults) if BACKDATED not in fault]
    assert faults == []


def refuses(act: object) -> None:
    """Demand that something is refused for want of room."""
    assert callable(act)
    try:
        act()
    except NoRoomError:
        return
    raise AssertionError("it was not refused")


def ballast() -> int:
    """Return how many MiB of the ballast are there."""
    found = room.look()
    assert found is not None
    return found.ballast // room.MEBI


def seal() -> None:
    """Seal both logs, and leave nothing waiting."""
    for log in Log:
        sealer = Sealer(log)
        while sealer.seal(now()):
            pass
    assert not Outbox.objects.exists()


if __name__ == "__main__":
    main()

"""Faults of a portal that loses its memory; everything real, judged by packets."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import populate
from tests.lab.lab import Lab, lab
from tests.lab.network import PAYROLL, WIKI
from tests.lab.processes import wait_until
from tests.lab.scenes import url

pytestmark = [pytest.mark.faults, pytest.mark.e2e, pytest.mark.netns]


def backup(made: Lab) -> Path:
    """Return a copy of the portal's database as it is now."""
    copy = made.folder / "backup.sqlite3"
    with (
        closing(sqlite3.connect(database(made))) as live,
        closing(sqlite3.connect(copy)) as target,
    ):
        live.backup(target)
    return copy


def restore(made: Lab, copy: Path) -> None:
    """Stop the portal, put the copy in its place, start it again."""
    made.portal.crash()
    for suffix in ("-wal", "-shm"):
        database(made).with_name(database(made).name + suffix).unlink(missing_ok=True)
    database(made).write_bytes(copy.read_bytes())
    made.portal.resume()


def database(made: Lab) -> Path:
    """Return where the portal keeps everything."""
    return made.folder / "portal" / "peerage.sqlite3"


def reaches(made: Lab, name: str) -> bool:
    """Return whether packets of somebody come through, in either family."""
    app = {"alice": WIKI, "bob": PAYROLL}[name]
    return any(
        made.machines[name].get(url(app, version), seconds=1).status == 200
        for version in (4, 6)
    )


def test_fault_33_restored_portal_brings_no_revoked_key_back_and_goes_on() -> None:
    with lab() as made:
        populate(made)
        assert reaches(made, "alice")
        assert reaches(made, "bob")
        copy = backup(made)
        dave = made.visitor("dave")
        alice = made.choice(dave, "users", "Alice Archer")
        answer = dave.call("POST", f"/api/v1/users/{alice}/revoke/", {"reason": "left"})
        path = f"/api/v1/revocations/{answer.json()['revocation']}/"
        wait_until(lambda: dave.get(path).json()["is_enforced"], what="enforcement")
        assert not reaches(made, "alice")

        restore(made, copy)
        wait_until(
            lambda: "it was restored from a backup" in dave.page("/manage/gateways/"),
            what="the portal seeing that the gateway is ahead",
            seconds=30,
        )
        # The portal believes again that alice may; the gateway does not.
        shown = dave.page(f"/manage/users/{alice}/")
        assert "alice-1" in shown
        assert not reaches(made, "alice")
        assert reaches(made, "bob")

        made.portal.manage("recover_gateways", "--wait", "--timeout", "90")
        log = made.processes.log("manage-recover_gateways").read_text()
        assert re.search(r"revoked again: alice-1 of Alice Archer", log), log
        assert "gone on in epoch 2" in log
        wait_until(lambda: reaches(made, "bob"), what="bob still reaching Payroll")
        assert not reaches(made, "alice")
        # What comes after the recovery arrives: the gateway follows again.
        bob = made.choice(dave, "users", "Bob Baker")
        answer = dave.call("POST", f"/api/v1/users/{bob}/revoke/", {"reason": "too"})
        path = f"/api/v1/revocations/{answer.json()['revocation']}/"
        wait_until(lambda: dave.get(path).json()["is_enforced"], what="enforcement")
        assert not reaches(made, "bob")
        codes = {event["code"] for event in dave.events(code="GW030")}
        assert codes

"""Locking a person while they download, and lifting the lock."""

from __future__ import annotations

import re

import pytest

from tests.lab.lab import Lab
from tests.lab.network import PAYROLL, WIKI
from tests.lab.processes import wait_until
from tests.lab.scenes import url

pytestmark = [pytest.mark.e2e, pytest.mark.netns]


def test_a_lock_cuts_what_runs_and_lifted_lets_it_back(doomed: Lab) -> None:
    downloads = {
        name: doomed.machines[name].download(
            f"http://{app.address4}/stream", str(app.address4)
        )
        for name, app in (("alice", WIKI), ("bob", PAYROLL))
    }
    dave = doomed.visitor("dave")
    number = doomed.choice(dave, "users", "Alice Archer")
    dave.submit(f"/manage/locks/add/user/{number}/", {"message": "lost in a taxi"})
    wait_until(lambda: not downloads["alice"].is_flowing(), what="the cut")
    assert downloads["bob"].is_flowing()
    assert doomed.machines["alice"].get(url(WIKI, 4), seconds=1).status == 0
    assert "lost in a taxi" in doomed.visitor("alice").page("/access/")
    lift = re.search(r"/manage/locks/\d+/lift/", dave.page("/manage/locks/"))
    assert lift is not None
    dave.submit(lift[0], {})
    alice = doomed.machines["alice"]
    wait_until(lambda: alice.get(url(WIKI, 4), seconds=1).status == 200, what="return")

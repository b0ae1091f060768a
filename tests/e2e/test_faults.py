"""The agent dies: the kernel closes by itself, and the agent opens again."""

from __future__ import annotations

import time

import pytest

from tests.lab.lab import Lab
from tests.lab.network import WIKI
from tests.lab.processes import wait_until
from tests.lab.scenes import url

pytestmark = [pytest.mark.e2e, pytest.mark.netns]

LEASE_SECONDS = 60


def test_kernel_closes_within_a_minute_of_the_agents_death_and_opens_again(
    doomed: Lab,
) -> None:
    alice = doomed.machines["alice"]
    download = alice.download(f"http://{WIKI.address4}/stream", str(WIKI.address4))
    doomed.gateway.crash()
    died = time.monotonic()
    assert download.is_flowing()
    wait_until(
        lambda: not doomed.gateway.is_open(),
        what="the kernel closing the gateway",
        seconds=LEASE_SECONDS,
    )
    assert time.monotonic() - died <= LEASE_SECONDS
    assert not download.is_flowing()
    assert alice.get(url(WIKI, 6), seconds=1).status == 0
    download.stop()
    doomed.gateway.start()
    assert alice.get(url(WIKI, 4)).status == 200

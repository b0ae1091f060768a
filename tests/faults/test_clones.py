"""A copied disk, with the real portal: two real agents, one key, real packets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.conftest import populate
from tests.lab.lab import Lab, lab
from tests.lab.network import WIKI
from tests.lab.processes import LabError, wait_until
from tests.lab.scenes import url

pytestmark = [pytest.mark.e2e, pytest.mark.netns]

LEASE_SECONDS = 12
CLONE_ADDRESS = "203.0.113.30"


@pytest.fixture(scope="module")
def hasty() -> Iterator[Lab]:
    """A lab of short leases, so that closing within the lease can be waited for."""
    environment = {
        "PEERAGE_SNAPSHOT_LIFETIME_SECONDS": str(LEASE_SECONDS),
        "PEERAGE_LONG_POLL_SECONDS": "2",
    }
    with lab(environment=environment) as made:
        populate(made)
        yield made


def happened(made: Lab, code: str) -> int:
    return len(made.visitor("carol").events(code=code))


def reaches(made: Lab) -> bool:
    return made.machines["alice"].get(url(WIKI, 4), seconds=1).status == 200


def test_the_key_of_the_requests_is_replaced_and_nobody_notices(hasty: Lab) -> None:
    """Positive control too: one holder, however often it starts, is no clone."""
    alerts = happened(hasty, "GW020")
    hasty.gateway.crash()
    path = hasty.gateway.state / "identity.json"
    document = json.loads(path.read_bytes())
    seed = document["signing_seed"]
    old = datetime.now(UTC) - timedelta(days=31)  # noqa: TID251 -- a test's edge
    document["signing_key_at"] = old.isoformat()
    del document["checksum"]
    path.write_text(json.dumps(document))
    hasty.gateway.start()
    wait_until(lambda: happened(hasty, "GW024") > 0, what="the new key in use")
    assert happened(hasty, "GW020") == alerts
    assert json.loads(path.read_bytes())["signing_seed"] != seed
    hasty.gateway.stop()
    hasty.gateway.start()
    wait_until(lambda: reaches(hasty), what="alice reaching the wiki")
    assert happened(hasty, "GW020") == alerts


def test_fault_20_two_gateways_with_one_key_are_both_closed_within_the_lease(
    hasty: Lab,
) -> None:
    """F04: the disk is copied while the gateway runs, and the copy is started."""
    dave, number = hasty.visitor("dave"), 1
    wait_until(lambda: reaches(hasty), what="alice reaching the wiki")
    clone = hasty.gateway.clone(CLONE_ADDRESS)
    clone.start()
    try:
        wait_until(lambda: happened(hasty, "GW020") > 0, what="the alert", seconds=30)
    except LabError as exc:
        exc.add_note(f"{hasty.gateway.said()[-3000:]}\n\n{clone.said()[-3000:]}")
        raise
    found = time.monotonic()
    wait_until(
        lambda: not (hasty.gateway.is_open() or clone.is_open()),
        what="both kernels closing",
        seconds=LEASE_SECONDS + 2,
    )
    assert time.monotonic() - found <= LEASE_SECONDS + 2
    assert not reaches(hasty)
    page = dave.page(f"/manage/gateways/{number}/")
    assert "two hold the key of this gateway" in page
    assert "in quarantine until an administrator releases it" in hasty.gateway.said()
    # Neither comes back by itself, and starting anew is no way around it.
    hasty.gateway.crash()
    assert happened(hasty, "GW020") == 1
    clone.crash()
    dave.submit(f"/manage/gateways/{number}/release/", {"reason": "the copy is gone"})
    hasty.gateway.start()
    wait_until(lambda: reaches(hasty), what="alice reaching the wiki again")
    assert happened(hasty, "GW021") == 1
    assert happened(hasty, "GW020") == 1

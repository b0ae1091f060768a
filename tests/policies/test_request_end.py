"""What was granted on request ends in the kernel, with no agent and no portal running.

From the request to the packet: the services approve, the compiler makes the ruleset, a
real kernel in a namespace of its own holds it, and then nobody does anything any more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from audit.actor import SYSTEM
from peers.models import Device, Gateway
from policies import services
from policies.compiler.evaluate import Packet
from policies.compiler.nftables import live_text, ruleset, transaction
from policies.models import Application, Grant
from portal.accounts.models import User
from tests.peers.makers import Machine
from tests.policies.compiler.kernel import Kernel
from tests.policies.compiler.wire import sent, wired_kernel
from tests.policies.makers import content, make_application, publish
from tests.policies.requests import HOUR, approve, ask, open_for_requests

pytestmark = [pytest.mark.netns, pytest.mark.django_db]
SHORTEST = timedelta(minutes=5)
LEFT = timedelta(seconds=5)


@pytest.fixture
def clock() -> datetime:
    """Return the time: the kernel has no other."""
    return datetime.now(UTC)  # noqa: TID251 -- a test's edge


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """Lend a gateway's kernel between two wires."""
    with wired_kernel() as lent:
        yield lent


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's device."""
    return Machine().enroll(alice)


@pytest.fixture
def ending(
    wiki: Application, laptop: Device, alice: User, dave: User, clock: datetime
) -> Grant:
    """What was approved almost five minutes ago, for five minutes."""
    approved = clock - SHORTEST + LEFT
    asked = ask(open_for_requests(wiki), alice, duration=SHORTEST, now=approved - HOUR)
    grant = approve(asked, dave, now=approved).grant
    assert grant is not None
    return grant


@pytest.fixture
def lasting(alice: User, gw1: Gateway, pools: None, clock: datetime) -> Grant:
    """Something else of alice's, without an end: her device stays a live one."""
    return services.create_grant(
        application=make_application("docs", "10.2.0.0/24", gateways=[gw1]),
        user=alice,
        actor=SYSTEM,
        now=clock - HOUR,
    )


def load(kernel: Kernel, gateway: Gateway, now: datetime) -> None:
    """Have the kernel hold what the portal publishes, as an agent would."""
    publish(now=now)
    want = ruleset(content(gateway), interface="wg0")
    script = transaction(None, want, now=now) + live_text("wg0", 600)
    kernel.load("flush ruleset\n" + script)


def packet(device: Device, destination: str) -> Packet:
    source = device.leases.get(address__contains=".").address
    return Packet(
        source=ip_address(source),
        destination=ip_address(destination),
        protocol=6,
        port=443,
    )


def elements(kernel: Kernel, grant: Grant) -> list[dict[str, Any]]:
    """Return what says that the grant is open: the interface, for it has an end."""
    listed: Any = kernel.listing()
    sets = [item["set"] for item in listed["nftables"] if "set" in item]
    (found,) = (each for each in sets if each["name"] == f"open_gt_{grant.pk}")
    return [element["elem"] for element in found.get("elem", [])]


def wait_until(moment: datetime) -> None:
    left = moment - datetime.now(UTC)  # noqa: TID251 -- a test's edge
    time.sleep(max(0.0, left.total_seconds()))


def test_the_element_of_a_requested_grant_has_its_timeout(
    kernel: Kernel, gw1: Gateway, laptop: Device, ending: Grant, clock: datetime
) -> None:
    load(kernel, gw1, clock)
    (element,) = elements(kernel, ending)
    assert element["val"] == "wg0"
    assert 0 < element["timeout"] <= LEFT.total_seconds()
    assert 0 <= element["expires"] <= element["timeout"]


def test_the_kernel_alone_ends_what_was_granted_on_request(
    kernel: Kernel,
    gw1: Gateway,
    laptop: Device,
    ending: Grant,
    lasting: Grant,
    clock: datetime,
) -> None:
    load(kernel, gw1, clock)
    asked, other = packet(laptop, "10.1.0.7"), packet(laptop, "10.2.0.7")
    assert sent(kernel, [asked, other]).passed == {0, 1}
    assert ending.expires_at is not None
    # Nobody publishes, applies or cuts anything from here on.
    wait_until(ending.expires_at + timedelta(seconds=1))
    assert sent(kernel, [asked, other]).passed == {1}
    assert elements(kernel, ending) == []


def test_with_the_last_grant_the_device_itself_is_gone(
    kernel: Kernel, gw1: Gateway, laptop: Device, ending: Grant, clock: datetime
) -> None:
    load(kernel, gw1, clock)
    wait_until(ending.expires_at or clock)
    wait_until(clock + LEFT + timedelta(seconds=1))
    listed = kernel.run("nft", "list", "map", "inet", "peerage_wg0", "device4")
    assert "elements" not in listed

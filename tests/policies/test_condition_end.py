"""Hours and a sign-in's age end in the kernel, with no agent and no portal running.

The portal compiles five seconds before an end; a real kernel in a namespace of its own
holds the result, and then nobody does anything any more. Beside each packet that ends
goes one that must go on, so that silence proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from audit.actor import SYSTEM
from peers.models import Device, Gateway
from peers.services import approve_device
from policies import services
from policies.conditions import ConditionsInput, WindowInput
from policies.models import Application
from portal.accounts.models import User
from portal.accounts.services import keep_authentication
from tests.peers.makers import Machine
from tests.policies.compiler.kernel import Kernel
from tests.policies.compiler.wire import sent, wired_kernel
from tests.policies.makers import NOW, make_application
from tests.policies.test_request_end import load, packet

pytestmark = [pytest.mark.netns, pytest.mark.django_db]
LEFT = timedelta(seconds=5)
START = NOW - LEFT
"""NOW is a Monday, 13:00 in Berlin."""

MORNING = ConditionsInput(
    time_zone="Europe/Berlin",
    windows=(WindowInput(days=("mon",), begin="08:00", end="13:00"),),
)
YOUNG = ConditionsInput(max_auth_age_seconds=3600, needs_approved_device=True)
STRONG = ConditionsInput(amr=("mfa",), needs_approved_device=True)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """Lend a gateway's kernel between two wires."""
    with wired_kernel() as lent:
        yield lent


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's device, approved; she used two factors almost an hour ago."""
    device = Machine().enroll(alice)
    approve_device(device=device, actor=SYSTEM, now=START)
    proven = int((NOW - timedelta(hours=1)).timestamp())
    claims = {"auth_time": proven, "amr": ["mfa", "pwd"]}
    keep_authentication(user=alice, claims=claims, now=START)
    return device


def grant(application: Application, alice: User, conditions: ConditionsInput) -> None:
    services.create_grant(
        application=application,
        user=alice,
        conditions=conditions,
        actor=SYSTEM,
        now=START,
    )


@pytest.mark.parametrize("ending", [MORNING, YOUNG], ids=["hours", "age of the proof"])
def test_the_kernel_alone_ends_it_and_what_has_no_end_goes_on(
    kernel: Kernel,
    gw1: Gateway,
    wiki: Application,
    laptop: Device,
    alice: User,
    ending: ConditionsInput,
) -> None:
    docs = make_application("docs", "10.2.0.0/24", gateways=[gw1])
    grant(wiki, alice, ending)
    grant(docs, alice, STRONG)
    load(kernel, gw1, START)
    began = time.monotonic()
    ends, lasts = packet(laptop, "10.1.0.7"), packet(laptop, "10.2.0.7")
    assert sent(kernel, [ends, lasts]).passed == {0, 1}
    # Nobody publishes, applies or cuts anything from here on.
    time.sleep(max(0.0, LEFT.total_seconds() + 1 - (time.monotonic() - began)))
    assert sent(kernel, [ends, lasts]).passed == {1}


@pytest.mark.parametrize("ending", [MORNING, YOUNG], ids=["hours", "age of the proof"])
def test_with_the_last_grant_it_can_use_the_device_itself_is_gone(
    kernel: Kernel,
    gw1: Gateway,
    wiki: Application,
    laptop: Device,
    alice: User,
    ending: ConditionsInput,
) -> None:
    grant(wiki, alice, ending)
    load(kernel, gw1, START)
    address = laptop.leases.get(address__contains=".").address
    listing = ("nft", "list", "map", "inet", "peerage_wg0", "device4")
    assert address in kernel.run(*listing)
    time.sleep(LEFT.total_seconds() + 1)
    assert address not in kernel.run(*listing)

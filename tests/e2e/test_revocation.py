"""Revoking a person while they download, and what is left afterwards: nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.lab.lab import Lab
from tests.lab.network import PAYROLL, WIKI
from tests.lab.processes import LabError, wait_until
from tests.lab.scenes import url
from tests.lab.visitor import Visitor

pytestmark = [pytest.mark.e2e, pytest.mark.netns]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was seen while dave revoked alice."""

    last_packet_ms: float
    alice_still_flows: bool
    bob_still_flows: bool
    bob_pause_ms: float
    document: dict[str, Any]


@pytest.fixture(scope="module")
def outcome(doomed: Lab) -> Outcome:
    """Dave revokes alice through the API while alice and bob download."""
    downloads = {
        name: doomed.machines[name].download(
            f"http://{app.address4}/stream", str(app.address4)
        )
        for name, app in (("alice", WIKI), ("bob", PAYROLL))
    }
    dave = doomed.visitor("dave")
    number = doomed.choice(dave, "users", "Alice Archer")
    clicked = time.time_ns()
    answer = dave.call(
        "POST", f"/api/v1/users/{number}/revoke/", {"reason": "left the company"}
    )
    assert answer.status_code == 202, answer.text
    time.sleep(1.5)
    path = f"/api/v1/revocations/{answer.json()['revocation']}/"
    wait_until(lambda: dave.get(path).json()["is_enforced"], what="enforcement")
    return Outcome(
        last_packet_ms=(downloads["alice"].seen().last_ns - clicked) / 1e6,
        alice_still_flows=downloads["alice"].is_flowing(),
        bob_still_flows=downloads["bob"].is_flowing(),
        bob_pause_ms=downloads["bob"].seen().pause_ns / 1e6,
        document=dave.get(path).json(),
    )


def test_revocation_cuts_a_running_download_within_a_second(outcome: Outcome) -> None:
    assert not outcome.alice_still_flows
    assert outcome.last_packet_ms < 1000


def test_revocation_leaves_others_alone(outcome: Outcome) -> None:
    assert outcome.bob_still_flows
    assert outcome.bob_pause_ms < 1000


def test_every_gateway_reports_when_and_how_many(outcome: Outcome) -> None:
    (gateway,) = outcome.document["gateways"]
    assert gateway["flows_cut"] >= 1
    assert 0 < gateway["enforced_after_ms"] < 1000


@pytest.mark.usefixtures("outcome")
def test_revoked_device_reaches_nothing(doomed: Lab) -> None:
    for version in (4, 6):
        assert doomed.machines["alice"].get(url(WIKI, version), seconds=1).status == 0


@pytest.mark.usefixtures("outcome")
def test_session_of_the_revoked_person_has_ended(doomed: Lab) -> None:
    assert doomed.visitors["alice"].get("/devices/").status_code == 302


@pytest.mark.usefixtures("outcome")
def test_revoked_person_cannot_sign_in_again(doomed: Lab) -> None:
    window = Visitor(doomed.portal.url, "alice")
    with pytest.raises(LabError):
        window.sign_in()
    window.close()


@pytest.mark.usefixtures("outcome")
def test_cut_connection_is_on_record_as_revoked(doomed: Lab) -> None:
    carol = doomed.visitor("carol")
    address = doomed.devices["alice"].address(4)
    wait_until(
        lambda: any(
            row["end_reason"] == "revoked" for row in carol.connections(address=address)
        ),
        what="the cut connection reaching the log",
    )


@pytest.mark.usefixtures("outcome")
def test_late_packets_around_the_cut_are_never_nobodys(doomed: Lab) -> None:
    carol = doomed.visitor("carol")
    address = doomed.devices["alice"].address(4)
    wait_until(
        lambda: any(
            row["end_reason"] == "inbound_no_device"
            for row in carol.connections(verdict="denied", address=address)
        ),
        what="a late answer of the application reaching the log",
    )
    rows = carol.connections(verdict="denied", address=address)
    assert {row["person_label"] for row in rows} == {"Alice Archer"}
    assert carol.events(code="FL004") == []


@pytest.mark.usefixtures("outcome")
def test_peer_of_the_revoked_device_is_gone(doomed: Lab) -> None:
    shown = doomed.network.run("gateway", "wg", "show", "wg0", "allowed-ips")
    assert doomed.devices["alice"].address(4) not in shown.stdout
    assert doomed.devices["bob"].address(4) in shown.stdout


@pytest.mark.usefixtures("outcome")
def test_employees_cannot_revoke_anybody(doomed: Lab) -> None:
    bob = doomed.visitor("bob")
    dave = doomed.choice(doomed.visitor("dave"), "users", "Dave Dyer")
    answer: httpx.Response = bob.call(
        "POST", f"/api/v1/users/{dave}/revoke/", {"reason": "revenge"}
    )
    assert answer.status_code in {403, 404}

"""Rules about real packets. Each scenario runs in its own network and mount space.

Where that is refused these tests fail; they do not skip.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.netns

SECONDS = 90


@functools.cache
def happened(scenario: str) -> dict[str, Any]:
    """Run a scenario once and return the facts it prints."""
    words = ["unshare", "--net", "--mount", sys.executable, "-m"]
    done = subprocess.run(
        [*words, "tests.gateway.netns.scenarios", scenario],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


@pytest.mark.parametrize("probe", ["granted_v4", "granted_v6", "bob_granted_v4"])
def test_what_is_granted_is_reached(probe: str) -> None:
    assert happened("reach")[probe] == 100_000


def test_a_granted_protocol_without_ports_is_reached() -> None:
    assert happened("reach")["granted_ping"] is True


@pytest.mark.parametrize("probe", ["denied_v4", "denied_v6"])
def test_what_is_not_granted_gives_no_answer(probe: str) -> None:
    assert happened("reach")[probe] is None


@pytest.mark.parametrize("probe", ["denied_ping", "lateral", "input"])
def test_other_hosts_devices_and_the_gateway_itself_do_not_answer(probe: str) -> None:
    assert happened("reach")[probe] is False


def test_a_broken_ruleset_would_be_noticed_by_these_probes() -> None:
    facts = happened("planted")
    assert facts["before"] is None
    assert facts["after"] == 6
    assert facts["lateral"] is True


def test_the_digest_is_of_what_the_kernel_holds() -> None:
    assert happened("reach")["observed_digest"] == happened("reach")["expected_digest"]
    assert happened("planted")["digest"] != happened("planted")["acknowledged"]


def test_every_flow_is_opened_under_its_grant_and_device() -> None:
    opens = {
        (o["device"], o["protocol"], o["destination"], o["grant"], o["application"])
        for o in happened("reach")["opens"]
    }
    assert opens == {
        (7, 6, "10.50.0.10", 9, 3),
        (7, 6, "fd50::10", 9, 3),
        (8, 6, "10.50.0.10", 9, 3),
        (7, 1, "10.50.0.11", 10, 5),
    }


def test_bytes_and_packets_are_exact() -> None:
    closes = [c for c in happened("reach")["closes"] if c["protocol"] == 6]
    assert len(closes) == 3
    for close in closes:
        # Addresses and ports, TCP with time stamps; eight bytes more on a SYN, of
        # which a busy machine may send a second.
        header = 72 if ":" in close["source"] else 52
        for way, payload in (("down", 100_000), ("up", len("100000\n"))):
            excess = close[f"bytes_{way}"] - payload
            assert excess - header * close[f"packets_{way}"] in {8, 16}


def test_a_close_has_the_name_of_its_open() -> None:
    opens = {(o["flow"], o["source_port"]) for o in happened("reach")["opens"]}
    for close in happened("reach")["closes"]:
        assert (close["flow"], close["source_port"]) in opens


def test_every_denial_is_told_with_device_and_reason() -> None:
    denied = [
        (d["device"], d["destination"], d["reason"])
        for d in happened("reach")["denies"]
    ]
    assert sorted(denied) == [
        (7, "10.50.0.1", "input"),
        (7, "10.50.0.11", "no_grant"),
        (7, "100.64.0.8", "lateral"),
        (7, "fd50::11", "no_grant"),
        (8, "10.50.0.11", "no_grant"),
    ]


def test_nothing_was_lost_on_the_way() -> None:
    assert happened("reach")["gaps"] == []


def test_revocation_cuts_the_established_flow_within_half_a_second() -> None:
    """Attack E06, as are the narrowing and the end of a session further down."""
    facts = happened("revoke")
    assert facts["control"] is True
    assert facts["alice_runs"] is False
    assert facts["cut_after_ms"] < 500
    assert facts["alice_again"] is None


def test_revocation_of_one_person_does_not_touch_another() -> None:
    facts = happened("revoke")
    assert facts["bob_runs"] is True
    assert facts["bob_again"] == 5
    assert (facts["peers"], facts["marks"]) == (1, [8])


def test_a_revocation_reports_how_many_flows_it_cut_and_how_long_it_took() -> None:
    acknowledgement = happened("revoke")["acknowledgement"]
    assert acknowledgement["flows_cut"] == 1
    assert acknowledgement["error"] == ""
    assert 0 < acknowledgement["timings"]["total_ms"] < 500


def test_a_cut_flow_closes_as_revoked_with_its_counters() -> None:
    (close,) = happened("revoke")["closes"]
    assert (close["reason"], close["device"]) == ("revoked", 7)
    assert close["bytes_down"] > 0


def test_narrowing_cuts_only_what_is_no_longer_allowed() -> None:
    facts = happened("narrow")
    assert facts["pinged"] is True
    assert (facts["alice_runs"], facts["flows_cut"]) == (False, 1)
    assert facts["alice_pings"] is True
    assert facts["bob_runs"] is True
    assert facts["peers"] == 2


def test_the_kernel_closes_by_itself_when_the_lease_element_ends() -> None:
    facts = happened("expire")
    assert facts["control"] is True
    assert 1.0 < facts["closed_after"] < 3.0
    assert facts["refused"] is None
    assert facts["opened_again"] == 7


def test_a_restarted_agent_interrupts_nobody_and_goes_on_with_the_evidence() -> None:
    facts = happened("restart")
    assert facts["running"] is True
    assert (facts["peers"], facts["generation"], facts["starts"]) == (2, 1, 2)
    assert facts["gaps"] == []
    assert [o["flow"] for o in facts["opens"]] == [c["flow"] for c in facts["closes"]]


def test_a_flow_that_began_without_a_table_does_not_live_on() -> None:
    facts = happened("flushed")
    assert facts["before"] is None
    assert facts["smuggled_got"] > 40
    assert facts["smuggled_runs"] is False


def test_a_start_without_a_portal_is_closed() -> None:
    facts = happened("closed")
    assert facts["forwarding"] == "1"
    assert facts["refused"] is None


def test_the_end_of_a_session_cuts_its_flows_without_the_portal() -> None:
    facts = happened("session_end")
    assert facts["control"] is True
    assert facts["bob_runs"] is False
    assert facts["alice_runs"] is True


def test_the_program_itself_enrols_runs_reports_and_leaves_the_data_plane() -> None:
    facts = happened("program")
    assert facts["enrolled"] == "gw_1 joined peerage"
    assert facts["reached"] == 1000
    assert facts["revoked"] is None
    assert facts["second_agent"] == 1
    assert "another agent runs" in facts["second_agent_says"]
    assert "generation  1.2" in facts["status"]
    assert facts["stopped_with"] == 0
    assert facts["bob_after_stop"] == 11
    assert {"close", "open", "start"} <= set(facts["kinds"])
    assert not {"drift", "gap"} & set(facts["kinds"])


def test_a_name_that_nobody_resolved_yet_opens_nothing() -> None:
    assert happened("by_name")["before"] is None


def test_a_name_opens_the_address_it_stands_for_and_none_beside() -> None:
    facts = happened("by_name")
    assert facts["granted"] == 9
    assert facts["beside"] is None


def test_a_name_that_moves_takes_access_and_flows_along_without_a_generation() -> None:
    facts = happened("by_name")
    assert (facts["moved"], facts["left"]) == (9, None)
    assert facts["generations"] == ["1"]


def test_what_passes_by_name_is_logged_under_its_grant() -> None:
    opens = {(o["grant"], o["application"]) for o in happened("by_name")["opens"]}
    assert (9, 3) in opens
    assert opens <= {(9, 3), (10, 5)}


def test_answers_leave_the_digest_as_it_is() -> None:
    facts = happened("by_name")
    assert facts["digest"] == facts["digest_with_names"]


def test_dns_cannot_open_what_lies_outside_the_bound() -> None:
    facts = happened("rebound")
    assert facts["inside"] == 9
    assert (facts["outside"], facts["gateway"]) == (None, None)
    assert facts["held"] == ["10.50.0.10"]
    assert facts["families"] == ["A"]


def test_a_shared_address_opens_to_nobody_another_name_s_port() -> None:
    facts = happened("shared_address")
    assert (facts["alice_db"], facts["alice_www"], facts["bob_db"]) == (9, 9, 9)
    assert facts["bob_www"] is None
    assert facts["alice_db_still"] == 9


def test_without_a_resolver_the_last_answer_holds_until_its_end_and_no_longer() -> None:
    facts = happened("resolver_down")
    assert facts["still"]
    assert facts["restarted"]
    assert facts["cut_after"] < 12
    assert (facts["refused"], facts["held"]) == (None, [])
    assert facts["static"]
    assert facts["back"] == 9


def test_without_an_agent_the_kernel_ends_what_a_name_stood_for() -> None:
    facts = happened("nobody_resolves")
    assert facts["control"] == 9
    assert facts["ended_after"] < 6
    assert facts["refused"] is None
    assert facts["static"]

"""What `doctor` makes of what it sees. Pure: nothing here needs root or a gateway."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.doctor.facts import Chain, Observed, Others, State, StateFile
from gateway.doctor.finding import Level
from gateway.doctor.findings import findings
from gateway.report import Table
from tests.gateway.doctor.world import (
    DIRECTORY,
    LAST,
    healthy,
    kernel,
    link,
    portal,
    told,
)
from tests.gateway.world import NOW

KEYS = DIRECTORY / "identity.json"
OK, WARNING, FAILURE = Level.OK, Level.WARNING, Level.FAILURE


def wrong(seen: Observed) -> list[tuple[str, Level]]:
    """Return what is not as it should be."""
    return [(f.check, f.level) for f in findings(seen) if f.level is not OK]


def test_a_gateway_that_is_well_has_no_finding() -> None:
    assert wrong(healthy()) == []
    assert len(findings(healthy())) > 15


SPOILED: dict[str, tuple[Observed, list[tuple[str, Level]]]] = {
    "agent too old": (
        healthy(report=told(portal_agent={"version": "9.0", "least": "0.10.0"})),
        [("version", FAILURE)],
    ),
    "agent behind": (
        healthy(report=told(portal_agent={"version": "0.10.0", "least": "0.1"})),
        [("version", WARNING)],
    ),
    "agent not restarted": (
        healthy(report=told(version="0.0.9")),
        [("version", WARNING), ("version", WARNING)],
    ),
    "portal says no version": (
        healthy(report=told(portal_agent=None)),
        [("version", WARNING)],
    ),
    "no capability": (healthy(capabilities=0), [("capabilities", FAILURE)]),
    "not enrolled": (
        healthy(state=State(directory=DIRECTORY, problem="no identity"), portal=None),
        [("state", FAILURE)],
    ),
    "disk full": (
        healthy(state=State(directory=DIRECTORY, free_bytes=1 << 20, free_inodes=9)),
        [("disk", FAILURE)],
    ),
    "disk filling": (
        healthy(
            state=State(directory=DIRECTORY, free_bytes=100 << 20, free_inodes=9999)
        ),
        [("disk", WARNING)],
    ),
    "no files left": (
        healthy(state=State(directory=DIRECTORY, free_bytes=1 << 40, free_inodes=0)),
        [("disk", FAILURE)],
    ),
    "no libnftables": (
        healthy(kernel=kernel(nftables="libnftables.so.1 is missing")),
        [("nftables", FAILURE)],
    ),
    "no inet tables": (
        healthy(kernel=kernel(nftables="Operation not supported")),
        [("nftables", FAILURE)],
    ),
    "no table": (healthy(kernel=kernel(has_table=False)), [("table", WARNING)]),
    "no conntrack": (
        healthy(kernel=kernel(has_conntrack=False, connections=None)),
        [("conntrack", FAILURE)],
    ),
    "no nflog": (healthy(kernel=kernel(has_nflog=False)), [("nflog", FAILURE)]),
    "no wireguard": (
        healthy(kernel=kernel(has_wireguard=False)),
        [("wireguard", FAILURE)],
    ),
    "wireguard-go": (
        healthy(kernel=kernel(has_wireguard=False, has_wireguard_go=True)),
        [],
    ),
    "no forwarding": (
        healthy(
            kernel=kernel(
                switches={
                    "net/ipv4/ip_forward": "0",
                    "net/ipv6/conf/all/forwarding": "0",
                }
            )
        ),
        [("switches", FAILURE), ("switches", FAILURE)],
    ),
    "flows picked up": (
        healthy(kernel=kernel(switches={"net/netfilter/nf_conntrack_tcp_loose": "1"})),
        [("switches", FAILURE)],
    ),
    "strict rp_filter": (
        healthy(kernel=kernel(switches={"net/ipv4/conf/wg0/rp_filter": "1"})),
        [("rp_filter", WARNING)],
    ),
    "strict everywhere but loose here": (
        healthy(
            kernel=kernel(
                switches={
                    "net/ipv4/conf/all/rp_filter": "1",
                    "net/ipv4/conf/wg0/rp_filter": "2",
                    "net/ipv4/conf/eth0/rp_filter": "2",
                }
            )
        ),
        [],
    ),
    "redirects": (
        healthy(kernel=kernel(switches={"net/ipv6/conf/all/accept_redirects": "1"})),
        [("redirects", WARNING)],
    ),
    "connections at 80 %": (
        healthy(kernel=kernel(connections=Table(entries=209716, most=262144))),
        [("connections", WARNING)],
    ),
    "connections full": (
        healthy(kernel=kernel(connections=Table(entries=262144, most=262144))),
        [("connections", FAILURE)],
    ),
    "small connection table": (
        healthy(kernel=kernel(connections=Table(entries=1, most=1000))),
        [("connections", WARNING)],
    ),
    "another firewall drops": (
        healthy(
            others=Others(
                chains=(
                    Chain(table="inet fw", name="f", hook="forward", drops=True),
                    Chain(table="inet nat", name="o", hook="forward", drops=False),
                )
            )
        ),
        [("firewall", WARNING)],
    ),
    "iptables-legacy": (
        healthy(others=Others(legacy_tables=("filter",))),
        [("firewall", WARNING)],
    ),
    "firewalld": (
        healthy(others=Others(services=("firewalld",))),
        [("firewall", WARNING)],
    ),
    "clock off by the portal's signature": (
        healthy(report=told(clock_offset_seconds=-31.0)),
        [("clock", FAILURE)],
    ),
    "clock off by the portal's Date": (
        healthy(
            agent="not running",
            report=None,
            portal=portal(date=NOW - timedelta(hours=1)),
        ),
        [("clock", FAILURE), ("agent", FAILURE)],
    ),
    "no NTP": (healthy(is_synchronised=False), [("ntp", WARNING)]),
    "NTP unknown": (healthy(is_synchronised=None), [("ntp", WARNING)]),
    "no name": (
        healthy(portal=portal(stage="name", problem="not known", date=None)),
        [("portal", FAILURE)],
    ),
    "old TLS": (
        healthy(portal=portal(stage="tls", problem="handshake failure")),
        [("portal", FAILURE)],
    ),
    "portal ill": (healthy(portal=portal(status=503)), [("portal", FAILURE)]),
    "plain HTTP": (
        healthy(portal=portal(tls="", certificate_ends=None)),
        [("tls", WARNING)],
    ),
    "certificate ends": (
        healthy(portal=portal(certificate_ends=NOW + timedelta(days=13))),
        [("tls", WARNING)],
    ),
    "MTU too large": (healthy(interface=link(mtu=1500)), [("mtu", FAILURE)]),
    "MTU too large for IPv6": (healthy(interface=link(mtu=1440)), [("mtu", WARNING)]),
    "a narrow path": (healthy(interface=link(path_mtu=1400)), [("mtu", FAILURE)]),
    "nobody knows the path": (
        healthy(interface=link(uplink="", uplink_mtu=0, path_mtu=0)),
        [],
    ),
    "port taken": (
        healthy(interface=link(wanted_port=51820, port_problem="in use")),
        [("port", FAILURE)],
    ),
    "no interface": (
        healthy(interface=link(exists=False, listen_port=0)),
        [("port", WARNING)],
    ),
    "no resolver": (healthy(nameservers=()), [("resolver", WARNING)]),
    "a name without addresses": (
        healthy(report=told(names={"db.example.com": []})),
        [("names", WARNING)],
    ),
    "agent down": (healthy(agent="not running", report=None), [("agent", FAILURE)]),
    "agent hangs": (healthy(agent="silent"), [("agent", FAILURE)]),
    "gate closing": (
        healthy(report=told(gate={"is_open": False, "reason": "no lease"})),
        [("gate", FAILURE)],
    ),
    "portal refuses": (
        healthy(
            report=told(last={f"{n}_error": "" for n in LAST} | {"poll_error": "401"})
        ),
        [("poll", WARNING)],
    ),
}


@pytest.mark.parametrize(("seen", "expected"), SPOILED.values(), ids=SPOILED.keys())
def test_what_is_wrong_is_found_and_nothing_else(
    seen: Observed, expected: list[tuple[str, Level]]
) -> None:
    found = [f for f in findings(seen) if f.level is not OK]
    assert [(f.check, f.level) for f in found] == expected


@pytest.mark.parametrize("seen", [s for s, _ in SPOILED.values()], ids=SPOILED.keys())
def test_every_finding_has_a_fix_of_one_line(seen: Observed) -> None:
    for finding in findings(seen):
        assert bool(finding.fix) is (finding.level is not OK)
        assert "\n" not in finding.says + finding.fix


@pytest.mark.parametrize(
    ("file", "fix"),
    [
        (StateFile(path=DIRECTORY, mode=0o750, owner=0), "chmod go= "),
        (StateFile(path=KEYS, mode=0o640, owner=0), "chmod go= "),
        (StateFile(path=KEYS, mode=0o600, owner=5), "chown 0 "),
    ],
    ids=["directory", "keys", "foreign"],
)
def test_a_state_file_that_others_may_use_or_own_is_named(
    file: StateFile, fix: str
) -> None:
    state = replace(healthy().state, owner=0, files=(file,))
    [finding] = [f for f in findings(healthy(state=state)) if f.level is FAILURE]
    assert finding.fix == f"{fix}{file.path}"

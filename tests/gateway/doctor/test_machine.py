"""`doctor` on a real gateway in namespaces: well, then with a lot broken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from gateway.doctor.gather import nameservers
from tests.faults.field import Field, field
from tests.faults.isolated import isolated
from tests.gateway.netns.lab import command, until

TRIAL_HOST = {"ntp", "tls", "clock", "resolver", "firewall", "disk", "redirects"}
"""What depends on the machine that runs the tests, or on its being a trial."""
NETWORK = Path("/proc/sys/net")


def examined(made: Field) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit status and, by check, what is wrong."""
    words = (sys.executable, "-m", "gateway", "doctor", "--json")
    done = subprocess.run(
        [*words, "--state", str(made.state), "--runtime", str(made.runtime)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    found = json.loads(done.stdout)["findings"]
    return done.returncode, {f["check"]: f for f in found if f["level"] != "ok"}


def says_open(path: Path) -> bool:
    """Return whether the agent has published that the gate is open."""
    return path.exists() and bool(json.loads(path.read_text())["gate"]["is_open"])


@isolated(seconds=90)
def test_doctor_finds_nothing_on_a_gateway_that_works_and_everything_broken() -> None:
    with field() as made:
        made.probe("alice").opens()
        until(lambda: says_open(made.runtime / "status.json"), "the report")
        _, well = examined(made)
        odd = {name: f["says"] for name, f in well.items() if name not in TRIAL_HOST}
        assert odd == {}, odd

        made.kill()
        (NETWORK / "ipv4/ip_forward").write_text("0")
        (NETWORK / "netfilter/nf_conntrack_tcp_loose").write_text("1")
        (NETWORK / "ipv4/conf/wg0/rp_filter").write_text("1")
        command("ip", "link", "set", "wg0", "mtu", "1500")
        made.nft(
            "delete table inet peerage_wg0\n"
            "add table inet other\n"
            "add chain inet other f { type filter hook forward priority 0;"
            " policy drop; }\n"
        )
        (made.state / "identity.json").chmod(0o644)
        made.deafen()

        status, ill = examined(made)
        assert status == 2
        broken = {"state", "table", "switches", "rp_filter", "firewall"}
        broken |= {"portal", "mtu", "agent"}
        difference = (set(ill) ^ broken) - (TRIAL_HOST - {"firewall"})
        assert difference == set(), difference
        assert "inet other" in ill["firewall"]["says"]
        assert ill["mtu"]["fix"] == "ip link set wg0 mtu 1420"
        assert ill["portal"]["says"].count("(tcp)") == 1
        # Nothing was changed, and no trial is left behind.
        assert (NETWORK / "ipv4/ip_forward").read_text().strip() == "0"
        tables = subprocess.run(
            ["nft", "list", "tables"], capture_output=True, check=True
        )
        assert b"doctor" not in tables.stdout


def test_name_servers_are_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    assert nameservers(path) == ()
    path.write_text(
        "# x\nnameserver 10.0.0.53\nsearch a\nnameserver fd00::53\nnameserver\n"
    )
    assert nameservers(path) == ("10.0.0.53", "fd00::53")

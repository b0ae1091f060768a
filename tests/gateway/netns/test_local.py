"""F12, F13: who is on the gateway's machine finds nothing to drive the agent with."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

from tests.faults.field import field
from tests.faults.isolated import isolated
from tests.gateway.netns.lab import until

WIREGUARD_SOCKET = Path("/var/run/wireguard/wg0.sock")


def listening(*words: str) -> list[str]:
    """Return what listens in this network namespace, one line each (ss(8))."""
    done = subprocess.run(
        ["ss", "--no-header", "--listening", "--numeric", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def is_others(path: Path) -> bool:
    """Return whether anybody but the owner may do anything with a file."""
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


@isolated(seconds=60)
def test_f12_f13_nothing_listens_but_wireguard_and_the_state_is_the_owners() -> None:
    with field() as made:
        made.publish()
        made.applied(2)
        until(lambda: made.records("start"), "evidence that was uploaded")
        assert listening("--tcp") == []
        udp = {line.split()[3].rsplit(":", 1)[1] for line in listening("--udp")}
        # The control: what does listen is seen.
        assert udp == {"51820"}
        names = [line.split()[4] for line in listening("--unix")]
        assert [name for name in names if "wg0.sock" not in name] == []
        if WIREGUARD_SOCKET.exists():
            assert not is_others(WIREGUARD_SOCKET)
        published = {"status.json", "metrics.prom"}
        found = [p for p in made.state.rglob("*") if p.name not in published]
        assert len(found) > 6
        open_to_others = [p.name for p in (made.state, *found) if is_others(p)]
    assert open_to_others == []

"""`peerage enroll` against a running portal, and what wg-quick makes of the file."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.lab import machines
from tests.lab.lab import Lab
from tests.lab.processes import PYTHON, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.netns]

CODE = re.compile(r"\b([A-Z0-9]{4}-[A-Z0-9]{4})\b")


@pytest.fixture
def config(world: Lab, tmp_path: Path) -> Path:
    """A configuration that the command line enrolled for bob, who agreed."""
    path, log = tmp_path / "peerage.conf", tmp_path / "log"
    command = [PYTHON, "-m", "client", "enroll", "--portal", world.portal.url]
    name = f"cli-{tmp_path.name[-8:]}"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--name", name, "--output", str(path)],
            stdout=output,
            stderr=output,
        )
    wait_until(
        lambda: CODE.search(log.read_text()) is not None, what="the code", seconds=15
    )
    found = CODE.search(log.read_text())
    assert found
    world.visitor("bob").agree(found[1])
    assert process.wait(20) == 0, log.read_text()
    return path


def test_command_line_writes_a_file_for_its_owner_alone(config: Path) -> None:
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_wg_quick_accepts_the_file_of_the_command_line(config: Path) -> None:
    text = config.read_text()
    left = machines.stripped(text)
    assert "PrivateKey = " in left
    assert "AllowedIPs = 10.50.2.10/32" in left
    assert "Address" not in left


def test_device_of_the_command_line_appears_under_its_owner(
    world: Lab, config: Path
) -> None:
    address = machines.addressing(config.read_text())[0][0]
    listed = world.visitor("bob").call("GET", "/api/v1/devices/").json()["devices"]
    known = [address for device in listed for address in device["addresses"]]
    assert address.partition("/")[0] in {text.partition("/")[0] for text in known}

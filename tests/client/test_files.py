"""What the command line writes and what it lets a portal write. No database."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from client import files
from client.errors import ConfigError

CONFIG = (
    "[Interface]\nAddress = 100.64.0.2/32, fd5e:e4a6:e000::2/128\n\n"
    f"[Peer]\nPublicKey = {'Aa+/' * 10}AAA=\nAllowedIPs = 10.0.0.0/24\n"
    "Endpoint = [2001:db8::1]:51820\nPersistentKeepalive = 25\n"
)


def test_configuration_of_a_tunnel_is_accepted() -> None:
    assert files.checked_config(CONFIG) == CONFIG


def test_resolvers_are_addresses_and_search_domains() -> None:
    text = CONFIG.replace("\n\n", "\nDNS = 10.0.0.53, fd00::53, corp.example\n\n", 1)
    assert files.checked_config(text) == text


@pytest.mark.parametrize(
    "line",
    [
        "PostUp = rm -rf /",
        "PreDown = id",
        "Table = off",
        "SaveConfig = true",
        "PrivateKey = AAAA",
        "Endpoint = a$(id):1",
        "Endpoint = evil.example:1 PostUp",
        "Endpoint = evil.example",
        "Endpoint = [::1",
        "Endpoint = -x:1",
        "PersistentKeepalive = off",
        "PublicKey = AAAA",
        "PresharedKey = $(id)",
        "AllowedIPs = 10.0.0.0/33",
        "AllowedIPs = 10.0.0.0/8,PostUp",
        "AllowedIPs = ",
        "AllowedIPs = 10.0.0.0/8\x0bPostUp = id",
        "AllowedIPs = 10.0.0.0/8\u2028PostUp = id",
        "[Interface]\nPostUp = id",
        "PublicKey=AAAA",
        "# PostUp = id",
        "[Script]",
        "[Interface]\nDNS = 1.1.1.1; id",
        "[Interface]\nDNS = 1.1.1.1\nPostUp = id",
        "[Interface]\nDNS = 1.1.1.1 PostUp",
        "[Interface]\nDNS = -x",
        "[Interface]\nDNS = 1.1.1.1,, 2.2.2.2",
        "[Interface]\nMTU = 1420; id",
        "[Interface]\nAddress = 100.064.0.2/32",
        "[Interface]\nAddress = any",
    ],
)
def test_configuration_with_anything_else_is_refused(line: str) -> None:
    """Attack D07: every value is of its own type, and nothing follows it."""
    with pytest.raises(ConfigError, match="strange line"):
        files.checked_config(f"{CONFIG}{line}\n")


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "peerage.conf"
    path.touch(mode=0o644)
    files.write_private(path, "secret\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "secret\n"
    assert list(tmp_path.iterdir()) == [path]


def test_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gone"):
        files.write_private(tmp_path / "gone" / "peerage.conf", "x")


def test_memory_survives(tmp_path: Path) -> None:
    config = tmp_path / "peerage.conf"
    memory = files.Memory(portal="https://p", device=7, name="n", refresh_token="r")
    files.write_memory(config, memory)
    assert files.read_memory(config) == memory


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"portal": 1, "x": 2}'])
def test_damaged_memory_says_so(tmp_path: Path, text: str) -> None:
    config = tmp_path / "peerage.conf"
    files.memory_path(config).write_text(text)
    with pytest.raises(ConfigError, match="damaged"):
        files.read_memory(config)


def test_missing_files_say_enrol_first(tmp_path: Path) -> None:
    config = tmp_path / "peerage.conf"
    with pytest.raises(ConfigError, match="enrol first"):
        files.read_memory(config)
    with pytest.raises(ConfigError, match="enrol first"):
        files.private_key_in(config)


def test_private_key_is_found_again(tmp_path: Path) -> None:
    config = tmp_path / "peerage.conf"
    config.write_text("[Interface]\nPrivateKey = abc=\nAddress = 100.64.0.2/32\n")
    assert files.private_key_in(config) == "abc="
    config.write_text("[Interface]\n")
    with pytest.raises(ConfigError, match="no private key"):
        files.private_key_in(config)


@pytest.mark.parametrize("name", ["laptop.json", "missing/laptop.conf", "taken.conf"])
def test_place_that_cannot_hold_a_device_is_refused_at_once(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "taken.json").touch()
    with pytest.raises(ConfigError):
        files.refuse_occupied(tmp_path / name)
    files.refuse_occupied(tmp_path / "laptop.conf")

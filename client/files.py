"""The two files of a device: its configuration, and what the command line remembers.

Both are for their owner's eyes only and are replaced whole, never half. wg-quick(8)
runs `PostUp` and its kin as root, so a configuration may hold only what a tunnel
needs: a portal that was taken over must not become a way onto every laptop.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Final

from client.errors import ConfigError

NAME: Final = r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
HOST: Final = rf"{NAME}(\.{NAME})*"
NUMBER: Final = re.compile(r"[0-9]{1,5}")
KEY: Final = re.compile(r"[0-9A-Za-z+/]{43}=")
ENDPOINT: Final = re.compile(rf"({HOST}|\[[0-9a-f:.]+\]):[0-9]{{1,5}}")


def _is_prefixes(value: str) -> bool:
    """Return whether a value lists prefixes as the portal writes them."""
    try:
        return all(str(ip_interface(text)) == text for text in value.split(", "))
    except ValueError:
        return False


def _is_resolvers(value: str) -> bool:
    """Return whether a value lists addresses and search domains (wg-quick(8))."""
    return all(
        re.fullmatch(HOST, text) or _is_prefixes(f"{text}/{128 if ':' in text else 32}")
        for text in value.split(", ")
    )


ALLOWED: Final[Mapping[str, Mapping[str, Callable[[str], object]]]] = {
    "[Interface]": {
        "Address": _is_prefixes,
        "DNS": _is_resolvers,
        "MTU": NUMBER.fullmatch,
    },
    "[Peer]": {
        "PublicKey": KEY.fullmatch,
        "PresharedKey": KEY.fullmatch,
        "AllowedIPs": _is_prefixes,
        "Endpoint": ENDPOINT.fullmatch,
        "PersistentKeepalive": NUMBER.fullmatch,
    },
}
"""What a tunnel needs, and how each value is read."""

PRIVATE_KEY: Final = re.compile(r"^PrivateKey = (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What belongs to a configuration: whose portal, which device, how to return."""

    portal: str
    device: int
    name: str
    refresh_token: str


def checked_config(text: str) -> str:
    """Return the portal's configuration when wg-quick would only make a tunnel of it.

    Raises:
        ConfigError: a section, a key or a value that a tunnel does not need.
    """
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line:
            continue
        if line in ALLOWED:
            section = line
            continue
        key, separator, value = line.partition(" = ")
        is_read = ALLOWED.get(section, {}).get(key)
        if not separator or is_read is None or not is_read(value):
            msg = f"the portal sent a configuration with a strange line {number}"
            raise ConfigError(msg)
    return text


def private_key_in(path: Path) -> str:
    """Return the private key that a configuration holds."""
    try:
        found = PRIVATE_KEY.search(path.read_text(encoding="utf-8"))
    except OSError as exc:
        msg = f"{path} cannot be read: {exc.strerror}; enrol first"
        raise ConfigError(msg) from exc
    if found is None:
        msg = f"{path} holds no private key; enrol again"
        raise ConfigError(msg)
    return found[1]


def memory_path(config: Path) -> Path:
    """Return where the command line remembers what belongs to a configuration."""
    return config.with_suffix(".json")


def refuse_occupied(config: Path) -> None:
    """Refuse a place where a device could not be written down, before it exists.

    Raises:
        ConfigError: a file would be overwritten, or the folder is not there.
    """
    memory = memory_path(config)
    if memory == config:
        msg = f"{config} is the name of what belongs to a configuration; use .conf"
        raise ConfigError(msg)
    for path in (config, memory):
        if path.exists():
            msg = f"{path} exists; choose another --output, or `sync` it"
            raise ConfigError(msg)
    if not os.access(config.parent, os.W_OK | os.X_OK):
        msg = f"{config.parent} cannot be written"
        raise ConfigError(msg)


def read_memory(config: Path) -> Memory:
    """Return what was remembered at enrolment."""
    path = memory_path(config)
    try:
        return Memory(**json.loads(path.read_text(encoding="utf-8")))
    except OSError as exc:
        msg = f"{path} cannot be read: {exc.strerror}; enrol first"
        raise ConfigError(msg) from exc
    except (TypeError, ValueError) as exc:
        msg = f"{path} is damaged; enrol again"
        raise ConfigError(msg) from exc


def write_memory(config: Path, memory: Memory) -> None:
    """Remember."""
    write_private(memory_path(config), json.dumps(asdict(memory), indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner may read, durably and at once."""
    try:
        # mkstemp creates it for the owner alone; there is no moment of more.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as exc:
        msg = f"{path.parent} cannot be written: {exc.strerror}"
        raise ConfigError(msg) from exc
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

"""The command line, as values that have been checked."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.logs import LogFormat, default_format
from gateway.room import DEFAULT_FREE_PERCENT, STANDARD, Limits

VERSION: Final = "0.1.0"
DEFAULT_STATE: Final = Path("/var/lib/peerage-gateway")
DEFAULT_RUNTIME: Final = Path("/run/peerage-gateway")
# IFNAMSIZ is 16 with the zero; the name becomes part of an nftables table name.
DNS_PORT: Final = 53
KEY_DAYS: Final = 30
MAX_KEY_DAYS: Final = 365
MAX_PORT: Final = 65535
PERCENT: Final = 100
SMALLEST_SPOOL: Final = 64 << 10
UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
"""Sizes in powers of two, by the number of bits."""
INTERFACE: Final = re.compile(r"[a-z][a-z0-9]{0,14}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollCommand:
    """Spend an enrolment token."""

    portal: str
    token: str
    state: Path
    insecure_http: bool
    ca_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A DNS server to ask."""

    address: IPv4Address | IPv6Address
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommand:
    """Enforce, until told to stop.

    Without `resolvers`, resolv.conf(5) says whom to ask. `log_level` is one of
    the module `logging`. After `key_days` the key that signs requests is replaced.
    `spool` bounds the evidence that waits on disk.
    """

    state: Path
    runtime: Path
    interface: str
    resolvers: tuple[Server, ...] = ()
    spool: Limits = STANDARD
    log_format: LogFormat = LogFormat.JSON
    log_level: int = logging.INFO
    key_days: int = KEY_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class BootCommand:
    """Load the closed ruleset, so that nothing passes before the agent runs."""

    interface: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCommand:
    """Say what the running agent says of itself, and what the directory knows."""

    state: Path
    runtime: Path
    is_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorCommand:
    """Look at this machine and say what is wrong."""

    state: Path
    runtime: Path
    interface: str
    is_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptCommand:
    """Go on without what was lost of the state directory."""

    state: Path


Command = (
    AcceptCommand
    | EnrollCommand
    | RunCommand
    | BootCommand
    | StatusCommand
    | DoctorCommand
)


def parse(arguments: Sequence[str]) -> Command:
    """Return what the command line asks for.

    Raises:
        ConfigError: a value is impossible. Unknown options exit with usage.
    """
    options = _parser().parse_args(arguments)
    match options.command:
        case "enroll":
            return EnrollCommand(
                portal=options.portal,
                token=_token(options),
                state=options.state,
                insecure_http=options.insecure_http,
                ca_file=str(options.ca_file.resolve()) if options.ca_file else "",
            )
        case "run":
            return RunCommand(
                state=options.state,
                runtime=_runtime(options),
                interface=_interface(options),
                resolvers=tuple(map(_server, options.resolver)),
                spool=_limits(options),
                log_format=options.log_format or default_format(sys.stderr),
                log_level=logging.DEBUG if options.debug else logging.INFO,
                key_days=_days(options.key_days),
            )
        case "accept":
            return AcceptCommand(state=options.state)
        case "boot":
            return BootCommand(interface=_interface(options))
        case "doctor":
            return DoctorCommand(
                state=options.state,
                runtime=_runtime(options),
                interface=_interface(options),
                is_json=options.json,
            )
        case _:
            return StatusCommand(
                state=options.state, runtime=_runtime(options), is_json=options.json
            )


def _interface(options: argparse.Namespace) -> str:
    if not INTERFACE.match(options.interface):
        raise ConfigError(
            f"{options.interface!r} is not an interface name: up to 15 lower"
            " case letters and digits, a letter first"
        )
    return str(options.interface)


def _runtime(options: argparse.Namespace) -> Path:
    """Return where the agent tells its state: in /run, unless all is elsewhere."""
    state: Path = options.state
    if options.runtime is not None:
        return Path(options.runtime)
    return DEFAULT_RUNTIME if state == DEFAULT_STATE else state


def _days(days: int) -> int:
    if not 0 < days <= MAX_KEY_DAYS:
        raise ConfigError(f"a key lives 1 to {MAX_KEY_DAYS} days, not {days}")
    return days


def _limits(options: argparse.Namespace) -> Limits:
    """Return the bounds of the spool.

    Raises:
        ConfigError: no size from 64K, or no percentage below 100.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,11})([KMGT]?)", options.spool_limit)
    size = int(match[1]) << UNITS[match[2]] if match else 0
    if size < SMALLEST_SPOOL:
        raise ConfigError(
            f"{options.spool_limit!r} is not a size like 512M or 1G, from 64K"
        )
    if not 0 <= options.spool_keep_free < PERCENT:
        raise ConfigError(f"{options.spool_keep_free} is not a percentage below 100")
    return Limits(total=size, free_percent=options.spool_keep_free)


def _server(text: str) -> Server:
    """Return the server written `10.0.0.53`, `10.0.0.53:5353`, `[fd00::53]:5353`."""
    bracketed = re.fullmatch(r"\[(.*)\](?::(\d{1,5}))?", text)
    plain = re.fullmatch(r"([^:]*)(?::(\d{1,5}))?", text)
    match = bracketed or plain
    try:
        address = ip_address(match[1] if match else text)
        port = int(match[2] or DNS_PORT) if match else DNS_PORT
    except ValueError as exc:
        raise ConfigError(f"{text!r} is not ADDRESS or ADDRESS:PORT") from exc
    if not 0 < port <= MAX_PORT:
        raise ConfigError(f"{port} is not a port")
    return Server(address=address, port=port)


def _token(options: argparse.Namespace) -> str:
    """Return the token, from a file where the process list should not show it."""
    if options.token_file is None:
        return str(options.token)
    try:
        return str(options.token_file.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{options.token_file} cannot be read: {exc}") from exc


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="peerage-gateway",
        description="Enforces what the Peerage portal has signed for this gateway.",
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    enroll = commands.add_parser("enroll", help="join a deployment with a token")
    enroll.add_argument("--portal", required=True, metavar="URL")
    token = enroll.add_mutually_exclusive_group(required=True)
    token.add_argument("--token", metavar="T")
    token.add_argument("--token-file", type=Path, metavar="FILE")
    enroll.add_argument("--ca-file", type=Path, metavar="PEM")
    enroll.add_argument("--insecure-http", action="store_true")
    run = commands.add_parser("run", help="enforce, until told to stop")
    run.add_argument(
        "--resolver",
        action="append",
        default=[],
        metavar="ADDRESS[:PORT]",
        help="a DNS server for host-name destinations; repeat for more, asked in order"
        " (default: those in /etc/resolv.conf)",
    )
    run.add_argument(
        "--spool-limit",
        default="1G",
        metavar="SIZE",
        help="the most evidence that waits on disk (default: 1G)",
    )
    run.add_argument(
        "--spool-keep-free",
        type=int,
        default=DEFAULT_FREE_PERCENT,
        metavar="PERCENT",
        help="of the disk, what evidence leaves for everything else (default: 5)",
    )
    run.add_argument(
        "--log-format",
        type=LogFormat,
        choices=list(LogFormat),
        help="default: text at a terminal, else json",
    )
    run.add_argument(
        "--key-days",
        type=int,
        default=KEY_DAYS,
        metavar="N",
        help=f"replace the key that signs requests after N days (default: {KEY_DAYS})",
    )
    run.add_argument("--debug", action="store_true", help="log addresses and requests")
    boot = commands.add_parser("boot", help="load the closed ruleset and end")
    status = commands.add_parser("status", help="generation, lease, gate, spool")
    doctor = commands.add_parser(
        "doctor", help="what is wrong here, and how to mend it"
    )
    for command in (status, doctor):
        command.add_argument("--json", action="store_true")
    for command in (run, boot, doctor):
        command.add_argument("--interface", default="wg0", metavar="NAME")
    accept = commands.add_parser(
        "accept", help="go on without what the state directory lost"
    )
    for command in (enroll, run, status, doctor, accept):
        command.add_argument("--state", type=Path, default=DEFAULT_STATE, metavar="DIR")
    for command in (run, status, doctor):
        command.add_argument("--runtime", type=Path, metavar="DIR")
    return parser

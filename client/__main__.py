"""`peerage`: enrol this machine, keep its configuration fresh, see how it stands."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from client import commands
from client.errors import ClientError
from client.http import portal_url

DEFAULT: Final = Path("peerage.conf")


def main(arguments: list[str] | None = None) -> int:
    """Run one command. 0: done; 1: refused, or the device is not active; 2: usage."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except ClientError as exc:
        sys.stderr.write(f"peerage: {exc}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("peerage: stopped\n")
        return 130


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "enroll":
            commands.enroll(
                url=portal_url(options.portal, insecure=options.insecure),
                name=options.name,
                output=options.output,
                say=_say,
                sleep=time.sleep,
            )
            return 0
        case "sync":
            commands.sync(config=options.config, say=_say, sleep=time.sleep)
            return 0
        case _:
            active = commands.status(config=options.config, say=_say, sleep=time.sleep)
            return 0 if active else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="peerage", description=__doc__)
    verbs = parser.add_subparsers(dest="command", required=True)
    enroll = verbs.add_parser("enroll", help="make a key here and enrol this machine")
    enroll.add_argument("--portal", required=True, metavar="URL")
    enroll.add_argument("--name", required=True, help="what you call this machine")
    enroll.add_argument("--output", type=Path, default=DEFAULT, metavar="FILE")
    enroll.add_argument(
        "--insecure", action="store_true", help="allow plain http to another machine"
    )
    for verb, text in (
        ("sync", "fetch the configuration again and keep the key"),
        ("status", "say what the portal holds of this machine"),
    ):
        other = verbs.add_parser(verb, help=text)
        other.add_argument("--config", type=Path, default=DEFAULT, metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())

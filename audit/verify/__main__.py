"""Check a log without trusting whoever runs it. docs/audit.md says how.

    python -m audit.verify fsck DIR             entries, tiles, checkpoints, rows
    python -m audit.verify consistency DIR OLD  does it continue this checkpoint?
    python -m audit.verify prove DIR INDEX      print the proof of one entry
    python -m audit.verify check-proof FILE     check such a proof
    python -m audit.verify receipt FILE         check the receipt of a connection
    python -m audit.verify receipt DIR INDEX    print one
    python -m audit.verify gaps DIR             what the log itself says is missing

DIR is a directory or an http(s) address with one log, or an export with both. Whom to
believe is said by --policy, or by --key once for each log; without either, the data's
own word is taken for its key, and the answer says so. Exit: 0 all is well, 1 tampered,
2 incomplete, 3 not understood.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from audit.receipts import check_receipt, find_steps, receipt
from audit.tlog.note import DECIMAL, NoteError, parse_verifier_key
from audit.tlog.policy import Policy, PolicyError, parse_policy, trusting
from audit.tlog.proof import parse_proof
from audit.tlog.proving import consistency, prove
from audit.tlog.report import INCOMPLETE, TAMPERED, MissingError, Report
from audit.verify.data import LOGS, LogFiles, logs
from audit.verify.gaps import gaps
from audit.verify.tree import fsck

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE: Final = 3
PLACES: Final = {
    "fsck": ["place"],
    "consistency": ["place", "old"],
    "prove": ["place", "index"],
    "check-proof": ["place"],
    "receipt": ["place", "index?"],
    "gaps": ["place"],
}


class UsageError(Exception):
    """The command line cannot be meant."""


class Parser(argparse.ArgumentParser):
    """A parser whose refusals have an exit code of their own."""

    def error(self, message: str) -> NoReturn:
        """Refuse."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    report, output = Report(), None
    try:
        output = _run(options, report)
    except UsageError as exc:
        sys.stderr.write(f"audit.verify: {exc}\n")
        return USAGE
    except (MissingError, OSError) as exc:
        report.add(INCOMPLETE, "", None, f"cannot be read: {exc}")
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        report.add(TAMPERED, "", None, f"{exc}")
    if output and not report.faults:
        sys.stdout.write(output)
    else:
        sys.stdout.write(report.as_json() if options.json else report.as_text())
    return report.exit_code()


def _run(options: argparse.Namespace, report: Report) -> str | None:
    """Fill the report; return what is to be printed in its place, if anything."""
    match options.command:
        case "check-proof":
            policy = _policy(options, [], report)
            proof = parse_proof(_text(options.place))
            accepted = proof.check(policy)
            report.facts["proved"] = {
                "log": accepted.checkpoint.origin,
                "index": proof.index,
                "size": accepted.checkpoint.size,
                "witnesses": dict(accepted.witnesses),
                "entry": proof.entry.decode(errors="backslashreplace"),
            }
        case "receipt" if options.index is None:
            check_receipt(_text(options.place), _policy(options, [], report), report)
        case "receipt":
            both = {files.name: files for files in _logs(options)}
            policy = _policy(options, list(both.values()), report)
            return receipt(find_steps(both, policy, options.index)) + "\n"
        case "prove":
            files = _one(options)
            return str(prove(files, _policy(options, [files], report), options.index))
        case "consistency":
            files, old = _one(options), _text(options.old).encode()
            policy = _policy(options, [files], report)
            report.facts["sizes"] = consistency(files, policy, old)
        case "gaps":
            for files in _logs(options):
                gaps(files, _policy(options, [files], report), report)
        case _:
            for files in _logs(options):
                policy = _policy(options, [files], report)
                fsck(files, policy, report, jobs=options.jobs)
    return None


def _logs(options: argparse.Namespace) -> list[LogFiles]:
    found = logs(options.place)
    if not found:
        raise UsageError(f"{options.place} has no checkpoint")
    if options.log:
        found = [files for files in found if files.name == options.log]
    return found


def _one(options: argparse.Namespace) -> LogFiles:
    match _logs(options):
        case [files]:
            return files
    raise UsageError("which of the logs? --log control or --log connections")


def _policy(
    options: argparse.Namespace, held: Sequence[LogFiles], report: Report
) -> Policy:
    """Return whom to believe; the data's own word only where there is no other."""
    try:
        if options.policy:
            return parse_policy(_text(options.policy))
        if options.key:
            return trusting(*map(parse_verifier_key, options.key))
    except (NoteError, PolicyError) as exc:
        raise UsageError(str(exc)) from exc
    if not held:
        raise UsageError("whom to believe? --key or --policy")
    keys = [files.read("vkey").decode().strip() for files in held]
    told = report.facts.setdefault("trust", [])
    told += (f"the key came with the data; compare it: {key}" for key in keys)
    return trusting(*map(parse_verifier_key, keys))


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path}: {exc}") from exc


def _parser() -> Parser:
    parser = Parser(
        prog="python -m audit.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, places in PLACES.items():
        command = commands.add_parser(name)
        for place in places:
            command.add_argument(
                place.rstrip("?"),
                type=_index if place.startswith("index") else str,
                nargs="?" if place.endswith("?") else None,
            )
        command.add_argument("--log", choices=LOGS, help="one log of an export")
        command.add_argument("--key", action="append", default=[], help="a log's key")
        command.add_argument("--policy", help="a file: logs, witnesses, quorum")
        command.add_argument("--json", action="store_true", help="for programs")
        command.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser


def _index(text: str) -> int:
    if not DECIMAL.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an index")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())

"""Policy as code: format, test, export, plan and apply a policy file."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.models import Connection
from policies.compiler.errors import CompilerError
from policies.cuts import connections_cut
from policies.dialect.errors import DialectError
from policies.dialect.formatting import fmt
from policies.errors import PolicyError
from policies.policy_files.applying import apply_policy
from policies.policy_files.documents import export_policy, open_policy
from policies.policy_files.errors import BrakeError
from policies.policy_files.planning import Plan, plan_policy
from policies.policy_files.state import read_state
from policies.policy_files.wording import (
    plan_lines,
    plan_output,
    report_lines,
    report_output,
)
from policies.services.inquiries import record_inquiry
from portal.management.actors import command_actor
from portal.management.files import STDIN, read_source

OK: Final = 0
REFUSED: Final = 1
PENDING: Final = 2


class Command(BaseCommand):
    """Exit status 0 ok, 1 failed or refused, 2 the file would change something."""

    help = "Format, test, export, plan or apply a policy file (docs/policy.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to do and with which file."""
        actions = parser.add_subparsers(dest="action", required=True)
        formatting = _action(actions, "fmt", "Put a file into canonical style.")
        how = formatting.add_mutually_exclusive_group()
        how.add_argument("--check", action="store_true", help="only say whether it is")
        how.add_argument("--write", action="store_true", help="write it back")
        _action(actions, "test", "Run the tests of a file.", has_json=True)
        _planned(_action(actions, "plan", "Say what a file would do.", has_json=True))
        applying = _action(actions, "apply", "Do what a file says.", has_json=True)
        _planned(applying)
        applying.add_argument(
            "--confirm", action="store_true", help="release the brake"
        )
        exporting = actions.add_parser("export", help="Print the policy as a file.")
        exporting.add_argument("--tailscale", action="store_true")

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Do it; the exit status says how it ended."""
        now = datetime.now(UTC)  # noqa: TID251 -- a command is an edge
        actions: dict[str, Callable[..., int]] = {
            "fmt": self.fmt,
            "test": self.test,
            "export": self.export,
            "plan": self.plan,
            "apply": self.apply,
        }
        try:
            status = actions[options["action"]](options, now=now)
        except BrakeError as exc:
            msg = f"{exc}; look at the plan, and apply with --confirm"
            raise CommandError(msg, returncode=REFUSED) from exc
        except (CompilerError, DialectError, PolicyError) as exc:
            raise CommandError(str(exc), returncode=REFUSED) from exc
        if status != OK:
            sys.exit(status)

    def fmt(self, options: dict[str, Any], *, now: datetime) -> int:  # noqa: ARG002 -- as all actions
        """Print the file in canonical style, or check it, or write it back."""
        source = read_source(options["file"], returncode=REFUSED)
        wanted = fmt(source)
        is_same = wanted.encode() == source
        if options["check"]:
            return OK if is_same else PENDING
        if not options["write"] or options["file"] == STDIN:
            self.stdout.write(wanted, ending="")
        elif not is_same:
            Path(options["file"]).write_text(wanted, encoding="utf-8")
        return OK

    def test(self, options: dict[str, Any], *, now: datetime) -> int:
        """Run the tests of a file against the portal's people and devices."""
        found = open_policy(
            read_source(options["file"], returncode=REFUSED),
            read_state(now=now),
            now=now,
        )
        output = report_output(found)
        self.tell(output, report_lines(output), options)
        return REFUSED if found.failed else OK

    def export(self, options: dict[str, Any], *, now: datetime) -> int:
        """Print the portal's policy as a file."""
        text = export_policy(
            read_state(now=now), now=now, tailscale=options["tailscale"]
        )
        self.stdout.write(text, ending="")
        return OK

    def plan(self, options: dict[str, Any], *, now: datetime) -> int:
        """Say what a file would change, and for whom."""
        state = read_state(now=now)
        found = open_policy(
            read_source(options["file"], returncode=REFUSED), state, now=now
        )
        plan = plan_policy(
            found.definition,
            state,
            gateways=options["gateway"] or settings.PEERAGE_POLICY_GATEWAYS,
            now=now,
        )
        percent = settings.PEERAGE_POLICY_BRAKE_PERCENT
        cut = self.cut(plan, now=now)
        output = plan_output(found, plan, cut=cut, percent=percent)
        self.tell(output, (*report_lines(output), *plan_lines(output)), options)
        if found.failed:
            return REFUSED
        return OK if plan.is_empty else PENDING

    def apply(self, options: dict[str, Any], *, now: datetime) -> int:
        """Make the portal's policy what a file says, or say why not."""
        done = apply_policy(
            read_source(options["file"], returncode=REFUSED),
            gateways=options["gateway"] or settings.PEERAGE_POLICY_GATEWAYS,
            is_confirmed=options["confirm"],
            actor=command_actor("policy"),
            now=now,
        )
        percent = settings.PEERAGE_POLICY_BRAKE_PERCENT
        cut = self.cut(done.plan, now=now)
        output = plan_output(done.file, done.plan, cut=cut, percent=percent)
        lines = (*report_lines(output), *plan_lines(output, is_done=True))
        self.tell(output, lines, options)
        return OK

    def cut(self, plan: Plan, *, now: datetime) -> Sequence[Connection]:
        """Return the open connections that end; that they are read is recorded."""
        _, cut = connections_cut(plan.had, plan.have, now=now)
        if cut:
            record_inquiry(
                question="effect",
                details={"change": "policy file"},
                actor=command_actor("policy"),
                now=now,
            )
        return cut

    def tell(
        self, output: dict[str, Any], lines: Iterable[str], options: dict[str, Any]
    ) -> None:
        """Print an answer as JSON or in lines."""
        if options["as_json"]:
            self.stdout.write(json.dumps(output, indent=2, ensure_ascii=False))
        else:
            self.stdout.writelines(f"{line}\n" for line in lines)


def _action(
    actions: Any,  # noqa: ANN401 -- argparse does not export its type
    name: str,
    text: str,
    *,
    has_json: bool = False,
) -> ArgumentParser:
    """Add an action that takes a file."""
    parser: ArgumentParser = actions.add_parser(name, help=text, description=text)
    parser.add_argument("file", help="a path, or - for standard input")
    if has_json:
        parser.add_argument("--json", action="store_true", dest="as_json")
    return parser


def _planned(parser: ArgumentParser) -> None:
    """Take which gateways serve new applications."""
    parser.add_argument(
        "--gateway",
        action="append",
        default=[],
        metavar="NAME",
        help="a gateway that serves new applications; may be repeated",
    )

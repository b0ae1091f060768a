"""Write the evidence pack of a period into a directory, or check one."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_date

from portal.evidence import MANIFEST, make_pack, wrong_files
from portal.management.actors import command_actor


class Command(BaseCommand):
    """Exit status 0 when the pack was written, or is as its manifest says."""

    help = "Write the evidence of a period, both days included, into a new directory."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where to, and which days."""
        parser.add_argument("directory", type=Path)
        parser.add_argument("--since", metavar="YYYY-MM-DD", help="first day, UTC")
        parser.add_argument("--until", metavar="YYYY-MM-DD", help="last day, UTC")
        parser.add_argument(
            "--no-compare",
            action="store_true",
            help="leave out the comparison that reads all connections",
        )
        parser.add_argument(
            "--check", action="store_true", help="only check an existing pack's hashes"
        )

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Write or check."""
        directory: Path = options["directory"]
        if options["check"]:
            self._check(directory)
            return
        now = datetime.now(UTC)  # noqa: TID251 -- a command is an edge
        since = _day(options["since"], "--since")
        until = min(_day(options["until"], "--until") + timedelta(days=1), now)
        if since >= until:
            raise CommandError("the period ends before it begins, or lies ahead")
        try:
            directory.mkdir(mode=0o700)
        except OSError as exc:
            msg = f"{directory}: {exc.strerror}"
            raise CommandError(msg) from exc
        pack = make_pack(
            since=since,
            until=until,
            compares=not options["no_compare"],
            actor=command_actor("evidence_pack"),
            now=now,
        )
        for name, data in pack.files.items():
            (directory / name).write_bytes(data)
        self.stdout.write(f"{len(pack.files)} files in {directory}")
        self.stdout.write(f"SHA-256 of {MANIFEST}, also in the log: {pack.digest}")

    def _check(self, directory: Path) -> None:
        try:
            files = {
                path.name: path.read_bytes() for path in sorted(directory.iterdir())
            }
            wrong = wrong_files(files)
        except (OSError, KeyError, ValueError) as exc:
            msg = f"{directory} is no pack: {exc}"
            raise CommandError(msg) from exc
        if wrong:
            raise CommandError(f"not as the manifest says: {', '.join(wrong)}")
        self.stdout.write("every file is as the manifest says")


def _day(text: str | None, option: str) -> datetime:
    try:
        day = parse_date(text or "")
    except ValueError as exc:
        msg = f"{option}: {exc}"
        raise CommandError(msg) from exc
    if day is None:
        msg = f"{option} is a day such as 2026-11-01"
        raise CommandError(msg)
    return datetime.combine(day, time.min, tzinfo=UTC)

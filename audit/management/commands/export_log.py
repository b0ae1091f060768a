"""Write both sealed logs as files, for auditors and their verifier."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor, ActorKind
from audit.errors import SealError
from audit.models import Log
from audit.sealing import keeping
from audit.sealing.exporting import export
from audit.search.filters import Filter
from audit.services import record_query


class Command(BaseCommand):
    """Write what is new; exit status 0 says that all is on the disk."""

    help = "Write both sealed logs as tiles (C2SP tlog-tiles) below a directory."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where to, and whether people's rows come too."""
        parser.add_argument("directory", type=Path)
        parser.add_argument(
            "--rows",
            action="store_true",
            help="also the rows that people read, and the salts that open their leaves",
        )
        parser.add_argument(
            "--cosigned",
            action="store_true",
            help="up to the checkpoint that most witnesses have signed, a minute ago",
        )

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Record the copy before it is made, then make it."""
        directory: Path = options["directory"]
        actor = Actor(kind=ActorKind.COMMAND, label="export_log")
        for log in Log:
            record_query(
                log=log,
                filters=Filter(),
                actor=actor,
                now=datetime.now(UTC),  # noqa: TID251 -- a command is an edge
                export_format="tiles and rows" if options["rows"] else "tiles",
            )
        for log in Log:
            try:
                size = export(
                    log,
                    directory,
                    verifier_key=str(keeping.verifier_key(log)),
                    with_rows=options["rows"],
                    cosigned=options["cosigned"],
                )
            except (SealError, OSError) as exc:
                raise CommandError(str(exc)) from exc
            self.stdout.write(f"{log.value}: {size} leaves in {directory / log.value}")

"""Write both sealed logs as files, for auditors and their verifier."""

from __future__ import annotations

import hashlib
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor, ActorKind
from audit.errors import SealError
from audit.models import AuditEvent, Log
from audit.sealed_files import CHECKPOINT
from audit.sealing import keeping
from audit.sealing.exporting import export
from audit.search.filters import Filter
from audit.services import record_export_end, record_query

ACTOR: Final = Actor(kind=ActorKind.COMMAND, label="export_log")


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
        """Record each copy before it is made, make it, and record that it is whole."""
        directory: Path = options["directory"]
        with_rows: bool = options["rows"]
        begun = {log: _record_begin(log, with_rows=with_rows) for log in Log}
        for log, event in begun.items():
            try:
                size = export(
                    log,
                    directory,
                    verifier_key=str(keeping.verifier_key(log)),
                    with_rows=with_rows,
                    cosigned=options["cosigned"],
                )
                head = (directory / log.value / CHECKPOINT).read_bytes()
            except (SealError, OSError) as exc:
                raise CommandError(str(exc)) from exc
            record_export_end(
                export=event,
                rows=size,
                sha256=hashlib.sha256(head).hexdigest(),
                actor=ACTOR,
                now=_now(),
            )
            self.stdout.write(f"{log.value}: {size} leaves in {directory / log.value}")


def _record_begin(log: Log, *, with_rows: bool) -> AuditEvent:
    return record_query(
        log=log,
        filters=Filter(),
        actor=ACTOR,
        now=_now(),
        export_format="tiles and rows" if with_rows else "tiles",
    )


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- a command is an edge

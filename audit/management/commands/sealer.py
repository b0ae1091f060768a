"""Seal both logs, as a process of its own with its own keys."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from audit.errors import SealError
from audit.models import Log
from audit.sealing import keeping
from audit.sealing.runner import run
from audit.sealing.sealer import Sealer, adopt

if TYPE_CHECKING:
    from types import FrameType


class Command(BaseCommand):
    """Seal until told to stop; exit status 0 then."""

    help = "Seal both logs until SIGINT or SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what else to do than to go on."""
        only = parser.add_mutually_exclusive_group()
        only.add_argument("--once", action="store_true", help="one batch of each log")
        only.add_argument("--keys", action="store_true", help="show the logs' keys")
        only.add_argument(
            "--adopt", action="store_true", help="the state file is lost: trust the log"
        )

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Look at the keys first, so that a missing one is told at once."""
        try:
            for log in Log:
                key = keeping.verifier_key(log)
                if options["keys"]:
                    self.stdout.write(str(key))
                if options["adopt"]:
                    told = adopt(log)
                    self.stdout.write(f"{log.value}: {told.size} {told.root.hex()}")
                if options["once"]:
                    taken = Sealer(log).seal(datetime.now(UTC))  # noqa: TID251 -- a command is an edge
                    self.stdout.write(f"{log.value}: {taken} events were sealed")
        except SealError as exc:
            raise CommandError(str(exc)) from exc
        if not (options["once"] or options["keys"] or options["adopt"]):
            self._run()

    def _run(self) -> None:
        stop = threading.Event()

        def end(_number: int, _frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        run(stop)

"""Deliver the log to its streams, as a process of its own."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from audit import asking
from audit.streams.delivery import deliver_due
from audit.streams.runner import run

if TYPE_CHECKING:
    from types import FrameType


class Command(BaseCommand):
    """Deliver until told to stop; exit status 0 then."""

    help = "Deliver the log to its streams until SIGINT or SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whether to go on."""
        parser.add_argument(
            "--once", action="store_true", help="give every due stream one turn"
        )

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Deliver."""
        if options["once"]:
            taken = deliver_due(clock=lambda: datetime.now(UTC))  # noqa: TID251 -- a command is an edge
            self.stdout.write(f"{taken} entries were taken")
            return
        stop = threading.Event()

        def end(_number: int, _frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        # The witnesses are asked here, too: a process that may write events and waits
        # for nobody else.
        witnesses = threading.Thread(target=asking.run, args=(stop,), daemon=True)
        witnesses.start()
        run(stop)

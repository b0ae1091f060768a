"""Run the whole portal: web server, worker and beat in one process."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from policies import signing
from policies.errors import SigningKeyError
from portal.serving import serve


class Command(BaseCommand):
    """Serve until told to stop; exit status 0 then."""

    help = "Run the portal: web server, jobs and their schedule in one process."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where to listen."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--fd",
            type=int,
            action="append",
            default=[],
            metavar="N",
            help="serve this inherited listening socket instead; may be repeated",
        )
        parser.add_argument(
            "--no-jobs",
            action="store_true",
            help="leave jobs to workers and a beat of their own (needs Redis)",
        )

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Check the signing key, then serve."""
        try:
            signing.verification_key()
        except SigningKeyError as exc:
            raise CommandError(str(exc)) from exc
        if not options["fd"]:
            self.stdout.write(f"http://{options['host']}:{options['port']}/")
        serve(
            host=options["host"],
            port=options["port"],
            descriptors=options["fd"],
            jobs=not options["no_jobs"],
        )

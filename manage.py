#!/usr/bin/env python3
"""Django's command line, without the commands that write past the log."""

from __future__ import annotations

import os
import sys

import django
from django.core.management import execute_from_command_line
from django.db import OperationalError

from audit import room
from portal.management.raw import RECORDED, REFUSED


def main(words: list[str]) -> int:
    """Run a command; return the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    name = words[1] if len(words) > 1 else ""
    if name in REFUSED:
        sys.stderr.write(
            f"{name} writes past the log; use the portal or its commands\n"
        )
        return 2
    if name in RECORDED:
        django.setup()
        from portal.management.shells import record_opened  # noqa: PLC0415 -- models exist once Django is set up

        record_opened(name)
    try:
        execute_from_command_line(words)
    except OperationalError as exc:
        room.make_after_failure(exception=exc)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

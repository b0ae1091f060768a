"""Policy files that commands are given: a path, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from django.core.management.base import CommandError

from policies.dialect.hujson import MAX_BYTES

STDIN: Final = "-"


def read_source(path: str, *, returncode: int) -> bytes:
    """Return the bytes of a file; a huge one is refused before it is read whole."""
    try:
        if path == STDIN:
            source = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                source = file.read(MAX_BYTES + 1)
    except OSError as exc:
        msg = f"{path}: {exc.strerror}"
        raise CommandError(msg, returncode=returncode) from exc
    # Here, because blanks alone would be read as the empty policy: deny all.
    if len(source) > MAX_BYTES:
        msg = f"{path}: longer than {MAX_BYTES} bytes"
        raise CommandError(msg, returncode=returncode)
    return source

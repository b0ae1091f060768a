"""Where a log's files come from: a directory, or a web server."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from audit.tlog.note import NoteError
from audit.tlog.report import MissingError
from audit.tlog.strict_json import strict_json

LOGS: Final = ("control", "connections")
TIMEOUT_SECONDS: Final = 30
MAX_FILE: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class LogFiles:
    """One log's files: below a directory, or below an http(s) address."""

    place: str
    name: str = ""

    def read(self, path: str) -> bytes:
        """Return a file; MissingError where there is none."""
        whole = "/".join(part for part in (self.place, self.name, path) if part)
        try:
            if not self.place.startswith(("https://", "http://")):
                return Path(whole).read_bytes()
            with urllib.request.urlopen(whole, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 -- http(s) only
                data: bytes = answer.read(MAX_FILE + 1)
        except urllib.error.HTTPError as exc:
            if exc.code in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
                raise MissingError(whole) from exc
            raise
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as exc:
            raise MissingError(whole) from exc
        if len(data) > MAX_FILE:
            raise NoteError(f"{whole} has more than {MAX_FILE} bytes")
        return data

    def lines(self, path: str) -> list[Any]:
        """Return the values of a file of JSON lines; none where there is no file."""
        try:
            text = self.read(path).decode()
        except MissingError:
            return []
        return [strict_json(line) for line in text.splitlines()]


def logs(place: str) -> list[LogFiles]:
    """Return the logs in a place: itself, or those of a whole export."""
    found = []
    for name in ("", *LOGS):
        files = LogFiles(place.rstrip("/"), name)
        try:
            files.read("checkpoint")
        except MissingError:
            continue
        found.append(files)
    return found

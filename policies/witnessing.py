"""What a gateway asks and tells as a witness of the logs, parsed. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from audit.models import Log
from policies.errors import AcknowledgementError

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZE: Final = re.compile(r"0|[1-9][0-9]{0,17}")
MAX_TEXT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which log, and how many leaves the witness has signed for."""

    log: Log
    old: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A signature under the checkpoint of a size, or the reason why there is none."""

    log: Log
    size: int = 0
    key: str = ""
    line: str = ""
    refused: str = ""


def parse_asked(query: Mapping[str, str]) -> Asked:
    """Read a query.

    Raises:
        AcknowledgementError: it is none.
    """
    if query.keys() != {"log", "old"}:
        raise AcknowledgementError("a witness asks for log and old")
    return Asked(log=_log(query["log"]), old=_size(query["old"]))


def parse_told(document: object) -> Told:
    """Read what a witness tells.

    Raises:
        AcknowledgementError: it is neither a signature nor a refusal.
    """
    match document:
        case {"log": str(log), "refused": str(reason), **rest} if not rest:
            return Told(log=_log(log), refused=_text(reason))
        case {"log": str(log), "size": str(size), "key": str(key), "line": str(line)}:
            return Told(
                log=_log(log), size=_size(size), key=_text(key), line=_text(line)
            )
        case _:
            raise AcknowledgementError("a witness tells a signature or a refusal")


def _log(name: str) -> Log:
    try:
        return Log(name)
    except ValueError as exc:
        raise AcknowledgementError("there is no such log") from exc


def _size(text: str) -> int:
    if not SIZE.fullmatch(text):
        raise AcknowledgementError("a size is a whole number")
    return int(text)


def _text(text: str) -> str:
    if not 0 < len(text) <= MAX_TEXT:
        raise AcknowledgementError(f"a text has 1 to {MAX_TEXT} characters")
    return text

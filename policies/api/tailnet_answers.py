"""What the ACL API answers, in the words its clients parse (ADR-0015).

An error is `{"message": …}`, with `data` where there is more to say. A problem that has
a place begins with `line N, column M: `, and a message is one line: tools look for
that form to point at the file.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from policies.dialect.errors import PolicyError as FileError
from policies.dialect.verdicts import FAILED, failures
from policies.policy_files.errors import (
    BrakeError,
    FailedTestsError,
    StaleFileError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policies.dialect.preview import Match
    from policies.dialect.verdicts import TestReport

HOW_TO_CONFIRM: Final = (
    "; look at the plan on the portal (manage.py policy plan), and confirm with"
    " ?confirm=true or the header Peerage-Confirm: true"
)


def error_output(error: Exception) -> tuple[dict[str, Any], HTTPStatus]:
    """Return the body and the status of a refusal."""
    match error:
        case StaleFileError():
            return {"message": str(error)}, HTTPStatus.PRECONDITION_FAILED
        case BrakeError():
            told = f"{error}{HOW_TO_CONFIRM}"
            return {"message": told}, HTTPStatus.CONFLICT
        case FailedTestsError():
            return tests_output(error.failed), HTTPStatus.BAD_REQUEST
        case FileError():
            first, *more = map(str, error.problems)
            data = {"data": [{"user": "", "errors": more}]} if more else {}
            return {"message": first, **data}, HTTPStatus.BAD_REQUEST
        case _:
            told = "; ".join(str(error).splitlines())
            return {"message": told}, HTTPStatus.BAD_REQUEST


def tests_output(reports: Iterable[TestReport]) -> dict[str, Any]:
    """Return which tests failed; nothing when all hold."""
    found = failures(reports)
    if not found:
        return {}
    return {
        "message": FAILED,
        "data": [
            {"user": source, "errors": list(texts)} for source, texts in found.items()
        ],
    }


def match_output(match: Match) -> dict[str, Any]:
    """Return a rule that concerns who or what was asked about."""
    found: dict[str, Any] = {
        "users": list(match.users),
        "ports": list(match.ports),
        "lineNumber": match.line,
        "postures": list(match.postures),
    }
    return {**found, "via": list(match.via)} if match.via else found

"""A client that goes everywhere, sends what fits there, and reports what it did.

Each request runs in a savepoint that is taken back, so every address meets the same
company. What the product does after a commit runs, too.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.core.cache import cache
from django.db import connection, transaction

from audit.models import AuditEvent
from tests.portal.console.confirming import EFFECT
from tests.walks.routes import PARAMETER
from tests.walks.tables import Ledger

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from django.test import Client

    from tests.walks.company import Company
    from tests.walks.lines import Line

METHODS: Final = ("get", "head", "options", "post", "put", "patch", "delete")
UNSAFE: Final = METHODS[3:]
JSON: Final = "application/json"
Commits: TypeAlias = "Callable[..., AbstractContextManager[Any]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request: what was answered, what changed, which events it left."""

    method: str
    address: str
    status: int
    changed: frozenset[str]
    codes: tuple[str, ...]

    def __str__(self) -> str:
        """Return it in one line, for whoever reads a failed walk."""
        tables = ", ".join(sorted(self.changed)) or "nothing"
        left = " ".join(self.codes) or "no event"
        return f"{self.method.upper()} {self.address} → {self.status}: {tables}; {left}"

    @property
    def is_silent(self) -> bool:
        """Return whether something changed and nobody was told."""
        return bool(self.changed) and not self.codes

    @property
    def is_closed(self) -> bool:
        """Return whether it was refused for who asked, or for how."""
        return self.status in {
            HTTPStatus.FORBIDDEN,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.METHOD_NOT_ALLOWED,
        }


class Walker:
    """Walks a company with one client."""

    def __init__(self, company: Company, client: Client, commits: Commits) -> None:
        """Take the state that every request meets."""
        self.company = company
        self.client = client
        self.commits = commits
        self.ledger = Ledger()

    def visits(self, route: str, line: Line) -> Iterator[Visit]:
        """Go to one address with every method."""
        address = self.address(route, line)
        for method in METHODS:
            yield self.visit(method, address, line)

    def address(self, route: str, line: Line) -> str:
        """Return a route with numbers of the company in it."""
        numbers = self.company.numbers | {
            name: find(self.company) for name, find in line.at.items()
        }
        return "/" + PARAMETER.sub(lambda found: str(numbers[found[1]]), route)

    def visit(self, method: str, address: str, line: Line | None = None) -> Visit:
        """Send one request, and take back what it did."""
        sent = {} if line is None else dict(line.sent(self.company))
        is_json = line is not None and line.is_json
        newest = _newest()
        with _taken_back(), self.ledger.watching() as changed:
            with self.commits(execute=True):
                answer = self._alone(
                    partial(self._send, method, address, sent, is_json=is_json)
                )
            made = AuditEvent.objects.filter(pk__gt=newest).order_by("pk")
            codes = tuple(f"{event} {event.reason}".strip() for event in made)
        return Visit(
            method=method,
            address=address,
            status=answer.status_code,
            changed=frozenset(changed),
            codes=codes,
        )

    def _alone(self, send: Callable[[], Any]) -> Any:  # noqa: ANN401 -- the client's answers are untyped
        """Send, and be afterwards who one was: signing out is taken back, too."""
        cookies = copy.deepcopy(self.client.cookies)
        try:
            return send()
        finally:
            self.client.cookies = cookies

    def _send(
        self, method: str, address: str, sent: dict[str, Any], *, is_json: bool
    ) -> Any:  # noqa: ANN401 -- the client's answers are untyped
        call = getattr(self.client, method)
        if method not in UNSAFE:
            return call(address)
        if is_json or method != "post":
            return call(address, json.dumps(sent), content_type=JSON)
        answer = call(address, sent)
        # What takes something from somebody is shown first, and sent again as shown.
        if found := EFFECT.search(_text(answer)):
            again = {**sent, "effect": found[1], "confirmed": "on"}
            answer = call(address, again)
        return answer


def _text(answer: Any) -> str:  # noqa: ANN401 -- the client's answers are untyped
    return "" if answer.streaming else answer.content.decode(errors="replace")


def _newest() -> int:
    return AuditEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


@contextmanager
def _taken_back() -> Iterator[None]:
    cache.clear()
    assert connection.in_atomic_block
    with transaction.atomic():
        yield
        transaction.set_rollback(True)

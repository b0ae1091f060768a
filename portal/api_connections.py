"""The API's connections: who reached what, and every grant that allowed it.

For readers in their browser; each reading is recorded as the pages' readings are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from audit import selectors as audit_selectors
from audit.errors import FilterError
from audit.exports import connection_values
from audit.models import Log
from audit.search.filters import Filter, connection_filter
from audit.services import record_query
from peers.holders import holders_at
from policies.allowing import AllowingReader, derived_columns, grants_of
from portal.accounts.actors import actor_of
from portal.api_questions import QuestionView
from portal.console import log
from portal.console.holders import HolderForm, holder_output

if TYPE_CHECKING:
    from rest_framework.request import Request

    from policies.allowing import AllowingGrants


class ConnectionLogView(QuestionView):
    """A view that records the readings of this log."""

    def record_reading(self, filters: Filter) -> None:
        """Record before the answer leaves."""
        record_query(
            log=Log.CONNECTIONS,
            filters=filters,
            actor=actor_of(self.person, self.http),
            now=self.now,
        )


class ConnectionsView(ConnectionLogView):
    """Connections, newest first: the filters of the page, and `?cursor=`."""

    def get(self, _request: Request) -> Response:
        """Answer one page, and where the next one begins."""
        self.reader()
        try:
            asked = log.question(self.http, connection_filter, timed=True)
        except FilterError as exc:
            raise ValidationError(
                {name: [told] for name, told in exc.messages.items()}
            ) from exc
        self.record_reading(asked.filters)
        found = audit_selectors.list_connections(asked.filters, cursor=asked.cursor)
        derived = derived_columns(AllowingReader())
        return Response(
            {
                "rows": [
                    {**connection_values(row), **derived.values(row)}
                    for row in found.items
                ],
                "older": str(found.older) if found.older else None,
            }
        )


class ConnectionView(ConnectionLogView):
    """One connection, with the grants that allowed it by name."""

    def get(self, _request: Request, connection_id: int) -> Response:
        """Answer with the grant of the record first."""
        self.reader()
        found = audit_selectors.get_connection(connection_id)
        self.record_reading(Filter(person=found.person_id, device=found.device_id))
        allowing = grants_of(found, AllowingReader())
        return Response({**connection_values(found), **_allowing_output(allowing)})


class HoldersView(QuestionView):
    """Who held an address, or a prefix, at a moment: `?address=&at=`."""

    def get(self, request: Request) -> Response:
        """Answer with device, person and key; also of what was in quarantine."""
        self.reader()
        form = HolderForm(request.query_params, now=self.now)
        if not form.is_valid():
            raise ValidationError(
                {name: [*map(str, told)] for name, told in form.errors.items()}
            )
        address, at = form.cleaned_data["address"], form.cleaned_data["at"]
        self.record("holder", {"address": address, "at": f"{at:%FT%TZ}"})
        found, is_all = holders_at(address, at)
        return Response(
            {
                "address": address,
                "at": at,
                "is_all": is_all,
                "rows": [holder_output(row) for row in found],
            }
        )


def _allowing_output(allowing: AllowingGrants) -> dict[str, Any]:
    return {
        "snapshot": allowing.generation or None,
        "also_allowed_by": (
            None
            if allowing.others is None
            else [{"id": ref.id, "name": ref.label} for ref in allowing.others]
        ),
        "also_allowed_doubt": allowing.doubt,
    }

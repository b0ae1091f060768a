"""Access requests as pages show them: where each stands, and what one may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from django.db.models import Q

from policies.models import RequestState
from policies.request_selectors import may_cancel, may_end, may_review

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from policies.models import AccessRequest
    from portal.accounts.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a request stands, and `moment`, the time that goes with it."""

    text: str
    colour: str
    moment: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A request in a list."""

    request: AccessRequest
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What one person may do about a request now."""

    review: bool
    cancel: bool
    end: bool


def standing(request: AccessRequest, now: datetime) -> Standing:
    """Return where a request stands at `now`, whether or not a sweep has seen it."""
    state = RequestState(request.state)
    match state:
        case RequestState.PENDING if request.answer_by > now:
            return Standing(text="waiting", colour="azure", moment=request.answer_by)
        case RequestState.PENDING | RequestState.EXPIRED:
            return Standing(text="expired", colour="orange", moment=request.answer_by)
        case RequestState.APPROVED:
            return _granted(request, now)
        case RequestState.REFUSED:
            return Standing(text="refused", colour="red", moment=request.decided_at)
        case RequestState.CANCELLED:
            return Standing(text="taken back", colour="secondary", moment=None)
        case _:
            assert_never(state)


def request_rows(rows: Iterable[AccessRequest], now: datetime) -> list[RequestRow]:
    """Return requests that came through the gate, in their order."""
    return [RequestRow(request=row, standing=standing(row, now)) for row in rows]


def choices_of(user: User, request: AccessRequest, now: datetime) -> Choices:
    """Return which buttons a person gets; the services judge again."""
    waits = request.is_pending and request.answer_by > now
    return Choices(
        review=waits and may_review(user, request),
        cancel=waits and may_cancel(user, request),
        end=standing(request, now).text == "granted" and may_end(user, request),
    )


def search_requests(
    rows: QuerySet[AccessRequest], *, words: str, state: str
) -> QuerySet[AccessRequest]:
    """Return the requests whose requester or reason contains `words`."""
    if state:
        rows = rows.filter(state=state)
    if words:
        rows = rows.filter(
            Q(requester__name__icontains=words)
            | Q(requester__email__icontains=words)
            | Q(reason__icontains=words)
        )
    return rows


def _granted(request: AccessRequest, now: datetime) -> Standing:
    grant = request.grant
    if grant is None:
        return Standing(text="approved", colour="green", moment=None)
    ended = grant.ended_at or grant.expires_at
    if ended is not None and ended <= now:
        return Standing(text="ended", colour="secondary", moment=ended)
    return Standing(text="granted", colour="green", moment=grant.expires_at)

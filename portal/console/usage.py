"""Pages of who could beside who did, for an application and for a person."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.core.paginator import Paginator
from django.views.decorators.http import require_safe

from audit.errors import FilterError
from audit.search.filters import connection_filter, with_period
from audit.services import NOBODY
from policies.selectors import get_application_for
from policies.services.inquiries import record_inquiry
from policies.usage import usage_of_application, usage_of_person
from portal.accounts.access import person as visitor
from portal.accounts.access import reader_required
from portal.accounts.selectors import get_user_for
from portal.console import log
from portal.console.log_forms import PeriodForm
from portal.console.pages import PAGE_SIZE, page

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.http import HttpResponse

    from audit.actor import Ref
    from audit.http import PortalRequest
    from policies.usage import Usage

USUAL: Final = timedelta(days=90)
"""What an access review looks back on, when nobody says otherwise."""


@require_safe
@reader_required
def used_application(request: PortalRequest, application_id: int) -> HttpResponse:
    application = get_application_for(visitor(request), application_id)
    return _told(
        request,
        title=f"Who could and who did: {application}",
        ask=lambda since, until: usage_of_application(
            application, since, until, now=request.received_at
        ),
        application=application.ref,
    )


@require_safe
@reader_required
def used_person(request: PortalRequest, user_id: int) -> HttpResponse:
    subject = get_user_for(visitor(request), user_id)
    return _told(
        request,
        title=f"What {subject} could and did",
        ask=lambda since, until: usage_of_person(
            subject, since, until, now=request.received_at
        ),
        person=subject.ref,
    )


def _told(
    request: PortalRequest,
    *,
    title: str,
    ask: Callable[[datetime, datetime], Usage],
    person: Ref = NOBODY,
    application: Ref = NOBODY,
) -> HttpResponse:
    try:
        since, until = _period(request)
    except FilterError as exc:
        form = PeriodForm(request.GET)
        log.explain(form, exc)
        return page(request, "usage.html", title=title, form=form, status=400)
    moments = {"since": f"{since:%FT%TZ}", "until": f"{until:%FT%TZ}"}
    record_inquiry(
        question="used",
        details=moments,
        actor=request.actor,
        now=request.received_at,
        person=person,
        application=application,
    )
    found = ask(since, until)
    shown = {
        "from": f"{since:%Y-%m-%dT%H:%M:%S}",
        "until": f"{until:%Y-%m-%dT%H:%M:%S}",
    }
    return page(
        request,
        "usage.html",
        title=title,
        form=PeriodForm(shown),
        since=since,
        until=until,
        period=f"from={shown['from']}&until={shown['until']}",
        pages=Paginator(found.rows, PAGE_SIZE).get_page(request.GET.get("page")),
        count=len(found.rows),
        candidates=len(found.candidates),
        notes=found.notes,
        sources=found.sources,
    )


def _period(request: PortalRequest) -> tuple[datetime, datetime]:
    """Return from when until when; the last ninety days when nobody says.

    Raises:
        FilterError: with a message for each parameter that is wrong.
    """
    now = request.received_at
    query = {name: request.GET.getlist(name) for name in request.GET if name != "page"}
    asked = connection_filter(with_period(query, now))
    until = min(asked.until or now, now)
    since = asked.since or until - USUAL
    if since >= until:
        raise FilterError({"from": "the period has not begun"})
    return since, until

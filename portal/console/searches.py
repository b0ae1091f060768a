"""Pages of saved searches: keeping one, the list of them, and removing one.

Administrators keep searches, for themselves or for everybody who reads the log. An
auditor changes nothing here (DESIGN §4): they use what is shared, and the address of a
page is a search that they may keep themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django import forms
from django.contrib import messages
from django.http import Http404
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from audit.errors import FilterError
from audit.models import Log
from audit.search.filters import connection_filter, event_filter
from audit.search.saved import (
    delete_search,
    get_search_for,
    list_searches_for,
    save_search,
)
from portal.accounts.access import administrator_required, person, reader_required
from portal.console import log as logs
from portal.console.forms import ConsoleForm
from portal.console.pages import page, paged, posted

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest

PARSERS: Final = {Log.CONTROL: event_filter, Log.CONNECTIONS: connection_filter}
PAGES: Final = {Log.CONTROL: "/audit/events/", Log.CONNECTIONS: "/audit/connections/"}


class SearchForm(ConsoleForm):
    """What a search is called, and who sees it."""

    name = forms.CharField(max_length=64)
    is_shared = forms.BooleanField(
        required=False, label="Share it with everybody who reads the log"
    )


@require_safe
@reader_required
def searches(request: PortalRequest) -> HttpResponse:
    me = person(request)
    rows = list_searches_for(me.ref)
    return page(
        request,
        "search_list.html",
        title="Saved searches",
        pages=paged(request, rows),
        me=me.ref.id,
        may_change=me.is_administrator,
    )


@require_http_methods(["GET", "POST"])
@administrator_required
def add_search(request: PortalRequest, log: str) -> HttpResponse:
    if log not in Log.values:
        raise Http404
    kind = Log(log)
    try:
        asked = logs.question(request, PARSERS[kind], timed=False)
    except FilterError as exc:
        raise Http404 from exc
    form = SearchForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            made = save_search(
                log=kind,
                filters=asked.filters,
                owner=person(request).ref,
                actor=request.actor,
                now=request.received_at,
                **form.cleaned_data,
            )
        except FilterError as exc:
            logs.explain(form, exc)
        else:
            messages.success(request, f"{made} is kept.")
            return redirect(f"{PAGES[kind]}?{made.query}")
    return page(
        request,
        "search_form.html",
        title="Keep a search",
        form=form,
        log=kind.label,
        chips=logs.chips(PAGES[kind], asked.filters, ()),
        back=f"{PAGES[kind]}?{asked.filters.query_string()}",
    )


@require_http_methods(["GET", "POST"])
@administrator_required
def remove_search(request: PortalRequest, search_id: int) -> HttpResponse:
    found = get_search_for(person(request).ref, search_id)
    if request.method == "POST":
        delete_search(search=found, actor=request.actor, now=request.received_at)
        messages.success(request, f"{found} is removed.")
        return redirect("console:searches")
    return page(
        request,
        "search_confirm_delete.html",
        title=f"Remove {found}",
        search=found,
    )

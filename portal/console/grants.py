"""Pages of grants."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from policies import selectors as policies_selectors
from policies import services as policies_services
from policies.errors import PolicyError
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.console import selectors
from portal.console.effects import Done, confirmed, is_asked_again
from portal.console.forms import GrantFilter
from portal.console.grant_forms import GrantForm
from portal.console.pages import page, paged, posted

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpResponse

    from audit.http import PortalRequest
    from policies.models import Grant, LabelGrant


@require_safe
@reader_required
def grants(request: PortalRequest) -> HttpResponse:
    form = GrantFilter(request.GET)
    form.is_valid()
    return page(
        request,
        "grant_list.html",
        title="Grants",
        form=form,
        pages=paged(request, _filtered(request, form)),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def add_grant(request: PortalRequest) -> HttpResponse:
    wanted = {
        name: request.GET.get(name)
        for name in ("person", "group", "application", "label")
    }
    form = GrantForm(posted(request), initial=wanted)
    is_sent = request.method == "POST" and not is_asked_again(request)
    if is_sent and form.is_valid():
        try:
            answer = confirmed(
                request,
                partial(_create, form.cleaned_data, request),
                title="Grant access",
                action="Grant",
                back="/manage/grants/",
            )
        except PolicyError as exc:
            form.add_error(None, str(exc))
        else:
            if not isinstance(answer, Done):
                return answer
            messages.success(request, f"Granted: {answer.result}.")
            return redirect("console:grants")
    return page(request, "grant_form.html", title="Grant access", form=form)


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def end_grant(request: PortalRequest, grant_id: int) -> HttpResponse:
    found = policies_selectors.get_grant_to_change_for(person(request), grant_id)
    if found.ended_at is not None:
        messages.info(request, "This grant has ended already.")
        return redirect("console:grants")
    if found.source_id is not None:
        return redirect("console:end_label_grant", label_grant_id=found.source_id)
    answer = confirmed(
        request,
        partial(
            policies_services.end_grant,
            grant=found,
            actor=request.actor,
            now=request.received_at,
        ),
        template="grant_confirm_end.html",
        title="End a grant",
        action="End the grant",
        back="/manage/grants/",
        grant=found,
        destinations=found.application.destinations.all(),
    )
    if not isinstance(answer, Done):
        return answer
    messages.success(request, f"Ended: {found}.")
    return redirect("console:grants")


def _create(data: dict[str, Any], request: PortalRequest) -> Grant | LabelGrant:
    terms = {
        "user": data["person"],
        "group": data["group"],
        "not_before": request.received_at,
        "expires_at": data["expires_at"],
        "conditions": data["conditions"],
        "reason": data["reason"],
        "actor": request.actor,
        "now": request.received_at,
    }
    if data["label"]:
        return policies_services.create_label_grant(label=data["label"], **terms)
    return policies_services.create_grant(application=data["application"], **terms)


def _filtered(request: PortalRequest, form: GrantFilter) -> QuerySet[Grant]:
    rows = policies_selectors.list_grants_for(person(request))
    live = selectors.live_grants(rows, request.received_at)
    match form.cleaned_data.get("state"):
        case "all":
            pass
        case "ended":
            rows = rows.exclude(pk__in=live.order_by().values("pk"))
        case _:
            rows = live
    if application := form.cleaned_data.get("application"):
        rows = rows.filter(application=application)
    if label := form.cleaned_data.get("label"):
        rows = rows.filter(source__label=label)
    return rows

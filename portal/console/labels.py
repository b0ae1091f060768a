"""Pages of labels: which applications bear them, and who is granted those."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from audit.events import EventCode
from policies import label_selectors
from policies import services as policies_services
from policies.errors import PolicyError
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.console import selectors
from portal.console.effects import Done, confirmed
from portal.console.forms import LabelForm
from portal.console.pages import page, paged, posted
from portal.console.refusals import is_accepted

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest


@require_safe
@reader_required
def labels(request: PortalRequest) -> HttpResponse:
    rows = label_selectors.list_labels_for(person(request))
    return page(
        request,
        "label_list.html",
        title="Labels",
        pages=paged(request, selectors.with_label_counts(rows, request.received_at)),
    )


@require_safe
@reader_required
def label(request: PortalRequest, label_id: int) -> HttpResponse:
    found = label_selectors.get_label_for(person(request), label_id)
    grants = found.grants.select_related("user", "group", "label")
    return page(
        request,
        "label_detail.html",
        title=str(found),
        label=found,
        applications=found.applications.prefetch_related("gateways"),
        grants=selectors.live_grants(grants, request.received_at),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def add_label(request: PortalRequest) -> HttpResponse:
    form = LabelForm(posted(request))
    if request.method == "POST" and is_accepted(request, form, EventCode.LABEL_CREATE):
        try:
            made = policies_services.create_label(
                name=form.cleaned_data["name"],
                actor=request.actor,
                now=request.received_at,
            )
        except PolicyError as exc:
            form.add_error("name", str(exc))
        else:
            messages.success(request, f"{made} is made; no application bears it yet.")
            return redirect("console:label", label_id=made.pk)
    return page(request, "label_form.html", title="Make a label", form=form)


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def delete_label(request: PortalRequest, label_id: int) -> HttpResponse:
    found = label_selectors.get_label_to_change_for(person(request), label_id)
    problem = ""
    if request.method == "POST":
        try:
            policies_services.delete_label(
                label=found, actor=request.actor, now=request.received_at
            )
        except PolicyError as exc:
            problem = str(exc)
        else:
            messages.success(request, f"{found} is removed.")
            return redirect("console:labels")
    return page(
        request,
        "label_confirm_delete.html",
        title=f"Remove {found}",
        label=found,
        applications=found.applications.all(),
        was_granted=found.grants.exists(),
        problem=problem,
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def end_label_grant(request: PortalRequest, label_grant_id: int) -> HttpResponse:
    found = label_selectors.get_label_grant_to_change_for(
        person(request), label_grant_id
    )
    if found.ended_at is not None:
        messages.info(request, "This grant has ended already.")
        return redirect("console:label", label_id=found.label_id)
    answer = confirmed(
        request,
        partial(
            policies_services.end_label_grant,
            grant=found,
            actor=request.actor,
            now=request.received_at,
        ),
        template="label_grant_confirm_end.html",
        title="End the grant of a label",
        action="End the grant",
        back=f"/manage/labels/{found.label_id}/",
        grant=found,
        derived=found.grants.filter(ended_at=None).select_related("application"),
    )
    if not isinstance(answer, Done):
        return answer
    messages.success(request, f"Ended: {found}.")
    return redirect("console:label", label_id=found.label_id)

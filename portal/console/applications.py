"""Pages of applications."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from audit.events import EventCode
from policies import lock_selectors
from policies import selectors as policies_selectors
from policies import services as policies_services
from policies.application_terms import limit_text
from policies.errors import InvalidDestinationError, InvalidTermsError, PolicyError
from policies.resolutions import fresh_reports, told_names
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.console import selectors
from portal.console.effects import Done, confirmed, is_asked_again
from portal.console.forms import ApplicationForm
from portal.console.pages import page, paged, posted
from portal.console.refusals import is_accepted

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpResponse

    from audit.http import PortalRequest
    from policies.models import Application, Grant


@require_safe
@reader_required
def applications(request: PortalRequest) -> HttpResponse:
    rows = policies_selectors.list_applications_for(person(request))
    return page(
        request,
        "application_list.html",
        title="Applications",
        pages=paged(request, selectors.with_grant_counts(rows, request.received_at)),
    )


@require_safe
@reader_required
def application(request: PortalRequest, application_id: int) -> HttpResponse:
    found = policies_selectors.get_application_for(person(request), application_id)
    destinations, gateways = [*found.destinations.all()], [*found.gateways.all()]
    return page(
        request,
        "application_detail.html",
        title=found.name,
        application=found,
        destinations=destinations,
        gateways=gateways,
        names=told_names(
            (place.host_name for place in destinations),
            gateways,
            fresh_reports(gateways, now=request.received_at),
        ),
        labels=found.labels.all(),
        limit=limit_text(found.strictness),
        grants=_live_grants(request, found),
        locks=lock_selectors.locks_on(found, now=request.received_at),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def add_application(request: PortalRequest) -> HttpResponse:
    form = ApplicationForm(posted(request))
    is_sent = request.method == "POST" and not is_asked_again(request)
    if is_sent and is_accepted(request, form, EventCode.APPLICATION_CREATE):
        try:
            answer = confirmed(
                request,
                partial(
                    policies_services.create_application,
                    **form.cleaned_data,
                    actor=request.actor,
                    now=request.received_at,
                ),
                title="Describe an application",
                action="Describe it",
                back="/manage/applications/",
            )
        except PolicyError as exc:
            _explain(form, exc)
        else:
            if not isinstance(answer, Done):
                return answer
            made = answer.result
            messages.success(request, f"{made.name} is described.")
            return redirect("console:application", application_id=made.pk)
    return page(
        request,
        "application_form.html",
        title="Describe an application",
        form=form,
        back="/manage/applications/",
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def edit_application(request: PortalRequest, application_id: int) -> HttpResponse:
    found = policies_selectors.get_application_to_change_for(
        person(request), application_id
    )
    form = ApplicationForm(posted(request), initial=_initial(found))
    is_sent = request.method == "POST" and not is_asked_again(request)
    if is_sent and is_accepted(
        request, form, EventCode.APPLICATION_UPDATE, application=found.ref
    ):
        try:
            answer = confirmed(
                request,
                partial(
                    policies_services.update_application,
                    application=found,
                    **form.cleaned_data,
                    actor=request.actor,
                    now=request.received_at,
                ),
                title=f"Change {found.name}",
                action="Change it",
                back=f"/manage/applications/{found.pk}/",
            )
        except PolicyError as exc:
            _explain(form, exc)
        else:
            if not isinstance(answer, Done):
                return answer
            messages.success(request, f"{found.name} is changed.")
            return redirect("console:application", application_id=found.pk)
    return page(
        request,
        "application_form.html",
        title=f"Change {found.name}",
        form=form,
        back=f"/manage/applications/{found.pk}/",
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def delete_application(request: PortalRequest, application_id: int) -> HttpResponse:
    found = policies_selectors.get_application_to_change_for(
        person(request), application_id
    )
    problem = ""
    if request.method == "POST":
        try:
            policies_services.delete_application(
                application=found, actor=request.actor, now=request.received_at
            )
        except PolicyError as exc:
            problem = str(exc)
        else:
            messages.success(request, f"{found.name} is removed.")
            return redirect("console:applications")
    return page(
        request,
        "application_confirm_delete.html",
        title=f"Remove {found.name}",
        application=found,
        grants=_live_grants(request, found),
        was_granted=found.grants.exists(),
        problem=problem,
    )


def _live_grants(request: PortalRequest, found: Application) -> QuerySet[Grant]:
    grants = policies_selectors.list_grants_for(person(request))
    return selectors.live_grants(grants.filter(application=found), request.received_at)


def _initial(application: Application) -> dict[str, object]:
    return {
        "name": application.name,
        "description": application.description,
        "destinations": "\n".join(map(str, application.destinations.all())),
        "gateways": application.gateways.all(),
        "labels": application.labels.all(),
        "max_staleness": application.max_staleness,
        "evidence": application.evidence,
    }


def _explain(form: ApplicationForm, error: PolicyError) -> None:
    match error:
        case InvalidDestinationError():
            form.add_error("destinations", str(error))
        case InvalidTermsError():
            form.add_error("max_staleness", str(error))
        case _:
            form.add_error(None, str(error))

"""Pages of access requests: asking, waiting, answering."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from policies import request_selectors, review_selectors
from policies import selectors as policies_selectors
from policies import services as policies_services
from policies.errors import PolicyError
from portal.accounts.access import (
    administrator_required,
    changer_required,
    person,
    reader_required,
    recent_authentication_required,
    signed_in,
)
from portal.console.effects import Done, confirmed
from portal.console.pages import page, paged, posted
from portal.console.request_forms import (
    ApproveForm,
    AskForm,
    RefuseForm,
    RequestFilter,
    RequestRulesForm,
)
from portal.console.request_rows import (
    choices_of,
    request_rows,
    search_requests,
    standing,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpResponse

    from audit.http import PortalRequest
    from policies.models import AccessRequest, Application


@require_safe
@signed_in
def my_requests(request: PortalRequest) -> HttpResponse:
    user = person(request)
    pages = paged(request, request_selectors.list_own_requests(user))
    return page(
        request,
        "request_mine.html",
        title="My requests",
        pages=pages,
        rows=request_rows(pages, request.received_at),
        answers=request_selectors.reviewable_by(user).exists(),
        reviews=review_selectors.waiting_for(user).exists(),
    )


@require_safe
@changer_required
def requestable(request: PortalRequest) -> HttpResponse:
    rows = request_selectors.list_requestable_for(
        person(request), now=request.received_at
    )
    return page(
        request,
        "request_choose.html",
        title="Request access",
        pages=paged(request, rows),
    )


@require_http_methods(["GET", "POST"])
@changer_required
def ask(request: PortalRequest, application_id: int) -> HttpResponse:
    user = person(request)
    found = request_selectors.get_requestable_for(
        user, application_id, now=request.received_at
    )
    form = AskForm(posted(request))
    if made := _made(request, found, form):
        messages.success(request, f"You asked for {found}.")
        return redirect("console:request", request_id=made.pk)
    return page(
        request, "request_form.html", title=f"Request {found}", form=form, wanted=found
    )


@require_safe
@signed_in
def inbox(request: PortalRequest) -> HttpResponse:
    rows = request_selectors.list_requests_to_review_for(
        person(request), now=request.received_at
    )
    pages = paged(request, rows)
    return page(request, "request_inbox.html", title="To answer", pages=pages)


@require_safe
@signed_in
def access_request(request: PortalRequest, request_id: int) -> HttpResponse:
    user = person(request)
    found = request_selectors.get_request_for(user, request_id)
    return page(
        request,
        "request_detail.html",
        title=str(found.application),
        found=found,
        standing=standing(found, request.received_at),
        choices=choices_of(user, found, request.received_at),
        reviews=found.reviews.select_related("reviewer"),
        needed=policies_services.approvals_needed(found),
    )


@require_http_methods(["GET", "POST"])
@signed_in
def cancel_request(request: PortalRequest, request_id: int) -> HttpResponse:
    found = request_selectors.get_request_to_cancel_for(person(request), request_id)
    if request.method == "POST":
        try:
            policies_services.cancel_request(
                request=found, actor=request.actor, now=request.received_at
            )
        except PolicyError as exc:
            messages.error(request, f"Nothing was changed: {exc}.")
        else:
            messages.success(request, f"You no longer ask for {found.application}.")
        return redirect("console:requests")
    return page(
        request, "request_confirm_cancel.html", title="Take a request back", found=found
    )


@require_http_methods(["GET", "POST"])
@signed_in
@recent_authentication_required()
def approve_request(request: PortalRequest, request_id: int) -> HttpResponse:
    found = request_selectors.get_request_to_review_for(person(request), request_id)
    form = ApproveForm(posted(request))
    is_ready = request.method == "POST" and form.is_valid()
    try:
        answer = _in_sight(
            request,
            partial(
                policies_services.approve_request,
                request=found,
                reviewer=person(request),
                note=form.cleaned_data["note"] if is_ready else "",
                actor=request.actor,
                now=request.received_at,
            ),
            is_ready=is_ready,
            **_approval(request, found, form),
        )
    except PolicyError as exc:
        if not form.is_bound:
            messages.info(request, f"Nothing to approve: {exc}.")
            return redirect("console:request", request_id=found.pk)
        form.add_error(None, str(exc))
        context = _approval(request, found, form)
        return page(request, context.pop("template"), **context)
    if not isinstance(answer, Done):
        return answer
    messages.success(request, _said(answer.result))
    return redirect("console:inbox")


@require_http_methods(["GET", "POST"])
@signed_in
def refuse_request(request: PortalRequest, request_id: int) -> HttpResponse:
    found = request_selectors.get_request_to_review_for(person(request), request_id)
    form = RefuseForm(posted(request))
    if _answered(request, found, form, policies_services.refuse_request):
        messages.success(request, f"Refused: {found}.")
        return redirect("console:inbox")
    return page(
        request,
        "request_confirm_refuse.html",
        title=f"Refuse: {found}",
        form=form,
        found=found,
    )


@require_http_methods(["GET", "POST"])
@signed_in
def end_request(request: PortalRequest, request_id: int) -> HttpResponse:
    found = request_selectors.get_request_to_end_for(person(request), request_id)
    if standing(found, request.received_at).text != "granted":
        messages.info(request, "Nothing is granted by this request now.")
        return redirect("console:request", request_id=found.pk)
    answer = _in_sight(
        request,
        partial(
            policies_services.end_requested_access,
            request=found,
            actor=request.actor,
            now=request.received_at,
        ),
        is_ready=request.method == "POST",
        template="request_confirm_end.html",
        title="End access",
        action="End access",
        back=reverse("console:request", args=(found.pk,)),
        found=found,
        destinations=found.application.destinations.all(),
    )
    if not isinstance(answer, Done):
        return answer
    messages.success(request, f"Ended: {found}.")
    return redirect("console:request", request_id=found.pk)


@require_safe
@reader_required
def manage_requests(request: PortalRequest) -> HttpResponse:
    form = RequestFilter(request.GET)
    form.is_valid()
    pages = paged(request, _filtered(request, form))
    return page(
        request,
        "request_list.html",
        title="Requests",
        form=form,
        pages=pages,
        rows=request_rows(pages, request.received_at),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def edit_request_rules(request: PortalRequest, application_id: int) -> HttpResponse:
    found = policies_selectors.get_application_to_change_for(
        person(request), application_id
    )
    form = RequestRulesForm(posted(request), initial=_rules(found))
    if _changed(request, found, form):
        messages.success(request, f"The rules of {found} are changed.")
        return redirect("console:application", application_id=found.pk)
    return page(
        request,
        "request_rules_form.html",
        title=f"Requests for {found}",
        form=form,
        application=found,
    )


def _filtered(request: PortalRequest, form: RequestFilter) -> QuerySet[AccessRequest]:
    data = form.cleaned_data
    rows = search_requests(
        request_selectors.list_requests_for(person(request)),
        words=data.get("q", ""),
        state=data.get("state", ""),
    )
    if application := data.get("application"):
        rows = rows.filter(application=application)
    return rows


def _made(
    request: PortalRequest, found: Application, form: AskForm
) -> AccessRequest | None:
    """Ask as the form says; None, and why on the form, when that is refused."""
    if request.method != "POST" or not form.is_valid():
        return None
    try:
        return policies_services.request_access(
            application=found,
            requester=person(request),
            reason=form.cleaned_data["reason"],
            duration=form.duration,
            actor=request.actor,
            now=request.received_at,
        )
    except PolicyError as exc:
        form.add_error(None, str(exc))
        return None


def _answered(
    request: PortalRequest,
    found: AccessRequest,
    form: ApproveForm | RefuseForm,
    service: Callable[..., AccessRequest],
) -> AccessRequest | None:
    """Answer as the form says; None, and why on the form, when that is refused."""
    if request.method != "POST" or not form.is_valid():
        return None
    try:
        return service(
            request=found,
            reviewer=person(request),
            note=form.cleaned_data["note"],
            actor=request.actor,
            now=request.received_at,
        )
    except PolicyError as exc:
        form.add_error(None, str(exc))
        return None


def _in_sight(
    request: PortalRequest,
    change: Callable[[], AccessRequest],
    *,
    is_ready: bool,
    template: str,
    **context: Any,  # noqa: ANN401 -- finished values for the template
) -> HttpResponse | Done[AccessRequest]:
    """Make a change to a request; administrators confirm what they see it do.

    Of others whom it concerns: who else reaches something is not theirs to know.
    """
    if person(request).is_administrator:
        return confirmed(request, change, template=template, **context)
    if is_ready:
        return Done(change())
    return page(request, template, **context)


def _approval(
    request: PortalRequest, found: AccessRequest, form: ApproveForm
) -> dict[str, Any]:
    return {
        "template": "request_confirm_approve.html",
        "title": f"Approve: {found}",
        "action": "Approve",
        "back": reverse("console:request", args=(found.pk,)),
        "form": form,
        "found": found,
        "destinations": found.application.destinations.all(),
        "until": request.received_at + found.duration,
        "is_last": _approvals(found) + 1 >= policies_services.approvals_needed(found),
    }


def _changed(
    request: PortalRequest, found: Application, form: RequestRulesForm
) -> bool:
    if request.method != "POST" or not form.is_valid():
        return False
    data = dict(form.cleaned_data)
    owner = data.pop("person")
    try:
        policies_services.update_request_rules(
            application=found,
            owner=owner,
            **data,
            actor=request.actor,
            now=request.received_at,
        )
    except PolicyError as exc:
        form.add_error("person", str(exc))
        return False
    return True


def _rules(application: Application) -> dict[str, object]:
    rules = {name: getattr(application, name) for name in RequestRulesForm.RULES}
    return {
        **rules,
        "person": application.owner.ref.id if application.owner else "",
    }


def _approvals(found: AccessRequest) -> int:
    return found.reviews.filter(is_approval=True).count()


def _said(done: AccessRequest) -> str:
    if done.grant is None:
        return f"Approved: {done}. It needs one more approval."
    return f"Approved: {done}, until {done.grant.expires_at:%Y-%m-%d %H:%M} UTC."

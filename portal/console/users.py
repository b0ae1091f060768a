"""Pages of people: the list, one person, and the end or return of their access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html_join
from django.views.decorators.http import require_http_methods, require_safe

from audit.models import Log
from audit.retention.forgetting import is_forgotten
from audit.retention.holds import holds_on
from audit.search.filters import Filter
from audit.services import record_query
from peers import selectors as peers_selectors
from policies import lock_selectors
from policies import selectors as policies_selectors
from portal import revocation
from portal.accounts import selectors as accounts_selectors
from portal.accounts import services as accounts_services
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.accounts.errors import ForgottenError
from portal.console import selectors
from portal.console.forms import ManyForm, ReasonForm, UserFilter
from portal.console.pages import page, paged, posted
from portal.many import what_ends

if TYPE_CHECKING:
    from audit.http import PortalRequest

PEOPLE_SHOWN: Final = 200


@require_safe
@reader_required
def manage_users(request: PortalRequest) -> HttpResponse:
    form = UserFilter(request.GET)
    form.is_valid()
    users = selectors.search_users(
        accounts_selectors.list_users_for(person(request)),
        words=form.cleaned_data.get("q", ""),
        state=form.cleaned_data.get("state", ""),
    )
    return page(
        request,
        "user_list.html",
        title="Users",
        form=form,
        pages=paged(request, selectors.with_device_counts(users)),
    )


@require_safe
@reader_required
def user(request: PortalRequest, user_id: int) -> HttpResponse:
    found = accounts_selectors.get_user_for(person(request), user_id)
    devices = peers_selectors.list_devices_for(found)
    record_query(
        log=Log.CONNECTIONS,
        filters=Filter(person=found.ref.id),
        actor=request.actor,
        now=request.received_at,
    )
    return page(
        request,
        "user_detail.html",
        title=str(found),
        subject=found,
        groups=found.groups.all(),
        rows=selectors.device_rows(devices, request.received_at),
        grants=policies_selectors.live_grants_of(
            found, now=request.received_at
        ).select_related("user", "group", "application", "source__label"),
        sessions=UserSession.objects.filter(user=found).order_by("-last_seen_at"),
        connections=selectors.connections_of(found.ref.id),
        revocations=found.revocations.all(),
        holds=holds_on(found.ref.id),
        is_forgotten=is_forgotten(found.ref.id),
        locks=lock_selectors.locks_on(found, now=request.received_at),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def revoke_user(request: PortalRequest, user_id: int) -> HttpResponse:
    found = accounts_selectors.get_user_for(person(request), user_id)
    form = ReasonForm(posted(request))
    if request.method == "POST" and form.is_valid():
        done = revocation.revoke_user(
            user=found,
            reason=form.cleaned_data["reason"],
            actor=request.actor,
            requested_at=request.received_at,
            now=request.received_at,
        )
        return redirect("console:revocation", revocation_id=done.pk)
    devices = peers_selectors.list_devices_for(found).filter(state="active")
    return page(
        request,
        "user_confirm_revoke.html",
        title=f"Revoke {found}",
        subject=found,
        rows=selectors.device_rows(devices, request.received_at),
        sessions=UserSession.objects.filter(user=found),
        access=policies_selectors.my_access(found, request.received_at),
        form=form,
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def revoke_users(request: PortalRequest) -> HttpResponse:
    form = ManyForm(posted(request))
    ends = None
    if request.method == "POST" and form.is_valid():
        found = form.cleaned_data["people"]
        ends = what_ends(found)
        if form.cleaned_data["count"] == ends.people:
            revocation.revoke_users(
                users=found,
                reason=form.cleaned_data["reason"],
                actor=request.actor,
                requested_at=request.received_at,
                now=request.received_at,
            )
            return redirect("console:revocations")
    return page(
        request,
        "user_confirm_revoke_many.html",
        title="Revoke many people",
        form=form,
        ends=ends,
        people=form.cleaned_data["people"][:PEOPLE_SHOWN] if ends else (),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def reactivate_user(request: PortalRequest, user_id: int) -> HttpResponse:
    found = accounts_selectors.get_user_for(person(request), user_id)
    form = ReasonForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            accounts_services.reactivate_user(
                user=found,
                reason=form.cleaned_data["reason"],
                actor=request.actor,
                now=request.received_at,
            )
        except ForgottenError as exc:
            messages.error(request, str(exc))
        else:
            told = f"{found} may sign in again and enrol new devices."
            messages.success(request, told)
        return redirect("console:user", user_id=found.pk)
    return page(
        request,
        "user_confirm_reactivate.html",
        title=f"Enable {found}",
        subject=found,
        form=form,
    )


@require_safe
@reader_required
def suggest_users(request: PortalRequest) -> HttpResponse:
    """Answer a form's search with the first people that fit, as options."""
    words = request.GET.get("person", "").strip()
    people = accounts_selectors.list_users_for(person(request))
    found = selectors.search_users(people, words=words, state="")[:10] if words else ()
    return HttpResponse(
        format_html_join(
            "",
            '<option value="{} ({})">{}</option>',
            ((user, user.ref.id, user.email) for user in found),
        )
    )

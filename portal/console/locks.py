"""Pages of locks: the list, making one with its effect in sight, lifting one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import Http404
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from peers import selectors as peers_selectors
from policies import lock_selectors
from policies import selectors as policies_selectors
from policies import services as policies_services
from policies.errors import PolicyError
from policies.lock_effect import effect_of_lifting, effect_of_locking
from policies.locked import live_locks
from portal.accounts import selectors as accounts_selectors
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.console.lock_forms import LockFilter, LockForm, LockTargetForm
from portal.console.pages import page, paged, posted

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpResponse

    from audit.http import PortalRequest
    from policies.models import Lock, Lockable
    from portal.accounts.models import User


@require_safe
@reader_required
def locks(request: PortalRequest) -> HttpResponse:
    form = LockFilter(request.GET)
    form.is_valid()
    return page(
        request,
        "lock_list.html",
        title="Locks",
        form=form,
        now=request.received_at,
        pages=paged(request, _filtered(request, form)),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def choose_lock(request: PortalRequest) -> HttpResponse:
    form = LockTargetForm(posted(request))
    if request.method == "POST" and form.is_valid():
        kind, target = form.chosen
        return redirect("console:add_lock", kind=kind, target_id=target.pk)
    return page(request, "lock_choose.html", title="Lock", form=form)


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def add_lock(request: PortalRequest, kind: str, target_id: int) -> HttpResponse:
    target = _target(person(request), kind, target_id)
    form = LockForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            made = policies_services.create_lock(
                target=target,
                message=form.cleaned_data["message"],
                expires_at=form.cleaned_data["expires_at"],
                actor=request.actor,
                now=request.received_at,
            )
        except PolicyError as exc:
            form.add_error(None, str(exc))
        else:
            messages.success(request, f"Locked: {made}.")
            return redirect("console:locks")
    return page(
        request,
        "lock_confirm_add.html",
        title=f"Lock {target}",
        kind=kind,
        target=target,
        form=form,
        effect=effect_of_locking(target, kind, now=request.received_at),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def lift_lock(request: PortalRequest, lock_id: int) -> HttpResponse:
    found = lock_selectors.get_lock_to_change_for(person(request), lock_id)
    if found.lifted_at is not None:
        messages.info(request, "This lock has been lifted already.")
        return redirect("console:locks")
    if request.method == "POST":
        policies_services.lift_lock(
            lock=found, actor=request.actor, now=request.received_at
        )
        messages.success(request, f"Lifted the lock on {found}.")
        return redirect("console:locks")
    return page(
        request,
        "lock_confirm_lift.html",
        title="Lift a lock",
        lock=found,
        effect=effect_of_lifting(found, now=request.received_at),
    )


def _target(viewer: User, kind: str, target_id: int) -> Lockable:
    match kind:
        case "user":
            return accounts_selectors.get_user_for(viewer, target_id)
        case "device":
            return peers_selectors.get_device_for(viewer, target_id)
        case "application":
            return policies_selectors.get_application_for(viewer, target_id)
        case "gateway":
            return peers_selectors.get_gateway_for(viewer, target_id)
    groups = accounts_selectors.list_groups_for(viewer)
    found = groups.filter(pk=target_id).first() if kind == "group" else None
    if found is None:
        raise Http404
    return found


def _filtered(request: PortalRequest, form: LockFilter) -> QuerySet[Lock]:
    rows = lock_selectors.list_locks_for(person(request))
    live = live_locks(request.received_at).order_by().values("pk")
    match form.cleaned_data.get("state"):
        case "all":
            return rows
        case "ended":
            return rows.exclude(pk__in=live)
        case _:
            return rows.filter(pk__in=live)

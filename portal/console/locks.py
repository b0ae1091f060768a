"""Pages of locks: the list, making one with its effect in sight, lifting one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from policies import lock_selectors
from policies import services as policies_services
from policies.errors import PolicyError
from policies.lock_effect import effect_of_lifting, effect_of_locking
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.console.lock_forms import LockFilter, LockForm, LockTargetForm
from portal.console.pages import page, paged, posted

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest


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
        pages=paged(
            request,
            lock_selectors.list_locks_in_state_for(
                person(request),
                form.cleaned_data.get("state", ""),
                now=request.received_at,
            ),
        ),
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
    target = lock_selectors.get_lockable_for(person(request), kind, target_id)
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

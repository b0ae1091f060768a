"""Pages of locks: the list, making one with its effect in sight, lifting one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from policies import lock_selectors
from policies import services as policies_services
from policies.errors import PolicyError
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.console.effects import Done, confirmed
from portal.console.lock_forms import LockFilter, LockForm, LockTargetForm
from portal.console.pages import page, paged, posted

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest
    from policies.models import Lock

UNSAID: Final = "?"
"""Stands for the message while a lock is only tried."""


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
    asking = partial(
        confirmed,
        request,
        title=f"Lock {target}",
        action="Lock now",
        back="/manage/locks/",
        template="lock_confirm_add.html",
        form=form,
        kind=kind,
        target=target,
    )
    locking = partial(
        policies_services.create_lock,
        target=target,
        actor=request.actor,
        now=request.received_at,
    )
    answer: HttpResponse | Done[Lock]
    try:
        if request.method == "POST" and form.is_valid():
            answer = asking(partial(locking, **form.cleaned_data))
        else:
            answer = asking(partial(locking, message=UNSAID))
    except PolicyError as exc:
        form.add_error(None, str(exc))
        answer = asking(partial(locking, message=UNSAID))
    if not isinstance(answer, Done):
        return answer
    messages.success(request, f"Locked: {answer.result}.")
    return redirect("console:locks")


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def lift_lock(request: PortalRequest, lock_id: int) -> HttpResponse:
    found = lock_selectors.get_lock_to_change_for(person(request), lock_id)
    if found.lifted_at is not None:
        messages.info(request, "This lock has been lifted already.")
        return redirect("console:locks")
    answer = confirmed(
        request,
        partial(
            policies_services.lift_lock,
            lock=found,
            actor=request.actor,
            now=request.received_at,
        ),
        title="Lift a lock",
        action="Lift the lock",
        back="/manage/locks/",
        template="lock_confirm_lift.html",
        lock=found,
    )
    if not isinstance(answer, Done):
        return answer
    messages.success(request, f"Lifted the lock on {found}.")
    return redirect("console:locks")

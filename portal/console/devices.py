"""Pages of devices: one's own, and everybody's for readers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from audit.events import EventCode
from peers import selectors as peers_selectors
from peers import services as peers_services
from peers.errors import PeerError
from policies import lock_selectors
from policies import selectors as policies_selectors
from policies.sighting_selectors import latest_sightings
from portal.accounts.access import (
    administrator_required,
    changer_required,
    person,
    reader_required,
    recent_authentication_required,
    signed_in,
)
from portal.console import selectors
from portal.console.effects import Done, confirmed
from portal.console.forms import DeviceFilter, DeviceForm, NameForm, ReasonForm
from portal.console.pages import page, paged, posted
from portal.console.refusals import is_accepted

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest


@require_safe
@signed_in
def my_devices(request: PortalRequest) -> HttpResponse:
    devices = peers_selectors.list_devices_for(person(request))
    rows = selectors.device_rows(devices, request.received_at)
    return page(
        request,
        "device_list.html",
        title="My devices",
        live=[row for row in rows if row.device.is_active],
        past=[row for row in rows if not row.device.is_active],
        locks=lock_selectors.locks_told_to(person(request), now=request.received_at),
    )


@require_safe
@changer_required
def add_device(request: PortalRequest) -> HttpResponse:
    return page(request, "device_add.html", title="Add a device", form=DeviceForm())


@require_safe
@signed_in
def device(request: PortalRequest, device_id: int) -> HttpResponse:
    viewer = person(request)
    found = peers_selectors.get_device_for(viewer, device_id)
    is_mine = found.owner_id == viewer.pk
    return page(
        request,
        "device_detail.html",
        title=found.name,
        row=selectors.device_rows([found], request.received_at)[0],
        keys=found.keys.all(),
        access=policies_selectors.my_access(found.owner, request.received_at),
        is_mine=is_mine,
        tunnels=latest_sightings(found),
        locks=lock_selectors.locks_on(found, now=request.received_at),
        may_change=found.is_active and peers_selectors.may_change(viewer, found),
    )


@require_http_methods(["GET", "POST"])
@signed_in
def rename_device(request: PortalRequest, device_id: int) -> HttpResponse:
    found = peers_selectors.get_device_to_change_for(person(request), device_id)
    form = NameForm(posted(request), initial={"name": found.name})
    if request.method == "POST" and is_accepted(
        request, form, EventCode.DEVICE_UPDATE, device=found.ref
    ):
        try:
            peers_services.rename_device(
                device=found,
                name=form.cleaned_data["name"],
                actor=request.actor,
                now=request.received_at,
            )
        except PeerError as exc:
            form.add_error("name", str(exc))
        else:
            return redirect("console:device", device_id=found.pk)
    title = f"Rename {found.name}"
    return page(request, "device_form.html", title=title, device=found, form=form)


@require_http_methods(["GET", "POST"])
@signed_in
def revoke_device(request: PortalRequest, device_id: int) -> HttpResponse:
    found = peers_selectors.get_device_to_change_for(person(request), device_id)
    form = ReasonForm(posted(request))
    if request.method == "POST" and form.is_valid():
        peers_services.revoke_device(
            device=found,
            reason=form.cleaned_data["reason"],
            actor=request.actor,
            now=request.received_at,
        )
        messages.success(request, f"{found.name} is revoked.")
        return redirect("console:device", device_id=found.pk)
    return page(
        request,
        "device_confirm_revoke.html",
        title=f"Revoke {found.name}",
        row=selectors.device_rows([found], request.received_at)[0],
        access=policies_selectors.my_access(found.owner, request.received_at),
        form=form,
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def approve_device(request: PortalRequest, device_id: int) -> HttpResponse:
    found = peers_selectors.get_device_to_change_for(person(request), device_id)
    if found.is_approved or not found.is_active:
        messages.info(request, f"{found.name} is approved or revoked already.")
        return redirect("console:device", device_id=found.pk)
    change = partial(
        peers_services.approve_device,
        device=found,
        actor=request.actor,
        now=request.received_at,
    )
    answer = confirmed(
        request,
        change,
        template="device_confirm_approve.html",
        title=f"Approve {found.name}",
        action="Approve this device",
        back=f"/devices/{found.pk}/",
        device=found,
    )
    if not isinstance(answer, Done):
        return answer
    messages.success(request, f"{found.name} is approved.")
    return redirect("console:device", device_id=found.pk)


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def withdraw_approval(request: PortalRequest, device_id: int) -> HttpResponse:
    found = peers_selectors.get_device_to_change_for(person(request), device_id)
    if not found.is_approved:
        messages.info(request, f"{found.name} is not approved.")
        return redirect("console:device", device_id=found.pk)
    change = partial(
        peers_services.withdraw_approval,
        device=found,
        reason="",
        actor=request.actor,
        now=request.received_at,
    )
    answer = confirmed(
        request,
        change,
        template="device_confirm_withdraw.html",
        title=f"Withdraw the approval of {found.name}",
        action="Withdraw the approval",
        back=f"/devices/{found.pk}/",
        device=found,
    )
    if not isinstance(answer, Done):
        return answer
    messages.success(request, f"{found.name} is approved no longer.")
    return redirect("console:device", device_id=found.pk)


@require_safe
@reader_required
def manage_devices(request: PortalRequest) -> HttpResponse:
    form = DeviceFilter(request.GET)
    form.is_valid()
    devices = selectors.search_devices(
        peers_selectors.list_all_devices_for(person(request)),
        words=form.cleaned_data.get("q", ""),
        state=form.cleaned_data.get("state", ""),
    )
    pages = paged(request, devices)
    return page(
        request,
        "manage_device_list.html",
        title="Devices",
        form=form,
        pages=pages,
        rows=selectors.device_rows(pages.object_list, request.received_at),
    )

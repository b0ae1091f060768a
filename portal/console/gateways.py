"""Pages of gateways."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from audit.events import EventCode
from peers import selectors as peers_selectors
from peers import services as peers_services
from peers.errors import PeerError
from policies import lock_selectors
from policies import selectors as policies_selectors
from policies.recovery_selectors import gateways_ahead
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.console.effects import Done, confirmed
from portal.console.forms import GatewayForm, ReasonForm
from portal.console.pages import page, paged, posted
from portal.console.refusals import is_accepted

if TYPE_CHECKING:
    from datetime import datetime

    from audit.http import PortalRequest
    from peers.models import Gateway


@require_safe
@reader_required
def gateways(request: PortalRequest) -> HttpResponse:
    pages = paged(request, peers_selectors.list_gateways_for(person(request)))
    return page(
        request,
        "gateway_list.html",
        title="Gateways",
        pages=pages,
        statuses=policies_selectors.gateway_statuses(pages.object_list),
        ahead=gateways_ahead(),
    )


@require_safe
@reader_required
def gateway(request: PortalRequest, gateway_id: int) -> HttpResponse:
    found = peers_selectors.get_gateway_for(person(request), gateway_id)
    return page(
        request,
        "gateway_detail.html",
        title=found.name,
        gateway=found,
        standing=policies_selectors.gateway_statuses([found])[0],
        applications=found.applications.all(),
        snapshots=found.snapshots.defer("envelope")[:10],
        acknowledgements=found.acknowledgements.all()[:10],
        locks=lock_selectors.locks_on(found, now=request.received_at),
        closes_by=_closes_by(found),
        ahead=gateways_ahead().filter(gateway=found),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def add_gateway(request: PortalRequest) -> HttpResponse:
    form = GatewayForm(posted(request))
    if request.method == "POST" and is_accepted(
        request, form, EventCode.GATEWAY_CREATE
    ):
        try:
            made = peers_services.create_gateway(
                **form.cleaned_data, actor=request.actor, now=request.received_at
            )
        except PeerError as exc:
            form.add_error(None, str(exc))
        else:
            return _token(request, made)
    return page(request, "gateway_form.html", title="Add a gateway", form=form)


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def edit_gateway(request: PortalRequest, gateway_id: int) -> HttpResponse:
    found = peers_selectors.get_gateway_to_change_for(person(request), gateway_id)
    fields = ("name", "endpoint_host", "endpoint_port")
    initial = {name: getattr(found, name) for name in fields}
    form = GatewayForm(posted(request), initial=initial)
    if request.method == "POST" and is_accepted(
        request, form, EventCode.GATEWAY_UPDATE, gateway=found.ref
    ):
        try:
            peers_services.update_gateway(
                gateway=found,
                **form.cleaned_data,
                actor=request.actor,
                now=request.received_at,
            )
        except PeerError as exc:
            form.add_error(None, str(exc))
        else:
            messages.success(request, f"{found.name} is changed.")
            return redirect("console:gateway", gateway_id=found.pk)
    return page(
        request,
        "gateway_form.html",
        title=f"Change {found.name}",
        form=form,
        gateway=found,
    )


@require_POST
@administrator_required
@recent_authentication_required()
def issue_token(request: PortalRequest, gateway_id: int) -> HttpResponse:
    found = peers_selectors.get_gateway_to_change_for(person(request), gateway_id)
    try:
        return _token(request, found)
    except PeerError as exc:
        messages.error(request, str(exc))
        return redirect("console:gateway", gateway_id=found.pk)


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def retire_gateway(request: PortalRequest, gateway_id: int) -> HttpResponse:
    found = peers_selectors.get_gateway_to_change_for(person(request), gateway_id)
    answer = confirmed(
        request,
        partial(
            peers_services.retire_gateway,
            gateway=found,
            actor=request.actor,
            now=request.received_at,
        ),
        template="gateway_confirm_retire.html",
        title=f"Retire {found.name}",
        action="Retire the gateway",
        back=reverse("console:gateway", args=(found.pk,)),
        gateway=found,
        applications=found.applications.all(),
    )
    if not isinstance(answer, Done):
        return answer
    messages.success(request, f"{found.name} is retired.")
    return redirect("console:gateways")


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def release_gateway(request: PortalRequest, gateway_id: int) -> HttpResponse:
    found = peers_selectors.get_gateway_to_change_for(person(request), gateway_id)
    if found.quarantined_at is None:
        messages.info(request, f"{found.name} is not in quarantine.")
        return redirect("console:gateway", gateway_id=found.pk)
    form = ReasonForm(posted(request))
    if request.method == "POST" and form.is_valid():
        peers_services.release_gateway(
            gateway=found,
            reason=form.cleaned_data["reason"],
            actor=request.actor,
            now=request.received_at,
        )
        messages.success(request, f"{found.name} is released.")
        return redirect("console:gateway", gateway_id=found.pk)
    return page(
        request,
        "gateway_confirm_release.html",
        title=f"Release {found.name} from quarantine",
        gateway=found,
        form=form,
    )


def _closes_by(gateway: Gateway) -> datetime | None:
    """Return when the last lease it can have ends; both holders close by then."""
    if gateway.quarantined_at is None:
        return None
    lifetime = timedelta(seconds=settings.PEERAGE_SNAPSHOT_LIFETIME_SECONDS)
    return gateway.quarantined_at + lifetime


def _token(request: PortalRequest, gateway: Gateway) -> HttpResponse:
    """Answer the POST itself: the token is shown here and never again."""
    token = peers_services.issue_enrolment_token(
        gateway=gateway, actor=request.actor, now=request.received_at
    )
    return page(
        request,
        "gateway_token.html",
        title=f"Enrol {gateway.name}",
        gateway=gateway,
        token=token,
        base_url=settings.PEERAGE_BASE_URL,
        is_insecure=settings.PEERAGE_BASE_URL.startswith("http://"),
        minutes=settings.PEERAGE_ENROLMENT_TOKEN_SECONDS // 60,
    )

"""Signing in and out, confirming who one is, and letting a command line in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from allauth.idp.oidc import views as oidc_views
from allauth.idp.oidc.forms import ConfirmCodeForm
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from portal.accounts import device_grant
from portal.accounts.access import changer_required, person, signed_in
from portal.accounts.errors import CodeGoneError
from portal.accounts.redirects import safe_path
from portal.accounts.throttle import is_too_often

if TYPE_CHECKING:
    from audit.http import PortalRequest

CODES_PER_MINUTE: Final = 30


@never_cache
@require_safe
def sign_in(request: PortalRequest) -> HttpResponse:
    """Offer the way to the identity provider."""
    following = safe_path(request.GET.get("next"))
    if request.user.is_authenticated:
        return HttpResponseRedirect(following)
    return render(request, "account/login.html", _entrance(following))


@never_cache
@require_safe
@signed_in
def confirm(request: PortalRequest) -> HttpResponse:
    """Offer the way to a fresh proof of who one is (step-up)."""
    following = safe_path(request.GET.get("next"))
    return render(request, "account/confirm.html", _entrance(following))


@never_cache
@require_safe
def admin_sign_in(request: PortalRequest) -> HttpResponse:
    """Stand in for Django's own form, which wants a password that nobody has."""
    if request.user.is_authenticated:
        raise PermissionDenied
    return redirect_to_login(safe_path(request.GET.get("next")))


@csrf_exempt
@require_POST
def device_code(request: PortalRequest) -> HttpResponse:
    """Give a program a code; it has no session, so there is nothing to forge."""
    if is_too_often(
        "device-code",
        address=request.client_address,
        limit=CODES_PER_MINUTE,
        now=request.received_at,
    ):
        told = {"error": "slow_down", "error_description": "try again in a minute"}
        return JsonResponse(told, status=429)
    response: HttpResponse = oidc_views.device_code(request)
    if response.status_code == 200:  # noqa: PLR2004 -- OK
        device_grant.remember_requester(
            device_code=json.loads(response.content)["device_code"],
            address=request.client_address,
            now=request.received_at,
        )
    return response


@csrf_exempt
@require_POST
def token(request: PortalRequest) -> HttpResponse:
    """Exchange a code or a refresh token, each for one who asks."""
    secret = request.POST.get("device_code") or request.POST.get("refresh_token", "")
    with device_grant.redeeming(secret) as alone:
        if not alone:
            return JsonResponse({"error": "slow_down"}, status=400)
        response: HttpResponse = oidc_views.token(request)
    return response


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@changer_required
def device_authorization(request: PortalRequest) -> HttpResponse:
    """Ask for the code, show who wants what, and take the decision.

    allauth's own view is exempt from CSRF protection, takes the code from a link
    and does not say who asked. Here the person types the code they see on their
    own screen, and only a form of ours can agree.
    """
    form = ConfirmCodeForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "identity/device_code.html", {"form": form})
    try:
        asked = device_grant.described(device_code=form.device_code, client=form.client)
        return _answer(request, asked, code=form.cleaned_data["code"])
    except CodeGoneError as exc:
        form.add_error("code", str(exc))
        return render(request, "identity/device_code.html", {"form": form})


def _answer(
    request: PortalRequest, asked: device_grant.DeviceRequest, *, code: str
) -> HttpResponse:
    action = request.POST.get("action")
    context: dict[str, object] = {
        "user_code": code,
        "client": asked.client_name,
        "scopes": asked.scopes,
        "requester_address": asked.requester_address,
        "requested_at": asked.requested_at,
    }
    if action not in {"confirm", "deny"}:
        return render(request, "identity/device_confirm.html", context)
    device_grant.decide(
        asked,
        user=person(request),
        confirmed=action == "confirm",
        actor=request.actor,
        now=request.received_at,
    )
    context["confirmed"] = action == "confirm"
    return render(request, "identity/device_done.html", context)


def _entrance(following: str) -> dict[str, str]:
    return {"next": following, "provider_name": settings.PEERAGE_OIDC_NAME}

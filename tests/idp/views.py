"""The provider's pages: sign in, sign out, and when to ask again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from allauth.idp.oidc import views as oidc_views
from django.contrib.auth import logout
from django.contrib.auth.views import LoginView
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

if TYPE_CHECKING:
    from django.http import HttpRequest

sign_in = LoginView.as_view(template_name="login.html")


def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html")


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponseRedirect("/")


@csrf_exempt
def authorize(request: HttpRequest) -> HttpResponse:
    """Ask for the password again when the portal demands it, then go on.

    `prompt` and `max_age` leave the address at that point, or the browser would
    turn in circles; the portal reads in `auth_time` whether we did ask.
    """
    if request.method == "GET" and _must_ask(request):
        kept = [
            (name, value)
            for name, value in parse_qsl(request.META.get("QUERY_STRING", ""))
            if name not in {"prompt", "max_age"}
        ]
        query = urlencode({"next": f"{request.path}?{urlencode(kept)}"})
        return HttpResponseRedirect(f"/login/?{query}")
    response: HttpResponse = oidc_views.authorization(request)
    return response


def _must_ask(request: HttpRequest) -> bool:
    if "login" in request.GET.get("prompt", "").split():
        return True
    max_age = request.GET.get("max_age", "")
    if not max_age.isdecimal() or not request.user.is_authenticated:
        return False
    last = request.user.last_login
    if last is None:
        return True
    return (timezone.now() - last).total_seconds() > int(max_age)  # noqa: TID251 -- an edge

"""To the identity provider and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.providers.oauth2.views import (
    OAuth2CallbackView,
    OAuth2LoginView,
    OAuth2View,
)
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods
from requests import RequestException

from portal.accounts.sso.adapter import SsoAdapter
from portal.accounts.sso.errors import SignInError

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class SsoCallbackView(OAuth2CallbackView):  # type: ignore[misc]  # allauth is untyped
    """allauth's callback that tells the adapter what was asked for."""

    def _get_state(
        self, request: HttpRequest, provider: object
    ) -> tuple[dict[str, Any] | None, HttpResponse | None]:
        state, response = super()._get_state(request, provider)
        self.adapter.state = state or {}
        return state, response


@never_cache
@require_http_methods(["GET", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """Leave for the identity provider; by POST only, so that no link can do it."""
    if request.method == "GET":
        query = urlencode({"next": request.GET.get("next", "/")})
        return HttpResponseRedirect(f"{reverse('account_login')}?{query}")
    return _walk(OAuth2LoginView, request)


@never_cache
@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    """Take the identity provider's answer."""
    return _walk(SsoCallbackView, request)


def _walk(view: type[OAuth2View], request: HttpRequest) -> HttpResponse:
    # allauth asks for the discovery document outside its own error handling.
    adapter = SsoAdapter(request)
    try:
        return cast("HttpResponse", view.adapter_view(adapter)(request))
    except (SignInError, RequestException) as exc:
        provider = adapter.get_provider()
        refusal = render_authentication_error(
            request, provider, exception=exc, extra_context={}
        )
        return cast("HttpResponse", refusal)

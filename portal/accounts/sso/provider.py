"""The provider `sso`: OpenID Connect as allauth does it, with every check on.

Its own id, because two providers of one id cannot be told apart by allauth. What
differs: a nonce, a fixed process and fixed parameters (nothing in the query
string may add a scope, a parameter, or turn a sign-in into linking accounts),
and a fresh proof on demand.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, cast

from allauth.account.utils import get_next_redirect_url
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.openid_connect.provider import (
    OpenIDConnectProvider,
)

from portal.accounts.sso.adapter import SsoAdapter

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class SsoProvider(OpenIDConnectProvider):  # type: ignore[misc]  # allauth is untyped
    """Sign-in through the company's identity provider."""

    id = "sso"
    name = "single sign-on"
    oauth2_adapter_class = SsoAdapter
    supports_token_authentication = False

    def redirect_from_request(self, request: HttpRequest) -> HttpResponse:
        """Send the browser to the provider; of the request only `next` counts."""
        fresh = request.POST.get("fresh") == "1"
        nonce = secrets.token_urlsafe(24)
        params: dict[str, str | int] = {"nonce": nonce}
        if fresh:
            params |= {"prompt": "login", "max_age": 0}
        leaving = self.redirect(
            request,
            process=AuthProcess.LOGIN,
            next_url=get_next_redirect_url(request),
            scope=self.get_scope(),
            auth_params=params,
            nonce=nonce,
            max_age=0 if fresh else None,
            asked_at=int(time.time()),
        )
        return cast("HttpResponse", leaving)

    def extract_uid(self, data: dict[str, Any]) -> str:
        """Return the subject of the signed token."""
        return str(data["id_token"]["sub"])

    def extract_common_fields(self, data: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 -- allauth's signature
        """Return nothing: a person is provisioned by our own service."""
        return {}

    def extract_email_addresses(self, data: dict[str, Any]) -> list[Any]:  # noqa: ARG002 -- allauth's signature
        """Return nothing: nobody is ever found by an e-mail address."""
        return []


provider_classes = [SsoProvider]

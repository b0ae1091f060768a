"""What an API caller may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from allauth.idp.oidc.models import Token
from django.conf import settings
from rest_framework.permissions import BasePermission

from portal.accounts.models import User
from portal.accounts.sessions import is_recent

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

    from audit.http import PortalRequest


class MayUseDevices(BasePermission):
    """A person in their browser, or their command line with the scope `devices`."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 -- the framework's signature
        """Return whether the caller may work with their own devices."""
        if not isinstance(request.user, User):
            return False
        token = request.auth
        return token is None or (
            isinstance(token, Token)
            and token.type == Token.Type.ACCESS_TOKEN
            and "devices" in token.get_scopes()
        )


class HasRecentProof(BasePermission):
    """A person whom the identity provider saw a short while ago, as on the pages."""

    message = "confirm who you are at /accounts/confirm/ first"

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 -- the framework's signature
        """Return whether the proof behind the session is recent."""
        http = cast("PortalRequest", request._request)  # noqa: SLF001 -- the wrapped one has the middleware's marks
        limit = settings.PEERAGE_STEP_UP_SECONDS
        return is_recent(http, seconds=limit, now=http.received_at)


class InBrowser(BasePermission):
    """A person in their browser: no token has a scope for this."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 -- the framework's signature
        """Return whether the caller signed in here."""
        return request.auth is None and isinstance(request.user, User)


class IsAdministrator(BasePermission):
    """An administrator in their browser: no token has a scope for this."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 -- the framework's signature
        """Return whether the caller may act on other people."""
        user = request.user
        return request.auth is None and isinstance(user, User) and user.is_administrator

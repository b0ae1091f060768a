"""How the API knows a command line: a bearer token of the device grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from allauth.idp.oidc.contrib.rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS

from portal.accounts.access import READ_ONLY, record_read_only
from portal.accounts.actors import actor_of
from portal.accounts.models import Role, User

if TYPE_CHECKING:
    from rest_framework.request import Request

    from audit.http import PortalRequest


class BearerTokenAuthentication(TokenAuthentication):  # type: ignore[misc]  # allauth is untyped
    """allauth's class that says 401, and never falls back from a bad token.

    A request with an unknown token is refused even when it has a session cookie:
    whoever sends a token means to be judged by it.
    """

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        """Return the token's owner and the token."""
        scheme, _, _value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        found = super().authenticate(request)
        if found is None or not isinstance(found[0], User):
            msg = "The access token is unknown, revoked or expired."
            raise AuthenticationFailed(msg)
        user, token = found
        # The middleware's request lies below the framework's.
        http = cast("PortalRequest", request._request)  # noqa: SLF001 -- see above
        http.actor = actor_of(user, http)
        if user.role == Role.AUDITOR and request.method not in SAFE_METHODS:
            record_read_only(http, user)
            raise PermissionDenied(READ_ONLY)
        return user, token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 -- the framework's signature
        """Name the scheme, which makes the framework answer 401."""
        return 'Bearer realm="peerage"'

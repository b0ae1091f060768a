"""How the API knows a program: an API key or an access token.

An API key comes as the user of HTTP Basic (the password is not looked at) or as a
bearer token; an access token as a bearer token. Nothing else opens these endpoints: no
session, and no token of a person.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final, NoReturn, cast

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.permissions import BasePermission

from audit.actor import Ref
from audit.events import EventCode
from audit.refusals import count_refusal, record_refusal
from portal.accounts.credentials import Caller, caller_of, note_use
from portal.accounts.models import Scope
from portal.accounts.throttle import is_too_often

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request
    from rest_framework.views import APIView

    from audit.http import PortalRequest

FAILURES_PER_MINUTE: Final = 30
CALLS_PER_MINUTE: Final = 120
LONGEST_HEADER: Final = 1024


class CredentialAuthentication(BaseAuthentication):
    """An API key or an access token, judged anew at each request."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Caller]:
        """Return the program; the person stays nobody.

        Raises:
            AuthenticationFailed: there is no credential that opens anything.
            Throttled: too many failures from this place, or calls of this program.
        """
        http = _http(request)
        found = caller_of(shown(request), now=http.received_at)
        if found is None:
            _refuse(http)
        _limit(found, http)
        note_use(
            credential=found.credential,
            address=http.client_address,
            now=http.received_at,
        )
        http.actor = found.actor(
            address=http.client_address, request_id=http.request_id
        )
        return AnonymousUser(), found

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 -- the framework's signature
        """Name the scheme, which makes the framework answer 401."""
        return 'Bearer realm="peerage"'


class HasScope(BasePermission):
    """A program with the scope that the view names for the method."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether the scope was given, and record that it was not."""
        scopes: Mapping[str, Scope] = view.scopes  # type: ignore[attr-defined]
        scope = scopes.get(str(request.method), Scope.POLICY_WRITE)
        if isinstance(request.auth, Caller) and request.auth.may(scope):
            return True
        http = _http(request)
        self.message = f"this credential lacks the scope {scope.value}"
        record_refusal(
            EventCode.ACCESS_REFUSED,
            actor=http.actor,
            now=http.received_at,
            target=Ref(id="api", label=http.path[:255]),
            reason=self.message,
        )
        return False


def shown(request: Request) -> str:
    """Return what the caller shows, or nothing."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if len(value) > LONGEST_HEADER:
        return ""
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic":
            return basic(value)[0]
        case _:
            return ""


def basic(value: str) -> tuple[str, str]:
    """Return user and password of HTTP Basic (RFC 7617); empty when malformed."""
    try:
        text = base64.b64decode(value.strip(), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    user, _, password = text.partition(":")
    return user, password


def _refuse(http: PortalRequest) -> NoReturn:
    """Say no, and no more: not which part was wrong.

    Raises:
        AuthenticationFailed: always, unless it is
        Throttled: too often from this place.
    """
    now = http.received_at
    if is_too_often(
        "api-credential",
        address=http.client_address,
        limit=FAILURES_PER_MINUTE,
        now=now,
    ):
        count_refusal(EventCode.ACCESS_REFUSED, actor=http.actor, now=now)
        raise Throttled(wait=60)
    record_refusal(
        EventCode.ACCESS_REFUSED,
        actor=http.actor,
        now=now,
        target=Ref(id="api", label=http.path[:255]),
        reason="no credential that opens anything",
    )
    msg = "API key or token missing, unknown, expired or revoked"
    raise AuthenticationFailed(msg)


def _limit(found: Caller, http: PortalRequest) -> None:
    """Hold back a program that runs wild.

    Raises:
        Throttled: more calls in this minute than a pipeline makes.
    """
    what = f"api-{found.credential.pk}"
    if is_too_often(what, address="", limit=CALLS_PER_MINUTE, now=http.received_at):
        raise Throttled(wait=60)


def _http(request: Request) -> PortalRequest:
    return cast("PortalRequest", request._request)  # noqa: SLF001 -- the wrapped one has the middleware's marks

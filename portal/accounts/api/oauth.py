"""`POST /api/v2/oauth/token`: client credentials (RFC 6749 §4.4), by oauthlib.

The client shows its id and secret as HTTP Basic or in the form; `grant_type` may be
left out, as the documentation of the service whose API this is leaves it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus, urlencode

from django.http import HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from oauthlib.oauth2 import BackendApplicationServer, RequestValidator

from audit.actor import Ref
from audit.events import EventCode
from audit.refusals import count_refusal, record_refusal
from portal.accounts.api.machines import basic
from portal.accounts.credentials import Caller, issue_token, token_end, verified
from portal.accounts.models import ApiCredential, CredentialKind, Scope
from portal.accounts.throttle import is_too_often

if TYPE_CHECKING:
    from datetime import datetime

    from audit.http import PortalRequest

TRIES_PER_MINUTE: Final = 30
LONGEST_FORM: Final = 16 * 1024
FORM: Final = "application/x-www-form-urlencoded"
GRANT: Final = "client_credentials"


@csrf_exempt
@never_cache
@require_POST
def oauth_token(request: PortalRequest) -> HttpResponse:
    """Give a client an access token for its secret."""
    if is_too_often(
        "oauth-token",
        address=request.client_address,
        limit=TRIES_PER_MINUTE,
        now=request.received_at,
    ):
        count_refusal(
            EventCode.API_TOKEN_CREATE, actor=request.actor, now=request.received_at
        )
        return _refusal("slow_down", HTTPStatus.TOO_MANY_REQUESTS)
    length = request.META.get("CONTENT_LENGTH") or "0"
    if request.content_type != FORM or not length.isdecimal():
        return _refusal("invalid_request", HTTPStatus.BAD_REQUEST)
    if int(length) > LONGEST_FORM:
        return _refusal("invalid_request", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    sent = [(name, text) for name, texts in request.POST.lists() for text in texts]
    if len(sent) > len(request.POST):
        # RFC 6749 §3.2: no parameter stands twice.
        return _refusal("invalid_request", HTTPStatus.BAD_REQUEST)
    if "grant_type" not in request.POST:
        sent.append(("grant_type", GRANT))
    headers, body, status = BackendApplicationServer(
        _Validator(request),
        token_generator=_issued,
        token_expires_in=_seconds,
    ).create_token_response(
        request.get_full_path(),
        body=urlencode(sent),
        headers={"Authorization": request.headers.get("Authorization", "")},
    )
    if status != HTTPStatus.OK:
        record_refusal(
            EventCode.API_TOKEN_CREATE,
            actor=request.actor,
            now=request.received_at,
            target=Ref(id="api", label=request.path),
            reason=f"oauth token: {status}",
        )
    return HttpResponse(body, status=status, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Client:
    """A client that proved itself, in oauthlib's words."""

    credential: ApiCredential
    client_id: str

    @property
    def scopes(self) -> frozenset[str]:
        """What it may have, of what there is."""
        return self.credential.scope_set & frozenset(Scope.values)


class _Validator(RequestValidator):  # type: ignore[misc]  # oauthlib is untyped
    """What oauthlib asks about one request."""

    def __init__(self, http: PortalRequest) -> None:
        """Keep who asks, and when."""
        self.http = http

    def authenticate_client(
        self,
        request: Any,  # noqa: ANN401 -- oauthlib is untyped
        *_args: object,
        **_kwargs: object,
    ) -> bool:
        """Return whether the secret is that of the client named."""
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            # RFC 6749 §2.3.1: both are form-encoded before they are joined.
            name, secret = (unquote_plus(part) for part in basic(value))
        else:
            name, secret = request.client_id or "", request.client_secret or ""
        now = self.http.received_at
        found = verified(secret, kind=CredentialKind.OAUTH_CLIENT, now=now)
        if found is None or found.ref.id != name:
            return False
        request.client = _Client(credential=found, client_id=name)
        request.http = self.http
        return True

    def validate_grant_type(
        self,
        client_id: str,  # noqa: ARG002 -- oauthlib's signature
        grant_type: str,
        *_args: object,
        **_kwargs: object,
    ) -> bool:
        """Return whether it is the one grant there is."""
        return grant_type == GRANT

    def get_default_scopes(
        self,
        client_id: str,  # noqa: ARG002 -- oauthlib's signature
        request: Any,  # noqa: ANN401 -- oauthlib is untyped
        *_args: object,
        **_kwargs: object,
    ) -> list[str]:
        """Return all that the client may do."""
        client: _Client = request.client
        return sorted(client.scopes)

    def validate_scopes(
        self,
        client_id: str,  # noqa: ARG002 -- oauthlib's signature
        scopes: list[str],
        client: _Client,
        *_args: object,
        **_kwargs: object,
    ) -> bool:
        """Return whether the client may have these."""
        return bool(scopes) and set(scopes) <= client.scopes

    def save_bearer_token(
        self,
        token: object,
        request: object,
        *_args: object,
        **_kwargs: object,
    ) -> None:
        """Do nothing: `_issued` has stored it, with its event."""


def _seconds(request: Any) -> int:  # noqa: ANN401 -- oauthlib is untyped
    """Return how long an access token lives: no longer than its credential."""
    ends: datetime = token_end(request.client.credential, now=request.http.received_at)
    return int((ends - request.http.received_at).total_seconds())


def _issued(request: Any) -> str:  # noqa: ANN401 -- oauthlib is untyped
    """Make, store and record an access token for a request that passed."""
    client, http = request.client.credential, request.http
    scopes = frozenset(request.scopes)
    caller = Caller(credential=client, scopes=scopes)
    return issue_token(
        credential=client,
        scopes=scopes,
        actor=caller.actor(address=http.client_address, request_id=http.request_id),
        now=http.received_at,
    )


def _refusal(error: str, status: HTTPStatus) -> JsonResponse:
    return JsonResponse({"error": error}, status=status)

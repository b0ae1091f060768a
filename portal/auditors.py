"""An auditor reads everything and changes nothing (DESIGN §4): one gate for all of it.

Whatever is sent by a method that may change something is refused before any view sees
it, and the refusal is an event. So a page that is added tomorrow is closed to auditors
without a thought; what stays open to them is named here, with the reason. Requests with
a token instead of a session are refused where the token is read.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.decorators import sync_and_async_middleware

from peers.api.problems import problem
from portal.accounts.access import READ_ONLY, person, record_read_only
from portal.accounts.models import Role

if TYPE_CHECKING:
    from audit.http import PortalRequest

API: Final = "/api/"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
OPEN: Final = {
    "account_login": "to come in",
    "account_confirm": "to prove anew who they are",
    "account_logout": "to go",
    "sso_login": "to come in",
    "usersessions_list": "to end sessions of their own",
    "console:explain_suppose": "a question, too long for an address",
    "console:evidence": "a copy of what they may read, recorded like every export",
    "api-explain": "a question, too long for an address",
}


@sync_and_async_middleware
def auditor_middleware(get_response: Callable[[HttpRequest], Any]) -> Any:  # noqa: ANN401 -- Django's signature
    """Refuse an auditor's request that may change something; below the actor's."""
    if iscoroutinefunction(get_response):

        async def handle_async(request: HttpRequest) -> HttpResponseBase:
            if not is_closed(request):
                return cast("HttpResponseBase", await get_response(request))
            return await sync_to_async(refused)(request)

        return handle_async

    def handle(request: HttpRequest) -> HttpResponseBase:
        if not is_closed(request):
            return cast("HttpResponseBase", get_response(request))
        return refused(request)

    return handle


def is_closed(request: HttpRequest) -> bool:
    """Return whether an auditor asks for what is not theirs."""
    if request.method in SAFE or _actor_role(request) != Role.AUDITOR:
        return False
    try:
        return resolve(request.path_info).view_name not in OPEN
    except Resolver404:
        return False


def refused(request: HttpRequest) -> HttpResponseBase:
    """Record the refusal, and say it as the page or the API says such things.

    Raises:
        PermissionDenied: it was a page; Django shows its own.
    """
    record_read_only(cast("PortalRequest", request), person(request))
    if request.path_info.startswith(API):
        return problem(HTTPStatus.FORBIDDEN, READ_ONLY)
    raise PermissionDenied(READ_ONLY)


def _actor_role(request: HttpRequest) -> str:
    return cast("PortalRequest", request).actor.role

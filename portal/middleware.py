"""Middleware: who asks, when, under which id; and static files without a thread."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

from portal.accounts.actors import actor_of

if TYPE_CHECKING:
    from audit.http import PortalRequest

Handler = Callable[[HttpRequest], Any]
ID_BYTES: Final = 16
IDS_AT_ONCE: Final = 256


class RequestIds:
    """Random ids, made many at a time.

    Asking the system for randomness lets go of the interpreter, and with threads that
    compute the event loop then waits until it is given back: half of its time, when
    hundreds of gateways report.
    """

    def __init__(self) -> None:
        """Make none yet."""
        self._ready: deque[str] = deque()

    def next(self) -> str:
        """Return an id that was never returned before, from any thread."""
        try:
            return self._ready.popleft()
        except IndexError:
            text = os.urandom(ID_BYTES * IDS_AT_ONCE).hex()
            size = 2 * ID_BYTES
            made = [text[at : at + size] for at in range(0, len(text), size)]
            self._ready.extend(made[1:])
            return made[0]


_ids: Final = RequestIds()


@sync_and_async_middleware
def actor_middleware(get_response: Handler) -> Handler:
    """Set `request_id`, `received_at` and `actor`; answer with the id.

    The id is always our own: one taken from the client would let a stranger
    write into somebody else's trail.
    """
    if iscoroutinefunction(get_response):

        async def handle_async(request: HttpRequest) -> HttpResponseBase:
            portal_request = received(request)
            user = await request.auser() if _has_session(request) else None
            portal_request.actor = actor_of(user, portal_request)
            return marked(portal_request, await get_response(request))

        return handle_async

    def handle(request: HttpRequest) -> HttpResponseBase:
        portal_request = received(request)
        user = request.user if _has_session(request) else None
        portal_request.actor = actor_of(user, portal_request)
        return marked(portal_request, get_response(request))

    return handle


def received(request: HttpRequest) -> PortalRequest:
    """Note when a request came, from where, and give it an id."""
    portal_request = cast("PortalRequest", request)
    portal_request.request_id = _ids.next()
    portal_request.received_at = datetime.now(UTC)  # noqa: TID251 -- the edge
    portal_request.client_address = client_address(request)
    return portal_request


def marked(request: PortalRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Tell the client the id."""
    response["X-Request-ID"] = request.request_id
    return response


def _has_session(request: HttpRequest) -> bool:
    # A gateway sends no cookie; it must not cost a query to find that out.
    return settings.SESSION_COOKIE_NAME in request.COOKIES


def client_address(request: HttpRequest) -> str:
    """Return the client's address as our own proxies saw it, or nothing.

    Each trusted proxy appends the address it was called from, so the one that
    counts is the n-th from the right; what stands left of it anybody may write.
    """
    text = request.META.get("REMOTE_ADDR", "")
    if count := settings.PEERAGE_TRUSTED_PROXIES:
        hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        text = hops[-count].strip() if len(hops) >= count else ""
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # untyped
    """WhiteNoise that runs asynchronously too.

    The original is synchronous only, which would put every request of an ASGI
    server into a thread, the waiting gateways included.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Handler) -> None:
        """Load the files and note which kind of server this is."""
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(
        self, request: HttpRequest
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve a file or pass on."""
        if iscoroutinefunction(self):
            return self._answer(request)
        return cast("HttpResponseBase", super().__call__(request))

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        found = self.find_file(path) if self.autorefresh else self.files.get(path)
        if found is None:
            return cast("HttpResponseBase", await self.get_response(request))
        return await sync_to_async(self._whole)(found, request)

    def _whole(self, found: StaticFile, request: HttpRequest) -> HttpResponse:
        # An ASGI server cannot stream from a plain file; ours are small.
        parts = found.get_response(request.method, request.META)
        body = b""
        if parts.file is not None:
            with parts.file as file:
                body = file.read()
        response = HttpResponse(body, status=int(parts.status))
        del response["Content-Type"]
        for name, value in parts.headers:
            response[name] = value
        return response

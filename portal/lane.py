"""The way of the gateways' requests: no cookies, so nothing that is about them.

Django gives every request of an asynchronous server a thread of its own as soon as a
piece of synchronous code is met, and its middleware is such pieces. Hundreds of
gateways that wait would be hundreds of threads, and hundreds that report at once as
many database connections. Here a request is a task; what touches the database runs in
the pool (`policies.connections`), and the middleware that counts is called in place.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias, cast

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.exceptions import RequestAborted, RequestDataTooBig
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.urls import Resolver404, resolve, set_script_prefix

from audit.errors import NoRoomError
from peers.api.authentication import is_suspect
from peers.api.problems import problem
from policies.connections import (
    CrowdedError,
    as_stranger,
    in_last_pool,
    turns,
)
from portal.accounts.actors import actor_of
from portal.full import answer_full
from portal.middleware import marked, received

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from django.http.response import HttpResponseBase

    from audit.http import PortalRequest

Answering: TypeAlias = "Callable[[HttpRequest], Awaitable[HttpResponseBase]]"
PREFIX: Final = "/api/gateway/"


class BoundedHandler(ASGIHandler):
    """Reads no body that is longer than anything a view reads."""

    async def read_body(self, receive: Any) -> IO[bytes]:  # noqa: ANN401 -- ASGI's
        """Return the body; whoever has not signed yet shall not fill a disk.

        Raises:
            RequestAborted: its sender went away.
            RequestDataTooBig: it is longer than anything that is read.
        """
        body = SpooledTemporaryFile(settings.FILE_UPLOAD_MAX_MEMORY_SIZE)  # noqa: SIM115 -- closed with the answer
        try:
            async for part in _parts(receive):
                body.write(part)
        except BaseException:
            body.close()
            raise
        body.seek(0)
        return cast("IO[bytes]", body)


class PeopleHandler(BoundedHandler):
    """Answers people, by the settings' middleware."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 -- ASGI's
        """Answer a request; a body that is too long is not waited for."""
        try:
            await super().__call__(scope, receive, send)
        except RequestDataTooBig:
            await self.send_response(_too_long(), send)


class GatewayLane(BoundedHandler):
    """Answers what begins with PREFIX; its own chain in place of the settings'."""

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 -- Django's signature
        """Set up the chain, whatever the settings say."""
        # Both of these compute and touch nothing, so they need no thread.
        self._security = SecurityMiddleware(_nobody)
        self._frames = XFrameOptionsMiddleware(_nobody)
        # Inside, too: what goes wrong in a view has the headers of every answer.
        routed = convert_exception_to_response(self._route)
        self._routed = cast("Answering", routed)
        self._middleware_chain = convert_exception_to_response(self._respond)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 -- ASGI's
        """Answer a request, unless its sender goes away."""
        # Hundreds that report at once take the event loop from those with news.
        await turns.wait()
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        except RequestDataTooBig:
            await self.send_response(_too_long(), send)
            return
        set_script_prefix("/")
        request, malformed = self.create_request(scope, body)
        if request is None:
            await self.send_response(malformed or HttpResponse(status=400), send)
            body.close()
            return
        answering = asyncio.create_task(self._answer(request, send))
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            # An answer that is complete counts as leaving, too.
            await asyncio.wait((answering, leaving), return_when="FIRST_COMPLETED")
        finally:
            answering.cancel()
            leaving.cancel()
            with suppress(asyncio.CancelledError, RequestAborted):
                await leaving
            response = None
            with suppress(asyncio.CancelledError):
                response = await answering
            body.close()
        if type(response) is HttpResponse:
            response.close()
        elif response is not None:
            # It has something to do afterwards, when nobody waits for news.
            await turns.wait()
            await in_last_pool(response.close)()

    async def _answer(self, request: HttpRequest, send: Any) -> HttpResponseBase:  # noqa: ANN401 -- ASGI's
        response = await self.run_get_response(request)
        await self.send_response(response, send)
        return response

    async def _respond(self, request: HttpRequest) -> HttpResponseBase:
        portal_request = received(request)
        portal_request.actor = actor_of(None, portal_request)
        response: HttpResponse | None = self._security.process_request(request)
        if response is None:
            response = cast("HttpResponse", await self._routed(request))
        if not response.has_header("Content-Length"):
            response["Content-Length"] = str(len(response.content))
        self._frames.process_response(request, response)
        self._security.process_response(request, response)
        return marked(portal_request, response)

    async def _route(self, request: HttpRequest) -> HttpResponseBase:
        request.get_host()  # Another host's requests are none of ours.
        try:
            view, args, kwargs = request.resolver_match = resolve(request.path_info)
        except Resolver404:
            return problem(HTTPStatus.NOT_FOUND, "there is nothing here")
        # Who was woken by news is answered before anybody begins something.
        await turns.wait()
        # What is not asynchronous is a report: it waits for nothing, and can wait.
        run = view if iscoroutinefunction(view) else in_last_pool(view)
        try:
            if not is_suspect(cast("PortalRequest", request)):
                return cast("HttpResponseBase", await run(request, *args, **kwargs))
            with as_stranger():
                return cast("HttpResponseBase", await run(request, *args, **kwargs))
        except (NoRoomError, OperationalError) as exc:
            if (refusal := answer_full(request, exc)) is None:
                raise
            return refusal
        except CrowdedError:
            answer = problem(HTTPStatus.TOO_MANY_REQUESTS, "try again in a minute")
            answer["Retry-After"] = "60"
            return answer


class Lanes:
    """Sends gateways one way and everybody else the other."""

    def __init__(self, everybody: ASGIHandler) -> None:
        """Take what answers people."""
        self._everybody = everybody
        self._gateways = GatewayLane()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 -- ASGI's
        """Choose by the path alone."""
        is_gateway = scope["type"] == "http" and scope["path"].startswith(PREFIX)
        await (self._gateways if is_gateway else self._everybody)(scope, receive, send)


def _too_long() -> HttpResponse:
    # The rest of it is on its way, and is not waited for.
    refusal = HttpResponse(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    refusal["Connection"] = "close"
    return refusal


async def _parts(receive: Any) -> AsyncIterator[bytes]:  # noqa: ANN401 -- ASGI's
    length, is_more = 0, True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestAborted
        part: bytes = message.get("body", b"")
        length += len(part)
        if length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig
        is_more = message.get("more_body", False)
        yield part


def _nobody(_request: HttpRequest) -> HttpResponse:
    raise NotImplementedError  # pragma: no cover -- nothing is called through these

"""What people and programs are told when the disk of the log is full (ADR-0037).

Either the portal refused, because the rest is kept for revocations, or the database
did. In the second case a step of the ballast is given back, so that the next try of a
revocation, or of a sign-in before it, finds its place.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.db import OperationalError
from django.http import HttpRequest
from django.shortcuts import render
from django.utils.decorators import sync_and_async_middleware

from audit import room
from audit.errors import NoRoomError
from peers.api.problems import problem
from portal.auditors import API

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase


@sync_and_async_middleware
def full_middleware(get_response: Callable[[HttpRequest], Any]) -> Any:  # noqa: ANN401 -- Django's signature
    """Answer what a full disk keeps a view from, in place of "something broke"."""
    if iscoroutinefunction(get_response):

        async def handle_async(request: HttpRequest) -> HttpResponseBase:
            answer: HttpResponseBase = await get_response(request)
            return answer

        handle_async.process_exception = answer_full  # type: ignore[attr-defined]
        return handle_async

    def handle(request: HttpRequest) -> HttpResponseBase:
        answer: HttpResponseBase = get_response(request)
        return answer

    handle.process_exception = answer_full  # type: ignore[attr-defined]
    return handle


def answer_full(request: HttpRequest, exc: Exception) -> HttpResponseBase | None:
    """Return the answer, or None for what has nothing to do with the disk."""
    if isinstance(exc, NoRoomError):
        said = f"Nothing was changed: {exc}."
    elif room.is_full(exc) or isinstance(exc, OperationalError):
        if not room.make() and not room.is_full(exc):
            return None
        said = "Nothing was changed: the disk of the log is full."
    else:
        return None
    if request.path_info.startswith(API):
        return problem(HTTPStatus.INSUFFICIENT_STORAGE, said)
    status = HTTPStatus.INSUFFICIENT_STORAGE
    return render(request, "507.html", {"said": said}, status=status)

"""What people, programs and gateways are told when the log's disk is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from audit.errors import NoRoomError
from portal.accounts.models import User
from portal.full import answer_full, full_middleware
from tests.conftest import SignIn

FULL = OperationalError("database or disk is full")


def refusing(*_args: object, **_kwargs: object) -> NoReturn:
    raise NoRoomError("there is little room")


def broken(*_args: object, **_kwargs: object) -> NoReturn:
    raise FULL


@pytest.mark.parametrize(
    ("exc", "status", "said"),
    [
        (NoRoomError("4 MiB left"), 507, b"Nothing was changed: 4 MiB left."),
        (FULL, 507, b"the disk of the log is full"),
    ],
    ids=["brake", "database"],
)
@pytest.mark.parametrize("path", ["/manage/grants/add/", "/api/v1/locks/"])
def test_a_full_disk_is_said_to_pages_and_programs(
    exc: Exception, status: int, said: bytes, path: str
) -> None:
    answer = answer_full(RequestFactory().post(path), exc)
    assert isinstance(answer, HttpResponse)
    assert answer.status_code == status
    assert said in answer.content
    kind = "application/problem+json" if path.startswith("/api/") else "text/html"
    assert answer["Content-Type"].startswith(kind)


def test_other_trouble_is_left_to_others() -> None:
    assert answer_full(RequestFactory().get("/"), ValueError()) is None


@pytest.mark.parametrize("act", [refusing, broken])
def test_a_page_that_finds_no_room_says_so(
    act: Callable[..., object],
    dave: User,
    sign_in: SignIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("portal.console.users.page", act)
    client = sign_in(dave)
    client.raise_request_exception = False
    answer = client.get("/manage/users/")
    assert answer.status_code == 507
    assert b"No room is left" in answer.content


def test_it_is_the_same_in_an_asynchronous_server() -> None:
    async def view(_request: HttpRequest) -> HttpResponse:
        return HttpResponse("well")

    wrapped = full_middleware(view)
    request = RequestFactory().get("/")
    assert asyncio.run(wrapped(request)).content == b"well"
    assert wrapped.process_exception(request, FULL).status_code == 507

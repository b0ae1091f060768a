"""Database work from asynchronous code, in the pool of the event loop.

Pool threads live for ever and no request ends in them, so each call takes care of its
connection by itself: none is held while a gateway waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")


def in_pool(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Return the function as a coroutine function that runs in a pool thread."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return sync_to_async(call, thread_sensitive=False)

"""How long strangers may take to say what they want (attack F14). Edge of the server.

uvicorn waits for ever for the end of a request. Somebody who opens connections and says
one byte a minute would take every file descriptor, and gateways would not be heard.

* A request, head and body, is complete within half a minute, or its connection closes.
* At most a quarter of the descriptors, and a thousand, wait for the end of a request;
  one more, and the one that has waited longest closes. A gateway's is complete at once.
* At most three quarters are open; one more, and what has been idle longest closes.
  Agents open an idle connection again (`gateway.client`).

Nobody is counted by address: behind a proxy all have the same.
"""

from __future__ import annotations

import resource
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

REQUEST_SECONDS: Final = 30.0
MOST_SPEAKING: Final = 1000
FEWEST: Final = 64
"""Descriptors that a portal has at least; below that nobody runs one."""


class Waiting(Protocol):
    """A connection that can be closed."""

    def give_up(self) -> None:
        """Close it, whatever was sent."""


class Patience:
    """Who is waited for, longest first, and who is idle."""

    def __init__(self, *, descriptors: int) -> None:
        """Share out so many descriptors."""
        self._most_speaking = min(MOST_SPEAKING, descriptors // 4)
        self._most = descriptors * 3 // 4
        self._all: set[Waiting] = set()
        self._speaking: OrderedDict[Waiting, None] = OrderedDict()
        self._idle: OrderedDict[Waiting, None] = OrderedDict()

    def opened(self, connection: Waiting) -> None:
        """Count a connection, whose request is waited for from now on."""
        self._all.add(connection)
        self.speaks(connection)
        if len(self._all) > self._most:
            self._close_longest(self._idle or self._speaking)

    def speaks(self, connection: Waiting) -> None:
        """Wait for the end of a request, from its beginning."""
        self._idle.pop(connection, None)
        self._speaking.setdefault(connection, None)
        if len(self._speaking) > self._most_speaking:
            self._close_longest(self._speaking)

    def is_answered(self, connection: Waiting) -> None:
        """Wait no more: the request is complete, and being answered."""
        self._speaking.pop(connection, None)
        self._idle.pop(connection, None)

    def rests(self, connection: Waiting) -> None:
        """Let it be idle: it was answered."""
        if connection in self._all and connection not in self._speaking:
            self._idle[connection] = None
            self._idle.move_to_end(connection)

    def closed(self, connection: Waiting) -> None:
        """Forget it."""
        self._all.discard(connection)
        self.is_answered(connection)

    def _close_longest(self, among: OrderedDict[Waiting, None]) -> None:
        if among:
            connection = next(iter(among))
            self.closed(connection)
            connection.give_up()


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that closes on who takes too long. One `Patience` for the process."""

    patience: Patience

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 -- the base class's own
        """Wait for nobody yet."""
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.patience.opened(self)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Hear a part of a request, or all of it."""
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """Be idle, or hear what was sent meanwhile."""
        super().on_response_complete()
        self.patience.rests(self)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._stop_waiting()
        self.patience.closed(self)

    def give_up(self) -> None:
        """Close the connection; nothing was asked that could be answered."""
        self._stop_waiting()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()

    def _wait(self) -> None:
        if not self._is_speaking():
            self._stop_waiting()
            if self.cycle is not None and not self.cycle.response_complete:
                self.patience.is_answered(self)
            return
        if self._deadline is None and not self.transport.is_closing():
            self.patience.speaks(self)
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._time_out)

    def _time_out(self) -> None:
        self.patience.closed(self)
        self.give_up()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_speaking(self) -> bool:
        """Return whether a request was begun, or not even that, and is not complete."""
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            return True
        is_first = self.cycle is None
        return state is h11.IDLE and (is_first or bool(self.conn.trailing_data[0]))


def impatient() -> type[ImpatientProtocol]:
    """Return the protocol of this process, which may then open all files it can."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    descriptors = max(hard if hard > 0 else soft, FEWEST)
    ImpatientProtocol.patience = Patience(descriptors=descriptors)
    return ImpatientProtocol

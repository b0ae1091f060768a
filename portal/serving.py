"""The whole portal in one process: web server, worker, beat, streams and sealer.

Embedded mode (DESIGN §10) needs nothing else. With Redis any number of these may run
beside each other, or with `jobs=False` beside workers of their own. Listening sockets
may be inherited, which is how a service manager or the demonstration hands them over.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import uvicorn
from celery.beat import Scheduler, Service
from celery.worker import WorkController
from celery.worker import state as worker_state

from audit import asking
from audit.sealing import runner as sealing
from audit.streams import runner
from policies import notifier
from portal.celery import app
from portal.patience import impatient

if TYPE_CHECKING:
    from types import FrameType

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 5
SWITCH_SECONDS: Final = 0.0005
"""When a thread must let another one go on. With Python's 5 ms the event loop waits so
long after every packet it sends while something is compiled."""
KEEP_ALIVE_SECONDS: Final = 75
"""Longer than an agent is silent on a channel, so that reports find a connection."""


class PortalServer(uvicorn.Server):
    """A server that lets waiting gateways go before it stops."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer every long poll now, then stop as usual."""
        notifier.close()
        await super().shutdown(sockets)


class Jobs:
    """A worker, a beat, streams and the sealer in threads of this process."""

    def __init__(self) -> None:
        """Prepare all; nothing runs yet."""
        self._worker = WorkController(
            app=app,
            pool="solo",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        # In memory: every job looks at the database for what is due.
        self._beat = Service(app, max_interval=1, scheduler_cls=Scheduler)
        self._no_more = threading.Event()
        self._threads = [
            threading.Thread(target=self._worker.start, name="worker", daemon=True),
            threading.Thread(target=self._beat.start, name="beat", daemon=True),
            threading.Thread(
                target=runner.run, args=(self._no_more,), name="streams", daemon=True
            ),
            threading.Thread(
                target=sealing.run, args=(self._no_more,), name="sealer", daemon=True
            ),
            threading.Thread(
                target=asking.run, args=(self._no_more,), name="witnesses", daemon=True
            ),
        ]

    def start(self) -> None:
        """Start all."""
        worker_state.should_stop = None
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let a running job end, within reason."""
        self._beat.stop()
        self._no_more.set()
        worker_state.should_stop = 0
        for thread in self._threads:
            thread.join(GRACE_SECONDS)
            if thread.is_alive():
                logger.warning("the thread %s does not end", thread.name)


def serve(
    *, host: str, port: int, descriptors: Sequence[int] = (), jobs: bool = True
) -> None:
    """Serve until SIGINT or SIGTERM, then stop gracefully and return."""
    # uvicorn raises the signal again when it has stopped; by then we are done.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _already_stopping)
    sys.setswitchinterval(SWITCH_SECONDS)
    server = PortalServer(
        uvicorn.Config(
            "portal.asgi:application",
            host=host,
            port=port,
            http=impatient(),
            lifespan="off",
            log_config=None,
            access_log=False,
            # Who the client is, is decided by PEERAGE_TRUSTED_PROXIES.
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    running = Jobs() if jobs else None
    if running is not None:
        running.start()
    try:
        asyncio.run(server.serve(sockets=_inherited(descriptors)))
    finally:
        if running is not None:
            running.stop()
        notifier.end()


def _inherited(descriptors: Sequence[int]) -> list[socket.socket] | None:
    if not descriptors:
        return None
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def _already_stopping(_number: int, _frame: FrameType | None) -> None:
    logger.info("stopping")

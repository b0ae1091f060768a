"""The program `run`: puts the agent together on this machine; signals end it."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Final

from gateway import conntrack, logs
from gateway.acceptance import begin_floor, require_whole
from gateway.agent import Agent, SystemClock
from gateway.client import HttpPortal
from gateway.clock import SteadyClock
from gateway.config import VERSION, RunCommand
from gateway.engine import Engine
from gateway.events import EventReader
from gateway.evidence import Collector, Uploader
from gateway.journal import Journal
from gateway.kernel import LinuxKernel
from gateway.logs import Log
from gateway.naming import Naming
from gateway.notify import Supervisor
from gateway.publisher import Publisher
from gateway.resolver import DnsResolver
from gateway.rotation import Rotation
from gateway.spool import Spool
from gateway.stamping import Sequences
from gateway.store import Identity, Store
from gateway.telemetry import Telemetry
from gateway.totals import Totals
from gateway.trust import Anchor, Judge
from gateway.witness import Witness

log = Log(__name__)

COLLECT_AFTER: Final = 50_000
"""Values made before the garbage collector looks for cycles, 700 by default: reading a
snapshot makes hundreds of thousands and no cycle, and looking took a third of it."""
SWITCH_SECONDS: Final = 0.0005
"""A notice wants the interpreter a dozen times while another thread reads a snapshot;
at Python's default of 5 ms that alone would be 60."""
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def run(command: RunCommand) -> None:
    """Enforce until SIGTERM or SIGINT.

    Raises:
        GatewayError: it cannot start, or a part failed; the message says which.
    """
    logs.set_up(command.log_format, stream=sys.stderr, level=command.log_level)
    gc.set_threshold(COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_SECONDS)
    with contextlib.suppress(OSError):
        command.runtime.mkdir(mode=0o755, parents=True, exist_ok=True)
    # What is made from here on is the owner's, also by wireguard-go; what others may
    # read is given to them by name (`gateway.publisher`).
    os.umask(0o077)
    store = Store(command.state)
    identity = store.read_identity()
    clock = SteadyClock(SystemClock())
    telemetry = Telemetry(clock)
    boot_id = BOOT_ID.read_text(encoding="ascii").strip()
    with ExitStack() as closing:
        store.lock()
        closing.callback(store.unlock)
        require_whole(store, identity)
        identity = begin_floor(store, identity)
        kernel = LinuxKernel(command.interface, wireguard_log=store.wireguard_log)
        closing.callback(kernel.close)
        # The base ruleset comes before everything else: a boot starts closed.
        kernel.prepare(private_key=identity.wireguard_private_key)
        spool = Spool(store.spool_directory, limits=command.spool)
        closing.callback(spool.close)
        events = EventReader()
        closing.callback(events.close)
        totals = Totals(
            command.state, read=kernel.accepted.read, boot_id=boot_id, clock=clock
        )
        closing.callback(totals.close)
        collector = Collector(
            events=events,
            entries=conntrack.list_entries,
            evict=conntrack.evict_expired,
            spool=spool,
            journal=Journal(command.state),
            clock=clock,
            telemetry=telemetry,
            totals=totals,
        )
        judge = judge_of(identity)
        engine = Engine(
            judge=judge,
            store=store,
            kernel=kernel,
            observer=collector,
            clock=clock,
            boot_id=boot_id,
            heard=lambda issued: telemetry.compared(clock.hear(issued)),
        )
        portal = HttpPortal(
            identity,
            Sequences(store),
            clock=clock.now,
            correct=clock.correct,
            keep=store.write_identity,
        )
        agent = Agent(
            engine=engine,
            collector=collector,
            uploader=Uploader(portal=portal, spool=spool, judge=judge),
            naming=Naming(
                engine=engine,
                resolver=DnsResolver(command.resolvers),
                store=store,
                clock=clock,
                jitter=random.random,
            ),
            portal=portal,
            clock=clock,
            boot_id=boot_id,
            telemetry=telemetry,
            rotation=Rotation(
                keys=portal.keys,
                portal=portal,
                period=timedelta(days=command.key_days),
            ),
            witness=Witness(
                store=store, portal=portal, name=identity.gateway, clock=clock.now
            ),
        )
        publisher = Publisher(
            engine=engine,
            spool=spool,
            telemetry=telemetry,
            clock=clock,
            identity=identity,
            interface=command.interface,
            directory=command.runtime,
            supervisor=Supervisor(os.environ),
        )
        closing.callback(publisher.stop)
        closing.callback(agent.join)
        closing.callback(portal.close)
        closing.callback(agent.stop)
        closing.enter_context(stopping_on_signals(agent))
        agent.start()
        log.info("agent.started", gateway=identity.gateway, version=VERSION)
        publisher.start()
        agent.wait()
    log.info("agent.stopped", gateway=identity.gateway)


def judge_of(identity: Identity) -> Judge:
    """Return the judge for an enrolled gateway."""
    return Judge(
        anchor=Anchor(
            gateway=identity.gateway,
            deployment=identity.deployment,
            epoch=identity.epoch,
            keys=dict(identity.snapshot_keys),
        )
    )


@contextmanager
def stopping_on_signals(agent: Agent) -> Iterator[None]:
    """Stop on SIGTERM and SIGINT; the data plane stays as it is."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- signal(2)'s form
        agent.stop()

    before = [(n, signal.signal(n, stop)) for n in (signal.SIGTERM, signal.SIGINT)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)

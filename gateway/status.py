"""What the state directory knows, in words. Reading only; works beside the agent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from gateway import spool
from gateway.errors import StoreError, UntrustedError
from gateway.store import Store
from gateway.trust import Anchor, Held, Judge
from policies.compiler.named import bounds


def lines(state: Path, *, now: datetime) -> Iterator[str]:
    """Yield one line for each thing an operator asks for.

    Raises:
        StoreError: the directory holds no identity, or is damaged.
    """
    store = Store(state)
    identity = store.read_identity()
    yield f"gateway     {identity.gateway} of {identity.deployment}"
    yield f"portal      {identity.portal}"
    yield f"agent       {'running' if store.is_locked() else 'not running'}"
    judge = Judge(
        anchor=Anchor(
            gateway=identity.gateway,
            deployment=identity.deployment,
            epoch=identity.epoch,
            keys=dict(identity.snapshot_keys),
        )
    )
    yield from _snapshot_lines(store, judge, now)
    yield f"spool       {spool.depth(store.spool_directory)} records to deliver"


def _snapshot_lines(store: Store, judge: Judge, now: datetime) -> Iterator[str]:
    envelope = store.read_accepted()
    if envelope is None:
        yield "generation  none accepted yet: closed"
        return
    try:
        held = judge.snapshot(envelope, held=None, now=now)
    except UntrustedError as exc:
        raise StoreError(f"the stored snapshot is not acceptable: {exc}") from exc
    snapshot = held.snapshot
    yield f"generation  {snapshot.epoch}.{snapshot.generation}, {held.digest[:16]}"
    yield f"peers       {len(snapshot.peers)}, grants {len(snapshot.grants)}"
    yield f"lease       {_lease(store, judge, held, now)}"
    resolved = store.read_names()
    for host in bounds(snapshot):
        found = resolved.get(host, {})
        live = sorted(str(a) for a, end in found.items() if now < end)
        yield f"name        {host}: {', '.join(live) or 'stands for nothing'}"


def _lease(store: Store, judge: Judge, held: Held, now: datetime) -> str:
    envelope = store.read_lease()
    if envelope is None:
        return "none: closed"
    try:
        lease = judge.lease(envelope, of=held, held=None, now=now)
    except UntrustedError as exc:
        return f"closed: {exc}"
    left = int((lease.not_after - now).total_seconds())
    return f"{left} s left, until {lease.not_after:%Y-%m-%dT%H:%M:%SZ}"

"""Going on without what this gateway remembered, because an operator says so.

A state directory that lost a file, or holds a damaged one, is not repaired in silence:
with it went a promise never to go back. `run` refuses then and names the file; `accept`
says what is lost by each, puts it aside and makes what is needed to start.

The keys are not among them: without `identity.json` the host is another gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.errors import StoreError, UntrustedError
from gateway.flows import text_time
from gateway.notices import stored_cuts
from gateway.spool import Spool
from gateway.stamping import Channel
from gateway.standing import (
    EPOCH,
    FLOOR,
    REVOKED,
    RevokedKeys,
    Standing,
    floor_with,
    is_remembered,
    read_epoch,
    read_floor,
    write_floor,
)
from gateway.store import ACCEPTED, NOTICES, SEQUENCES, Identity, Store, damaged
from gateway.trust import Anchor, Judge

NUMBERS_A_SECOND: Final = 1000
"""New numbers begin at so many for each second since 1970: above all that were used."""
ASIDE: Final = ".damaged"
MAX_WHAT: Final = 1000


def require_whole(store: Store, identity: Identity) -> None:
    """Find that nothing is gone which says how far this gateway has come.

    Raises:
        StoreError: a file is; the message says what to do.
    """
    if not store.has_sequences():
        raise StoreError(damaged(store.directory / SEQUENCES))
    if identity.keeps_floor and not (store.directory / FLOOR).exists():
        raise StoreError(damaged(store.directory / FLOOR))


def begin_floor(store: Store, identity: Identity) -> Identity:
    """Keep a floor from now on, where there was none yet; return the identity.

    Raises:
        StoreError: it could not be made durable.
    """
    if identity.keeps_floor:
        return identity
    Standing(store.directory).remember(identity.epoch, 0)
    kept = replace(identity, keeps_floor=True)
    store.write_identity(kept)
    return kept


def accept(directory: Path, *, now: datetime) -> Iterator[str]:
    """Put aside what is damaged; yield what is lost by it, a line each.

    Raises:
        StoreError: an agent runs on the directory, or its identity is damaged.
        SpoolError: it could not be noted as evidence; it is done all the same.
    """
    store = Store(directory)
    identity = store.read_identity()
    store.lock()
    try:
        said = [*_mended(store, identity, now)]
        yield from said or ["nothing is damaged, nothing was changed"]
        if said:
            _note(store, said, now)
    finally:
        store.unlock()


def _mended(store: Store, identity: Identity, now: datetime) -> Iterator[str]:
    directory = store.directory
    if not store.has_sequences() or _is_broken(store.read_sequences):
        _aside(directory / SEQUENCES)
        first = int(now.timestamp()) * NUMBERS_A_SECOND
        store.write_sequences({channel.value: first for channel in Channel})
        yield "the numbers of requests: they go on far above those before"
    if _is_broken(lambda: RevokedKeys(directory / REVOKED)):
        _aside(directory / REVOKED)
        yield "the revoked keys this gateway knew: it knows those of the next snapshot"
    if _is_broken(lambda: read_epoch(directory)):
        _aside(directory / EPOCH)
        yield "the epoch reached: the one of the floor counts, or of the enrolment"
    if _is_broken(lambda: read_floor(directory)):
        _aside(directory / FLOOR)
    floor, revoked = read_floor(directory), RevokedKeys(directory / REVOKED)
    if not is_remembered(floor, revoked):
        write_floor(directory, floor_with(floor.epoch, floor.generation, revoked))
        yield "revoked keys that were known: the next snapshot names them"
    yield from _mended_signed(store, identity, now)
    if identity.keeps_floor and not Standing(directory).has_floor():
        Standing(directory).remember(identity.epoch, 0)
        yield "the generation accepted last: whatever the portal signs next counts"


def _mended_signed(store: Store, identity: Identity, now: datetime) -> Iterator[str]:
    standing = Standing(store.directory)
    judge = Judge(
        anchor=standing.raised(
            Anchor(
                gateway=identity.gateway,
                deployment=identity.deployment,
                epoch=identity.epoch,
                keys=dict(identity.snapshot_keys),
            )
        )
    )
    if _is_broken(lambda: stored_cuts(store, judge)):
        _aside(store.directory / NOTICES)
        yield "the notices of revocation: the next snapshot names who was cut off"
    if _is_broken(lambda: _snapshot(store, judge, standing, now)):
        _aside(store.directory / ACCEPTED)
        yield "the snapshot: the gateway is closed until the portal sends it"


def _snapshot(store: Store, judge: Judge, standing: Standing, now: datetime) -> None:
    envelope, cut = store.read_accepted(), stored_cuts(store, judge).keys
    if envelope is not None:
        revoked = frozenset(standing.revoked) - cut
        judge.stored(envelope, now=now, revoked=revoked, least=standing.kept)


def _is_broken(read: Callable[[], object]) -> bool:
    try:
        read()
    except (StoreError, UntrustedError):
        return True
    return False


def _aside(path: Path) -> None:
    try:
        path.replace(path.with_name(path.name + ASIDE))
    except FileNotFoundError:
        return
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror}") from exc


def _note(store: Store, said: list[str], now: datetime) -> None:
    """Leave it as evidence: the portal shows it as a drift."""
    what = f"the operator accepted a loss: {'; '.join(said)}"[:MAX_WHAT]
    spool = Spool(store.spool_directory)
    try:
        spool.append({"kind": "drift", "at": text_time(now), "what": what})
    finally:
        spool.close()

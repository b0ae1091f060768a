"""What this gateway does, in words or as JSON. Reading only; works beside the agent.

The running agent publishes its own state (`gateway.publisher`); this reads it. While
the agent is down the state directory says what it would take up again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gateway import report, spool
from gateway.clock import NEAR
from gateway.config import StatusCommand
from gateway.errors import StoreError, UntrustedError
from gateway.publisher import STATUS
from gateway.standing import Standing
from gateway.store import Identity, Store
from gateway.trust import Anchor, Held, Judge
from gateway.witness import parse_kept
from policies.compiler.named import bounds

SILENT_SECONDS: Final = 15.0
"""A running agent publishes every two seconds."""


def lines(command: StatusCommand, *, now: datetime) -> Iterator[str]:
    """Yield one line for each thing an operator asks for; one JSON object if asked.

    Raises:
        StoreError: the directory holds no identity, or is damaged.
    """
    found = document(command.state, command.runtime, now=now)
    if command.is_json:
        yield json.dumps(found, indent=1)
        return
    yield f"gateway     {found['gateway']} of {found['deployment']}"
    yield f"portal      {found['portal']}"
    yield f"agent       {_agent(found)}"
    told = found["report"]
    yield from _told_lines(told, now) if told else _stored_lines(found["stored"])
    yield from _witness_lines(found["witness"])


def document(state: Path, runtime: Path, *, now: datetime) -> dict[str, Any]:
    """Return everything `status` knows.

    `agent` is `running`, `silent` (it runs and tells nothing) or `not running`;
    `report` is what a running agent said last, `stored` what a start would take up.
    """
    store = Store(state)
    identity = store.read_identity()
    is_running = store.is_locked()
    told = read_report(runtime) if is_running else None
    age = None if told is None else (now - _time(told["at"])).total_seconds()
    is_silent = age is None or age > SILENT_SECONDS
    return {
        "gateway": identity.gateway,
        "deployment": identity.deployment,
        "portal": identity.portal,
        "agent": ("silent" if is_silent else "running")
        if is_running
        else "not running",
        "report_age_seconds": None if age is None else round(age, 1),
        "report": told,
        "stored": None if told else stored(store, identity, now=now),
        "witness": _witness(store, identity),
    }


def read_report(runtime: Path) -> dict[str, Any] | None:
    """Return what the running agent said last, or None."""
    try:
        found = json.loads((runtime / STATUS).read_bytes())
    except (OSError, ValueError):
        return None
    return (
        found if isinstance(found, dict) and found.get("form") == report.FORM else None
    )


def stored(store: Store, identity: Identity, *, now: datetime) -> dict[str, Any]:
    """Return what the state directory holds.

    Raises:
        StoreError: the stored snapshot is not acceptable.
    """
    anchor = Standing(store.directory).raised(
        Anchor(
            gateway=identity.gateway,
            deployment=identity.deployment,
            epoch=identity.epoch,
            keys=dict(identity.snapshot_keys),
        )
    )
    judge = Judge(anchor=anchor)
    held = _held(store, judge, now)
    resolved = store.read_names()
    snapshot = held.snapshot if held else None
    return {
        "epoch": snapshot.epoch if snapshot else anchor.epoch,
        "generation": snapshot.generation if snapshot else 0,
        "digest": held.digest if held else "",
        "listen_port": snapshot.listen_port if snapshot else 0,
        "peers": len(snapshot.peers) if snapshot else 0,
        "grants": len(snapshot.grants) if snapshot else 0,
        "lease": _lease(store, judge, held, now) if held else "none: closed",
        "names": {
            host: sorted(
                str(a) for a, end in resolved.get(host, {}).items() if now < end
            )
            for host in (bounds(snapshot) if snapshot else ())
        },
        "spool_records": spool.depth(store.spool_directory),
    }


def _witness(store: Store, identity: Identity) -> dict[str, Any] | None:
    """Return the witness's key, for an auditor's policy file, and what it signed."""
    document = store.read_witness()
    if document is None:
        return None
    kept = parse_kept(document)
    return {
        "key": str(kept.public_key(identity.gateway)),
        "signed": {name: head.size for name, head in sorted(kept.heads.items())},
    }


def _witness_lines(found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield "witness     no key yet: it is made at the first start"
        return
    yield f"witness     {found['key']}"
    signed = [f"{name} up to {size} leaves" for name, size in found["signed"].items()]
    yield f"cosigned    {', '.join(signed) or 'nothing yet'}"


def _agent(found: Mapping[str, Any]) -> str:
    told = found["report"]
    match found["agent"]:
        case "running":
            return f"running, version {told['version']}, since {told['started_at']}"
        case "silent":
            age = found["report_age_seconds"]
            since = "at all" if age is None else f"for {age:.0f} s"
            return f"runs and has told nothing {since}: it hangs, or cannot write"
        case _:
            return "not running: the kernel closes within a minute of its end"


def _told_lines(told: Mapping[str, Any], now: datetime) -> Iterator[str]:
    yield f"generation  {_generation(told)}"
    yield f"peers       {told['peers']}, grants {told['grants']}"
    yield f"lease       {told['lease_seconds']:.0f} s left"
    gate = told["gate"]
    yield f"gate        {'open' if gate['is_open'] else 'closing: ' + gate['reason']}"
    if told.get("withheld"):
        yield f"withheld    {', '.join(told['withheld'])}: their terms are not met"
    last = told["last"]
    yield f"poll        {_last(last['polled_at'], last['poll_error'], now)}"
    yield (
        "ack         "
        f"{_last(last['acknowledged_at'], last['acknowledgement_error'], now)}"
    )
    waits = told["spool"]
    yield f"spool       {waits['records']} records to deliver, {waits['bytes']} bytes"
    yield f"upload      {_last(last['uploaded_at'], last['upload_error'], now)}"
    yield f"flows cut   {told['flows_cut']}"
    yield f"drift       {report.drifts(told)} found since the start"
    yield f"clock       {_clock(told['clock_offset_seconds'])}"
    yield from _name_lines(told["names"])


def _stored_lines(found: Mapping[str, Any]) -> Iterator[str]:
    if found["generation"]:
        number = f"{found['epoch']}.{found['generation']}"
        yield f"generation  {number}, {found['digest'][:16]}, stored"
    else:
        yield "generation  none accepted yet: closed"
    yield f"peers       {found['peers']}, grants {found['grants']}"
    yield f"lease       {found['lease']}"
    yield f"spool       {found['spool_records']} records to deliver"
    yield from _name_lines(found["names"])


def _name_lines(names: Mapping[str, list[str]]) -> Iterator[str]:
    for host, addresses in names.items():
        yield f"name        {host}: {', '.join(addresses) or 'stands for nothing'}"


def _generation(told: Mapping[str, Any]) -> str:
    number = f"{told['epoch']}.{told['generation']}"
    if not told["accepted_generation"]:
        return "none accepted yet: closed"
    if told["generation"] != told["accepted_generation"]:
        accepted = f"{told['epoch']}.{told['accepted_generation']}"
        return f"{accepted} is not in force: {told['last']['apply_error']}"
    return f"{number} in force"


def _last(moment: str | None, error: str, now: datetime) -> str:
    ago = (
        "never"
        if moment is None
        else f"{(now - _time(moment)).total_seconds():.0f} s ago"
    )
    return f"{ago}, failing now: {error}" if error else ago


def _clock(offset: float | None) -> str:
    if offset is None:
        return "not yet compared with the portal's"
    text = f"{abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} the portal"
    return f"{text}: set it" if abs(offset) > NEAR.total_seconds() else text


def _held(store: Store, judge: Judge, now: datetime) -> Held | None:
    envelope = store.read_accepted()
    if envelope is None:
        return None
    try:
        return judge.stored(envelope, now=now)
    except UntrustedError as exc:
        raise StoreError(f"the stored snapshot is not acceptable: {exc}") from exc


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


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)

"""Who witnesses the logs: whom the policy file names, and what each signed last.

The policy file (`PEERAGE_LOG_POLICY_FILE`) is the one an auditor gives the verifier.
Whoever signs without being named there is shown, too, and counts for no quorum.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings

from audit.models import Cosignature, Log, SealedCheckpoint, SealerState, Witness
from audit.tlog.note import NoteError
from audit.tlog.policy import Policy, PolicyError, parse_policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

LOOKED_AT: Final = 20
"""Checkpoints that are tried for a quorum, the newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a witness signed last of a log, and how many leaves came since.

    `size` and `at` are None when it signed nothing.
    """

    log: Log
    size: int | None
    at: datetime | None
    behind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessState:
    """A witness. `name` is the one of its key; `called` the policy file's, or empty."""

    name: str
    called: str
    key: str
    since: datetime | None
    has_other_key: bool
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """Whether a log's witnesses suffice: up to which size, or why not."""

    log: Log
    size: int | None
    by: tuple[str, ...]
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessing:
    """Everything about witnesses; `problem` says why the policy file is not read."""

    policy: Policy | None
    problem: str
    witnesses: tuple[WitnessState, ...]
    quorums: tuple[Quorum, ...]


def named_policy() -> Policy | None:
    """Return the policy that the deployment names; None if it names none.

    Raises:
        PolicyError: the file cannot be read, or says what cannot be meant.
    """
    path = settings.PEERAGE_LOG_POLICY_FILE
    if not path:
        return None
    try:
        return parse_policy(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise PolicyError(f"{path} cannot be read: {exc}") from exc


def witnessing() -> Witnessing:
    """Return who witnesses both logs, and whether that is enough."""
    policy, problem = None, ""
    try:
        policy = named_policy()
    except PolicyError as exc:
        problem = str(exc)
    return Witnessing(
        policy=policy,
        problem=problem,
        witnesses=tuple(_witnesses(policy)),
        quorums=() if policy is None else tuple(_quorum(log, policy) for log in Log),
    )


def _witnesses(policy: Policy | None) -> Iterable[WitnessState]:
    """Yield the named ones as the file has them, then the others by name."""
    known = Witness.objects.in_bulk()
    sizes = dict(SealerState.objects.values_list("log", "size"))
    last = _last()
    named = policy.witnesses.items() if policy else ()
    for called, key in named:
        began = known.pop(key.name, None)
        yield WitnessState(
            name=key.name,
            called=called,
            key=str(key),
            since=began.since if began else None,
            has_other_key=began is not None and began.key != str(key),
            marks=_marks(key.name, last, sizes),
        )
    for name, began in sorted(known.items()):
        yield WitnessState(
            name=name,
            called="",
            key=began.key,
            since=began.since,
            has_other_key=False,
            marks=_marks(name, last, sizes),
        )


def _last() -> dict[tuple[str, str], Cosignature]:
    found = Cosignature.objects.order_by("size").defer("line")
    return {(one.witness, one.log): one for one in found}


def _marks(
    name: str,
    last: Mapping[tuple[str, str], Cosignature],
    sizes: Mapping[str, int],
) -> tuple[Mark, ...]:
    marks = []
    for log in Log:
        signed = last.get((name, log.value))
        size = signed.size if signed else None
        marks.append(
            Mark(
                log=log,
                size=size,
                at=signed.at if signed else None,
                behind=max(0, sizes.get(log.value, 0) - (size or 0)),
            )
        )
    return tuple(marks)


def _quorum(log: Log, policy: Policy) -> Quorum:
    """Return the newest checkpoint that the policy believes, or why none is."""
    lines: dict[int, list[str]] = {}
    for found in Cosignature.objects.filter(log=log).order_by("-size", "witness"):
        lines.setdefault(found.size, []).append(found.line)
    newest = SealedCheckpoint.objects.filter(log=log).order_by("-size").first()
    if newest is None:
        return Quorum(log=log, size=None, by=(), problem="nothing was sealed yet")
    sizes = sorted({newest.size, *lines}, reverse=True)[:LOOKED_AT]
    notes = SealedCheckpoint.objects.filter(log=log, size__in=sizes).order_by("-size")
    problem = ""
    for said in notes:
        note = said.note + "".join(lines.get(said.size, ()))
        try:
            accepted = policy.check(note.encode())
        except NoteError as exc:
            problem = str(exc)
        else:
            by = tuple(sorted(accepted.witnesses))
            return Quorum(log=log, size=said.size, by=by, problem="")
    return Quorum(log=log, size=None, by=(), problem=problem)

"""Whom a verifier believes: a file of logs, witnesses, groups and one quorum.

The format is Sigsum's, with C2SP verifier keys, which carry the names that signature
lines carry:

    log NAME+ID+KEY [URL]
    witness W1 NAME+ID+KEY [URL]
    group outside 2 W1 W2 W3        # or: any, all; members may be groups
    quorum outside                  # or: none

A name is defined above the line that uses it. Exactly one line says the quorum: who
wants no witness has to write so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from audit.tlog.cosignature import WitnessKey, cosigned_at, parse_witness_key
from audit.tlog.note import (
    DECIMAL,
    Checkpoint,
    NoteError,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    verify_note,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NONE: Final = "none"


class PolicyError(ValueError):
    """A policy file says what cannot be meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """At least `threshold` of the members must have signed."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A checkpoint that was believed, and the witnesses who signed it, with when."""

    checkpoint: Checkpoint
    witnesses: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Logs, witnesses by name, groups by name, and the name that must be satisfied."""

    logs: tuple[VerifierKey, ...]
    witnesses: Mapping[str, WitnessKey]
    groups: Mapping[str, Group]
    quorum: str

    def check(self, data: bytes) -> Accepted:
        """Return the checkpoint of a note that this policy accepts.

        Raises:
            NoteError: malformed, not signed by the log it names, wrongly signed by
                one of the witnesses, or signed by too few of them.
        """
        origin = parse_checkpoint(parse_note(data).text).origin
        logs = [key for key in self.logs if key.name == origin]
        if not logs:
            raise NoteError(f"no key of the log {origin!r} is known")
        verify_note(data, logs)
        keys = {(key.name, key.key_id): name for name, key in self.witnesses.items()}
        note = verify_note(data, [*logs, *self.witnesses.values()])
        signed = {
            keys[line.name, line.key_id]: cosigned_at(line.signature)
            for line in note.signatures
            if (line.name, line.key_id) in keys
        }
        if not self._satisfied(self.quorum, signed):
            raise NoteError(
                f"the quorum {self.quorum!r} is not reached: signed by "
                f"{', '.join(sorted(signed)) or 'no witness'}"
            )
        return Accepted(checkpoint=parse_checkpoint(note.text), witnesses=signed)

    def without_quorum(self) -> Policy:
        """Return the policy for old checkpoints, whose cosignatures were not kept."""
        return replace(self, quorum=NONE)

    def _satisfied(self, name: str, signed: Iterable[str]) -> bool:
        if name == NONE:
            return True
        if group := self.groups.get(name):
            held = sum(self._satisfied(member, signed) for member in group.members)
            return held >= group.threshold
        return name in signed


def trusting(*logs: VerifierKey) -> Policy:
    """Return the policy of somebody who believes logs without any witness."""
    return Policy(logs=logs, witnesses={}, groups={}, quorum=NONE)


def parse_policy(text: str) -> Policy:
    """Read a policy file.

    Raises:
        PolicyError: a line is not one of the four, a name is not defined above, or
            defined twice, no log, or not one quorum. The message names the line.
    """
    reader = _Reader()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        try:
            reader.read(words)
        except (NoteError, PolicyError) as exc:
            raise PolicyError(f"line {number}: {exc}") from exc
    if not reader.logs or reader.quorum is None:
        raise PolicyError("a policy has at least one log and exactly one quorum")
    # A log that watches itself watches nothing.
    own = {key.public_key for key in reader.logs}
    for name, key in reader.witnesses.items():
        if key.public_key in own:
            raise PolicyError(f"the key of {name!r} is a log's too")
    return Policy(
        logs=tuple(reader.logs),
        witnesses=reader.witnesses,
        groups=reader.groups,
        quorum=reader.quorum,
    )


class _Reader:
    """What the lines so far have said."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[str, WitnessKey] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None

    def read(self, words: list[str]) -> None:
        match words:
            case []:
                pass
            case ["log", key] | ["log", key, _]:
                self.logs.append(parse_verifier_key(key))
            case ["witness", name, key] | ["witness", name, key, _]:
                self._add_witness(self._new(name), parse_witness_key(key))
            case ["group", name, threshold, *members] if members:
                self.groups[self._new(name)] = self._group(threshold, members)
            case ["quorum", name] if self.quorum is None:
                self.quorum = name if name == NONE else self._defined(name)
            case _:
                raise PolicyError(f"not understood: {' '.join(words)!r}")

    def _add_witness(self, name: str, key: WitnessKey) -> None:
        # One witness under two names would count twice.
        if any(key.public_key == other.public_key for other in self.witnesses.values()):
            raise PolicyError(f"the key of {name!r} is another witness's too")
        self.witnesses[name] = key

    def _group(self, threshold: str, members: list[str]) -> Group:
        if len(set(members)) != len(members):
            raise PolicyError("a member is named twice")
        for member in members:
            self._defined(member)
        match threshold:
            case "any":
                least = 1
            case "all":
                least = len(members)
            case _ if DECIMAL.fullmatch(threshold):
                least = int(threshold)
            case _:
                raise PolicyError(f"{threshold!r} is not any, all or a number")
        if not 1 <= least <= len(members):
            raise PolicyError(f"{least} of {len(members)} members cannot be meant")
        return Group(threshold=least, members=tuple(members))

    def _new(self, name: str) -> str:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise PolicyError(f"the name {name!r} is taken")
        return name

    def _defined(self, name: str) -> str:
        if name not in self.witnesses and name not in self.groups:
            raise PolicyError(f"{name!r} is not defined above")
        return name

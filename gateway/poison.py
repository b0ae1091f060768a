"""A snapshot that breaks the agent is tried three times and no more.

What is signed is believed, but a bug may lie where it is read or applied: the agent
then raises what it should not, or dies. So what is about to be tried is written down,
with how often, and taken off the list when the trial ended well or in a plain refusal.

* After three trials that broke the agent the same envelope is refused unread; another
  generation is tried as ever.
* Until then, and after, what was accepted before is in force, for as long as its own
  lease runs. A start that finds only what broke it goes back to that as well.
* Running out of memory ends the process: a fresh one may have enough.

The list is not made durable: it must outlive the agent, not the machine. It holds the
last few envelopes that broke something, however many come.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.client import Answer
from gateway.engine import Engine
from gateway.errors import GatewayError, StoreError, UntrustedError
from gateway.logs import Log
from gateway.store import ACCEPTED

log = Log(__name__)

MOST_TRIALS: Final = 3
MOST_KEPT: Final = 64
TRIALS: Final = "trials.json"
BEFORE: Final = "accepted.before.json"


class Taster:
    """Lets an engine try what comes, and remembers what broke it."""

    def __init__(self, engine: Engine) -> None:
        """Read what earlier runs tried in vain."""
        self._engine = engine
        self._store = engine.store
        self._path = self._store.directory / TRIALS
        self._before = self._store.directory / BEFORE
        self._trials = dict(_read(self._path))

    def open(self) -> dict[str, object] | None:
        """Take up what is stored, or what was in force before if that broke us.

        Raises:
            StoreError: what is stored cannot be used (`Engine.open`).
        """
        stored = self._store.read_accepted()
        if stored is not None and self._is_poison(stored):
            log.error("snapshot.abandoned", trials=MOST_TRIALS)
            self._restore()
            stored = self._store.read_accepted()
        if stored is None:
            return self._engine.open()
        self._begin(stored)
        acknowledgement = self._engine.open()
        self._end(stored)
        return acknowledgement

    def receive(self, answer: Answer) -> dict[str, object] | None:
        """Let the engine receive an answer.

        Raises:
            UntrustedError: the answer breaks a rule of trust, or broke the agent.
            StoreError: it could not be made durable.
        """
        offered = answer.snapshot or answer.delta
        if offered is None:
            return self._engine.receive(answer)
        if self._is_poison(offered):
            raise UntrustedError(f"it broke this agent {MOST_TRIALS} times")
        self._keep_before()
        self._begin(offered)
        try:
            acknowledgement = self._engine.receive(answer)
        except (GatewayError, MemoryError) as exc:
            if isinstance(exc, GatewayError):
                self._end(offered)
            raise
        except Exception as exc:
            log.error("snapshot.broke_agent", error=repr(exc))  # noqa: TRY400 -- facts are fields
            if self._restore():
                self._engine.open()
            raise UntrustedError(f"it broke this agent: {type(exc).__name__}") from exc
        self._end(offered)
        return acknowledgement

    def _keep_before(self) -> None:
        """Give the accepted file a second name; a new one takes only the first."""
        accepted = self._store.directory / ACCEPTED
        try:
            with contextlib.suppress(FileNotFoundError):
                self._before.unlink(missing_ok=True)
                self._before.hardlink_to(accepted)
        except OSError as exc:
            raise StoreError(f"{self._before}: {exc.strerror}") from exc

    def _restore(self) -> bool:
        """Accept again what was accepted before, if there is anything."""
        try:
            self._store.write_accepted(self._before.read_bytes())
        except FileNotFoundError:
            return False
        return True

    def _is_poison(self, envelope: bytes) -> bool:
        return self._trials.get(_name(envelope), 0) >= MOST_TRIALS

    def _begin(self, envelope: bytes) -> None:
        name = _name(envelope)
        # Last in the list is what was tried last.
        self._trials[name] = self._trials.pop(name, 0) + 1
        for oldest in [*self._trials][:-MOST_KEPT]:
            del self._trials[oldest]
        self._write()

    def _end(self, envelope: bytes) -> None:
        self._trials.pop(_name(envelope), None)
        self._write()

    def _write(self) -> None:
        try:
            self._path.write_text(json.dumps(self._trials), encoding="utf-8")
        except OSError as exc:
            # A disk that is full ends no agent: it must hear of revocations.
            log.warning("trials.unwritten", reason=exc.strerror)


def _name(envelope: bytes) -> str:
    return hashlib.sha256(envelope).hexdigest()


def _read(path: Path) -> Mapping[str, int]:
    """Return what was tried; nothing where the list is gone or cut short."""
    try:
        listed = json.loads(path.read_bytes())
        return {str(name): int(count) for name, count in listed.items()}
    except (OSError, ValueError, AttributeError):
        return {}

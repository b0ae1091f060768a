"""What makes a request this gateway's own: its key, its number, its date (ADR-0020).

Key, number and date are given out together, so that whatever overtakes whatever on the
way, a lower number never bears a later date than a higher one, and a key that was
replaced none than its successor's: either would look like a second holder of the key.

The key is replaced in three steps, each durable before the next, and at each of them a
restart finds a key that counts:

1. a new key is made, and endorsed by the one in use; both are kept;
2. the portal is told, in a request that the new key signs;
3. the new key is used from now on, the old one forgotten. The endorsement stays: a
   portal that was restored from a backup, and knows the old key only, is told again.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.store import Identity, Store

RESERVED: Final = 1000
STEP_BACK_SECONDS: Final = 60
"""A date that is further ahead of the clock than this the portal refuses anyway."""
ENDORSEMENT_CONTEXT: Final = b"peerage gateway key v1\n"


class Channel(StrEnum):
    """The last path segment of a signed request; each has its own sequence."""

    SNAPSHOT = "snapshot"
    NOTICES = "notices"
    ACKS = "acks"
    EVIDENCE = "evidence"
    NAMES = "names"
    REVOKED = "revoked"
    WITNESS = "witness"
    KEY = "key"


class Sequences:
    """Strictly increasing numbers per channel, across restarts."""

    def __init__(self, store: Store) -> None:
        """Go on after everything that an earlier run may have used."""
        self._store = store
        self._reserved = store.read_sequences()
        self._used = dict(self._reserved)
        self._lock = threading.Lock()

    def next(self, channel: Channel) -> int:
        """Return the next number of a channel, reserving on disk where needed."""
        with self._lock:
            number = self._used.get(channel, 0) + 1
            if number > self._reserved.get(channel, 0):
                reserved = {**self._reserved, channel.value: number + RESERVED}
                self._store.write_sequences(reserved)
                self._reserved = reserved
            self._used[channel.value] = number
            return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What signs one request; `created` is seconds since 1970."""

    key: Ed25519PrivateKey
    sequence: int
    created: int


class RequestKeys:
    """The key in use, and perhaps its successor. Safe to share between threads."""

    def __init__(
        self,
        identity: Identity,
        sequences: Sequences,
        *,
        clock: Callable[[], datetime],
        keep: Callable[[Identity], None],
    ) -> None:
        """Sign for `identity`; `keep` makes a changed one durable."""
        self._identity = identity
        self._sequences = sequences
        self._clock = clock
        self._keep = keep
        self._lock = threading.RLock()
        self._created = 0

    @property
    def gateway(self) -> str:
        """Who signs."""
        return self._identity.gateway

    @property
    def has_successor(self) -> bool:
        """Whether a key was made that is not used yet."""
        return bool(self._identity.next_signing_seed)

    @property
    def can_be_introduced(self) -> bool:
        """Whether a key before endorses the newest."""
        return bool(self._identity.endorsement)

    def stamp(self, channel: Channel) -> Stamp:
        """Return what signs the next request on a channel."""
        with self._lock:
            identity = self._identity
            seed = identity.signing_seed
            if channel is Channel.KEY:
                seed = identity.next_signing_seed or seed
            return Stamp(
                key=Ed25519PrivateKey.from_private_bytes(seed),
                sequence=self._sequences.next(channel),
                created=self._date(),
            )

    def offer(self) -> dict[str, str]:
        """Return what introduces the newest key to the portal."""
        with self._lock:
            identity = self._identity
            newest = identity.next_signing_seed or identity.signing_seed
            return {
                "signing_key": _public_text(newest),
                "endorsement": identity.endorsement,
            }

    def is_due(self, *, period: timedelta) -> bool:
        """Return whether the key in use is old; its age counts from when it is known.

        Raises:
            StoreError: the date could not be kept.
        """
        with self._lock:
            now = self._clock()
            if self._identity.signing_key_at is None:
                self._change(replace(self._identity, signing_key_at=now))
            begun = self._identity.signing_key_at or now
            return now - begun >= period

    def prepare(self) -> None:
        """Make a successor, endorsed by the key in use, unless there is one.

        Raises:
            StoreError: it could not be kept; there is none then.
        """
        with self._lock:
            identity = self._identity
            if identity.next_signing_seed:
                return
            seed = Ed25519PrivateKey.generate().private_bytes_raw()
            text = f"{identity.gateway}\n{_public_text(seed)}".encode()
            in_use = Ed25519PrivateKey.from_private_bytes(identity.signing_seed)
            endorsement = in_use.sign(ENDORSEMENT_CONTEXT + text)
            self._change(
                replace(
                    identity,
                    next_signing_seed=seed,
                    endorsement=base64.b64encode(endorsement).decode(),
                )
            )

    def take_over(self) -> None:
        """Use the successor from now on, if there is one, and forget the key before.

        Raises:
            StoreError: that could not be kept; the key before is used still.
        """
        with self._lock:
            seed = self._identity.next_signing_seed
            if seed:
                self._change(
                    replace(
                        self._identity,
                        signing_seed=seed,
                        next_signing_seed=b"",
                        signing_key_at=self._clock(),
                    )
                )

    def discard(self) -> None:
        """Forget a successor that the portal does not take for good.

        Raises:
            StoreError: that could not be kept.
        """
        with self._lock:
            self._change(replace(self._identity, next_signing_seed=b"", endorsement=""))

    def _change(self, identity: Identity) -> None:
        # On disk first: what is used must be found again after a crash.
        self._keep(identity)
        self._identity = identity

    def _date(self) -> int:
        """Return the time in seconds, never earlier than before while that counts."""
        now = int(self._clock().timestamp())
        is_near = self._created - now <= STEP_BACK_SECONDS
        self._created = max(self._created, now) if is_near else now
        return self._created


def _public_text(seed: bytes) -> str:
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return base64.b64encode(key.public_bytes_raw()).decode()

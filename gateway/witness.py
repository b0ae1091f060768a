"""The gateway as a witness of the portal's logs (ADR-0031).

Every few seconds the portal shows how each log continues the tree that this gateway
signed last. Only what provably does is kept, durably, and then cosigned. So a history
that was rewritten at the portal, with all its keys in hand, has no gateway's
signature; and the first key of a log that was seen here is the only one that is ever
believed. A refusal is told, kept as evidence, and stops nothing else: a gateway goes
on enforcing what it may.

The witness's key is made here and is not the key of requests: that one is replaced
every month, and an auditor wants a name that stays.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.tlog.cosignature import WitnessKey, cosign
from audit.tlog.note import NoteError, parse_note, parse_verifier_key
from audit.tlog.witnessing import (
    ForgedError,
    ForkError,
    Head,
    WitnessError,
    judge,
    parse_request,
    require_signed,
)
from gateway.errors import PortalAnswerError, StoreError
from gateway.logs import Log
from gateway.store import Store

log = Log(__name__)

LOGS: Final = ("control", "connections")
SEED_BYTES: Final = 32
MAX_REASON: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the portal shows of a log: its key, and the body of `add-checkpoint`."""

    key: str
    request: bytes


class WitnessedPortal(Protocol):
    """What a witness needs of a portal."""

    def show_log(self, name: str, *, old: int) -> Shown | None:
        """Return how a log continues its first `old` leaves; None: it is no longer."""

    def tell_witness(self, told: Mapping[str, str]) -> None:
        """Hand over a cosignature, or say why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is on disk: the key's seed, each log's key, and each log's head."""

    seed: bytes
    keys: Mapping[str, str] = field(default_factory=dict)
    heads: Mapping[str, Head] = field(default_factory=dict)

    def public_key(self, name: str) -> WitnessKey:
        """Return the public half, under the name of the gateway."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return WitnessKey(name=name, public_key=private.public_key().public_bytes_raw())

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        logs = {
            name: {
                "key": self.keys[name],
                "size": head.size,
                "root": base64.b64encode(head.root).decode(),
            }
            for name, head in self.heads.items()
        }
        return {"seed": base64.b64encode(self.seed).decode(), "logs": logs}


def parse_kept(document: Mapping[str, Any]) -> Kept:
    """Read what `Kept.document` wrote.

    Raises:
        StoreError: it is something else.
    """
    try:
        seed = base64.b64decode(document["seed"], validate=True)
        logs: Mapping[str, Any] = document["logs"]
        kept = Kept(
            seed=seed,
            keys={name: str(of["key"]) for name, of in logs.items()},
            heads={
                name: Head(size=int(of["size"]), root=base64.b64decode(of["root"]))
                for name, of in logs.items()
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise StoreError("the file of the witness is damaged") from exc
    if len(seed) != SEED_BYTES:
        raise StoreError("the key of the witness is damaged")
    return kept


class Witness:
    """Cosigns what continues what it cosigned. One thread steps it."""

    def __init__(
        self,
        *,
        store: Store,
        portal: WitnessedPortal,
        name: str,
        clock: Callable[[], datetime],
    ) -> None:
        """Take up what is stored; a key is made at the first start.

        Raises:
            StoreError: the file is damaged, or cannot be written.
        """
        self._store = store
        self._portal = portal
        self._name = name
        self._clock = clock
        document = store.read_witness()
        if document is None:
            self._kept = Kept(seed=secrets.token_bytes(SEED_BYTES))
            store.write_witness(self._kept.document())
        else:
            self._kept = parse_kept(document)
        self._refused: dict[str, type[WitnessError]] = {}

    @property
    def key(self) -> WitnessKey:
        """Return the public half, for an auditor's policy file."""
        return self._kept.public_key(self._name)

    def step(self) -> int:
        """Look at each log once; return how many were cosigned.

        Raises:
            PortalError: the portal did not answer.
            StoreError: a head could not be kept, so it was not signed.
        """
        return sum(self._look(name) for name in LOGS)

    def _look(self, name: str) -> bool:
        known = self._kept.heads.get(name, Head())
        shown = self._portal.show_log(name, old=known.size)
        if shown is None:
            return False
        try:
            size, line = self._signed(name, known, shown)
        except WitnessError as exc:
            self._refuse(name, shown, exc)
            return False
        self._refused.pop(name, None)
        told = {"log": name, "size": str(size), "key": str(self.key), "line": line}
        self._portal.tell_witness(told)
        return True

    def _signed(self, name: str, known: Head, shown: Shown) -> tuple[int, str]:
        text = self._kept.keys.get(name, shown.key)
        if text != shown.key:
            raise ForgedError(f"the key of the log {name} is not the one first seen")
        request = parse_request(shown.request)
        try:
            key = parse_verifier_key(text)
        except NoteError as exc:
            raise PortalAnswerError(f"the key of the log {name}: {exc}") from exc
        said = request.checkpoint()
        if said.size < known.size:
            # What the log's key did not sign convicts nobody.
            require_signed(request, key)
            raise ForkError(f"{said.size} leaves where there were {known.size}")
        head = judge(request, key=key, known=known)
        kept = Kept(
            seed=self._kept.seed,
            keys={**self._kept.keys, name: text},
            heads={**self._kept.heads, name: head},
        )
        self._store.write_witness(kept.document())
        self._kept = kept
        at = int(self._clock().timestamp())
        signed = cosign(
            parse_note(request.note).text, name=self._name, key=self._private(), at=at
        )
        return head.size, signed.line()

    def _refuse(self, name: str, shown: Shown, exc: WitnessError) -> None:
        if self._refused.get(name) is type(exc):
            # Said once: a portal that insists would else fill log and disk.
            return
        reason = str(exc)[:MAX_REASON]
        log.error("witness.refused", log=name, reason=reason)
        if isinstance(exc, ForkError):
            self._store.keep_fork(name, shown.request)
        self._refused[name] = type(exc)
        self._portal.tell_witness({"log": name, "refused": reason})

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._kept.seed)

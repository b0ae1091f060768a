"""Witnesses that sign the logs of a test, as gateways and strangers do."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.actor import SYSTEM
from audit.models import Log, SealedCheckpoint
from audit.sealing import keeping
from audit.sealing.sealer import Sealer
from audit.tlog.cosignature import WitnessKey, cosign
from audit.tlog.note import parse_note
from audit.witnesses import take_cosignature


class TestWitness:
    """One witness, which signs whatever it is shown."""

    __test__: Final = False

    def __init__(self, name: str, seed: int) -> None:
        """Take a key that its number makes."""
        self.name = name
        self.private = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))

    @property
    def key(self) -> WitnessKey:
        """Return the public half."""
        public = self.private.public_key().public_bytes_raw()
        return WitnessKey(name=self.name, public_key=public)

    def sign(self, log: Log, now: datetime) -> int:
        """Sign the newest checkpoint; return its size."""
        said = SealedCheckpoint.objects.filter(log=log).order_by("-size")[0]
        text = parse_note(said.note.encode()).text
        signed = cosign(text, name=self.name, key=self.private, at=int(now.timestamp()))
        take_cosignature(
            log=log,
            size=said.size,
            key=str(self.key),
            line=signed.line(),
            name=self.name,
            actor=SYSTEM,
            now=now,
        )
        return said.size


def seal_all(now: datetime) -> None:
    """Seal both logs."""
    for log in Log:
        Sealer(log).seal(now)


def policy_of(*named: tuple[str, TestWitness]) -> str:
    """Return a policy file of both logs that asks for all of these witnesses."""
    logs = [f"log {keeping.verifier_key(log)}" for log in Log]
    lines = [f"witness {called} {witness.key}" for called, witness in named]
    names = " ".join(called for called, _ in named)
    ends = ["quorum none"] if not named else [f"group them all {names}", "quorum them"]
    return "\n".join([*logs, *lines, *ends, ""])

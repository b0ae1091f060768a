"""What a witness asks before it signs (C2SP tlog-witness), as pure functions.

A witness remembers one head for each log. It signs a checkpoint of that log's key
that provably continues this head, and nothing else; it writes the new head down
before it lets go of its signature, so that after a crash it has never signed two
histories. Which answer each refusal is over HTTP stands at its class.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from audit.tlog.merkle import EMPTY_ROOT, ProofError, verify_consistency
from audit.tlog.note import (
    DECIMAL,
    Checkpoint,
    NoteError,
    VerifierKey,
    decoded,
    parse_checkpoint,
    parse_note,
    verify_note,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_REQUEST: Final = 64 * 1024
MAX_PROOF: Final = 63
"""C2SP tlog-witness: a proof has at most so many hashes."""


class WitnessError(Exception):
    """A checkpoint is not signed; `status` is the answer's (C2SP tlog-witness)."""

    status = 400


class MalformedError(WitnessError):
    """The request is none."""


class StrangerError(WitnessError):
    """The log is not known here."""

    status = 404


class ForgedError(WitnessError):
    """The log's key did not sign the checkpoint."""

    status = 403


class StaleError(WitnessError):
    """The proof begins elsewhere than at the head; `size` is where it has to."""

    status = 409

    def __init__(self, size: int) -> None:
        """Keep what the log has to prove from."""
        super().__init__(f"prove from {size}")
        self.size = size


class ForkError(WitnessError):
    """The log's key signed a tree that does not continue the one it signed before.

    The head and this request together convict whoever holds that key.
    """

    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The largest tree of a log that a witness has signed."""

    size: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A checkpoint, and the proof that it continues a tree of `old_size`."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    def checkpoint(self) -> Checkpoint:
        """Return what the note says; nobody's signature was looked at.

        Raises:
            MalformedError: it is no checkpoint.
        """
        try:
            return parse_checkpoint(parse_note(self.note).text)
        except NoteError as exc:
            raise MalformedError(str(exc)) from exc


def request_text(old_size: int, proof: Sequence[bytes], note: str) -> bytes:
    """Return the body of `add-checkpoint`."""
    lines = [f"old {old_size}", *(base64.b64encode(h).decode() for h in proof)]
    return ("\n".join(lines) + "\n\n" + note).encode()


def parse_request(data: bytes) -> Request:
    """Read the body of `add-checkpoint`.

    Raises:
        MalformedError: it is none.
    """
    if len(data) > MAX_REQUEST:
        raise MalformedError(f"a request has at most {MAX_REQUEST} bytes")
    head, separator, note = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
        word, _, number = first.partition(" ")
        if not separator or word != "old" or not DECIMAL.fullmatch(number):
            raise MalformedError("a request begins with `old N`")
        if len(lines) > MAX_PROOF:
            raise MalformedError(f"a proof has at most {MAX_PROOF} hashes")
        proof = tuple(decoded(line) for line in lines)
    except (UnicodeDecodeError, NoteError) as exc:
        raise MalformedError(f"the proof is malformed: {exc}") from exc
    return Request(old_size=int(number), proof=proof, note=note)


def judge(request: Request, *, key: VerifierKey, known: Head) -> Head:
    """Return the head that a log has come to, for the witness to keep and then sign.

    Raises:
        WitnessError: the request is refused; the class says why.
    """
    said = request.checkpoint()
    if said.origin != key.name:
        raise StrangerError(f"the log {said.origin!r} is not known here")
    require_signed(request, key)
    if not said.size and said.root != EMPTY_ROOT:
        raise MalformedError("the empty tree has one root")
    if request.old_size > said.size:
        raise MalformedError(f"{request.old_size} leaves are more than {said.size}")
    if request.old_size != known.size:
        raise StaleError(known.size)
    if not known.size:
        # Every tree continues the empty one (RFC 9162 §2.1.4.2 asks for no proof).
        if request.proof:
            raise MalformedError("from nothing there is no proof")
        return Head(size=said.size, root=said.root)
    try:
        verify_consistency(
            old_size=known.size,
            new_size=said.size,
            old_root=known.root,
            new_root=said.root,
            proof=request.proof,
        )
    except ProofError as exc:
        raise ForkError(f"not the tree of {known.size} leaves, continued: {exc}") from (
            exc
        )
    return Head(size=said.size, root=said.root)


def require_signed(request: Request, key: VerifierKey) -> None:
    """Accept a request whose checkpoint the log's key signed.

    Raises:
        ForgedError: it did not.
    """
    try:
        verify_note(request.note, [key])
    except NoteError as exc:
        raise ForgedError(str(exc)) from exc

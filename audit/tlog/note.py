"""Signed notes and checkpoints of C2SP, with Ed25519.

A note is text that ends in a line feed, an empty line, and signature lines
(`— name base64(key id ‖ signature)`); see C2SP signed-note. A checkpoint
(C2SP tlog-checkpoint) is a note whose text says origin, size and root. Signatures of
unknown keys are passed over; a wrong signature by a known key refuses the note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from audit.tlog.ed25519 import is_signature, weakness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ED25519: Final = b"\x01"
KEY_ID_LENGTH: Final = 4
ROOT_LENGTH: Final = 32
MAX_SIGNATURES: Final = 100
MAX_LENGTH: Final = 1_000_000
CHECKPOINT_LINES: Final = 3
MAX_SIZE: Final = 1 << 63
NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")
DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")

Key = TypeVar("Key", bound="VerifierKey")


class NoteError(ValueError):
    """A note or key is malformed, or not signed as it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """The name and public key of somebody who signs notes."""

    # The kind of signature, which is part of the key's id (C2SP signed-note).
    kind: ClassVar[bytes] = ED25519

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        """Refuse a name that no signature line could carry, and a weak key."""
        if not NAME.fullmatch(self.name):
            raise NoteError(f"{self.name!r} cannot name a key")
        if weak := weakness(self.public_key):
            raise NoteError(f"the key of {self.name}: {weak}")

    @property
    def key_id(self) -> bytes:
        """Return the four bytes by which signature lines refer to the key."""
        text = self.name.encode() + b"\n" + self.kind + self.public_key
        return hashlib.sha256(text).digest()[:KEY_ID_LENGTH]

    def __str__(self) -> str:
        """Return the key as people hand it on: name+id+base64."""
        key = base64.b64encode(self.kind + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    def verify(self, text: str, signature: bytes) -> None:
        """Accept a signature of a note's text.

        Raises:
            NoteError: it is not one of this key.
        """
        if not is_signature(self.public_key, text.encode(), signature):
            raise NoteError(f"the signature of {self.name} is wrong")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """Return the line with its line feed."""
        value = base64.b64encode(self.key_id + self.signature).decode()
        return f"\N{EM DASH} {self.name} {value}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A text and its signatures, whoever made them."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def __str__(self) -> str:
        """Return the whole note."""
        return f"{self.text}\n" + "".join(line.line() for line in self.signatures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log commits itself to: its first `size` leaves have this root."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        """Refuse what could not be read again."""
        if not self.origin or not self.origin.isprintable():
            raise NoteError("a checkpoint's origin is one line of text")
        if not 0 <= self.size < MAX_SIZE:
            raise NoteError(f"no log has {self.size} leaves")
        if len(self.root) != ROOT_LENGTH:
            raise NoteError("a checkpoint's root has 32 bytes")

    def text(self) -> str:
        """Return the text to sign."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n"


def parse_verifier_key(text: str) -> VerifierKey:
    """Read `name+id+base64` of somebody who signs notes."""
    return parse_key(text, VerifierKey)


def parse_key(text: str, sort: type[Key]) -> Key:
    """Read `name+id+base64` of one sort of key; the id must be that of the key."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    value = decoded(encoded)
    if value[:1] != sort.kind:
        raise NoteError(f"{name} is not a key of the sort that is wanted here")
    key = sort(name=name, public_key=value[1:])
    if key.key_id.hex() != key_id:
        raise NoteError(f"key {name} has the id {key.key_id.hex()}, not {key_id}")
    return key


def parse_note(data: bytes) -> Note:
    """Read a note without asking who signed it.

    Raises:
        NoteError: not UTF-8, a control character other than line feed, no final
            line feed, no signature or too many, or a line that is not one.
    """
    if len(data) > MAX_LENGTH:
        raise NoteError(f"a note has at most {MAX_LENGTH} bytes")
    try:
        whole = data.decode()
    except UnicodeDecodeError as exc:
        raise NoteError("a note is UTF-8") from exc
    # Controls only: a note's text may hold any other character.
    if any(character < " " and character != "\n" for character in whole):
        raise NoteError("a note holds no control characters")
    text, separator, tail = whole.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise NoteError("a note is text, an empty line, and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"a note has at most {MAX_SIGNATURES} signatures")
    return Note(text=f"{text}\n", signatures=tuple(map(_parse_signature, lines)))


def verify_note(data: bytes, keys: Iterable[VerifierKey]) -> Note:
    """Return a note with the signatures of these keys, each verified.

    Raises:
        NoteError: malformed, wrongly signed by one of the keys, or by none.
    """
    note = parse_note(data)
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise NoteError(f"two keys share the name and id of {key.name}")
    verified: dict[tuple[str, bytes], NoteSignature] = {}
    for signature in note.signatures:
        who = (signature.name, signature.key_id)
        if who in known and who not in verified:
            known[who].verify(note.text, signature.signature)
            verified[who] = signature
    if not verified:
        raise NoteError("none of the keys signed the note")
    return Note(text=note.text, signatures=tuple(verified.values()))


def sign_note(text: str, *, name: str, key: Ed25519PrivateKey) -> Note:
    """Return the text signed in a name."""
    if not text.endswith("\n"):
        raise NoteError("the text of a note ends in a line feed")
    verifier = VerifierKey(name=name, public_key=key.public_key().public_bytes_raw())
    signature = NoteSignature(
        name=name, key_id=verifier.key_id, signature=key.sign(text.encode())
    )
    return parse_note(str(Note(text=text, signatures=(signature,))).encode())


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint from a verified note's text; extension lines are passed over.

    Raises:
        NoteError: a line is missing or not canonical.
    """
    lines = text.split("\n")
    if len(lines) <= CHECKPOINT_LINES or lines[-1] or not all(lines[:-1]):
        raise NoteError("a checkpoint is origin, size and root, a line each")
    origin, size, root = lines[:CHECKPOINT_LINES]
    if not DECIMAL.fullmatch(size):
        raise NoteError(f"{size!r} is not a size")
    return Checkpoint(origin=origin, size=int(size), root=decoded(root))


def _parse_signature(line: str) -> NoteSignature:
    match line.split(" "):
        case ["\N{EM DASH}", name, encoded] if NAME.fullmatch(name):
            value = decoded(encoded)
            if len(value) > KEY_ID_LENGTH:
                return NoteSignature(
                    name=name,
                    key_id=value[:KEY_ID_LENGTH],
                    signature=value[KEY_ID_LENGTH:],
                )
    raise NoteError(f"{line!r} is not a signature line")


def decoded(text: str) -> bytes:
    """Return the bytes of canonical base64."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise NoteError(f"{text!r} is not base64") from exc
    if base64.b64encode(value).decode() != text:
        raise NoteError(f"{text!r} is not canonical base64")
    return value

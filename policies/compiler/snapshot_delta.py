"""What changed between two canonical payloads, and how to rebuild the newer. Pure.

A delta says which stretches of the older bytes to copy and what to write between them.
It knows nothing of what the bytes mean (ADR-0022): whatever a snapshot holds, now or in
a later version, the newer payload comes out byte for byte, and is then judged by the
very signature that it has as a whole. A delta can save bytes, and nothing else.

Canonical JSON keeps lists sorted and writes equal things equally, so objects that did
not change are the same text: payloads are cut between objects, and where an object
changed between its values. The work is linear in the length of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from policies.compiler.canonical import (
    Json,
    array,
    canonical_json,
    check_version,
    fields,
    integer,
    parse_json,
    text,
)
from policies.compiler.errors import SnapshotFormatError
from policies.compiler.snapshot import digest

VERSION: Final = 1
LEAST_COPY: Final = 24
"""Bytes; a shorter stretch is written out, which takes no more."""
MAX_PAYLOAD: Final = 256 << 20
_DELTA: Final = frozenset({"version", "base", "digest", "parts"})
_CUTS: Final = (b"},{", b",")

Part: TypeAlias = "tuple[int, int] | bytes"
"""Start and length of a stretch of the older payload, or bytes of the newer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """The way from the payload with digest `base` to the one with digest `digest`."""

    base: str
    digest: str
    parts: tuple[Part, ...]


def snapshot_delta(before: bytes, after: bytes) -> Delta:
    """Return what leads from one payload to the other."""
    return Delta(
        base=digest(before),
        digest=digest(after),
        parts=tuple(_merged(before, _parts(before, 0, len(before), after, _CUTS))),
    )


def rebuilt(before: bytes, delta: Delta) -> bytes:
    """Return the payload that `delta` leads to.

    Raises:
        SnapshotFormatError: it leads from another payload, beyond the end of this one,
            or to something else than it says.
    """
    if digest(before) != delta.base:
        msg = "the delta begins at another snapshot"
        raise SnapshotFormatError(msg)
    written, length = [], 0
    for part in delta.parts:
        piece = part if isinstance(part, bytes) else _stretch(before, *part)
        length += len(piece)
        if length > MAX_PAYLOAD:
            msg = "the delta leads to something without end"
            raise SnapshotFormatError(msg)
        written.append(piece)
    after = b"".join(written)
    if digest(after) != delta.digest:
        msg = "the delta leads to something else than it says"
        raise SnapshotFormatError(msg)
    return after


def delta_bytes(delta: Delta) -> bytes:
    """Return a delta as canonical JSON."""
    parts: list[Json] = [
        part.decode() if isinstance(part, bytes) else list(part) for part in delta.parts
    ]
    return canonical_json(
        {
            "version": VERSION,
            "base": delta.base,
            "digest": delta.digest,
            "parts": parts,
        }
    )


def parse_delta(data: bytes) -> Delta:
    """Return the delta written in `data`.

    Raises:
        SnapshotFormatError: anything else.
    """
    top = fields(parse_json(data), _DELTA)
    check_version(top, {VERSION})
    return Delta(
        base=text(top["base"]),
        digest=text(top["digest"]),
        parts=tuple(_read_part(part) for part in array(top["parts"])),
    )


def _read_part(value: object) -> Part:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as exc:
            msg = "text with a lone surrogate has no UTF-8 form"
            raise SnapshotFormatError(msg) from exc
    stretch = [integer(number, minimum=0) for number in array(value)]
    if len(stretch) != 2:  # noqa: PLR2004 - start and length
        msg = "a stretch is written [start, length]"
        raise SnapshotFormatError(msg)
    return stretch[0], stretch[1]


def _stretch(before: bytes, start: int, length: int) -> bytes:
    if start + length > len(before):
        msg = "the delta copies from beyond the end"
        raise SnapshotFormatError(msg)
    return before[start : start + length]


def _parts(
    before: bytes, low: int, high: int, after: bytes, cuts: Sequence[bytes]
) -> Iterator[Part]:
    """Return the parts of `after`, copied from between `low` and `high`."""
    if not cuts:
        yield after
        return
    found = [*_found(before, low, high, after, cuts[0])]
    end, position = low, 0
    while position < len(found):
        piece, place = found[position]
        position += 1
        if place is not None:
            yield place, len(piece)
            end = place + len(piece)
            continue
        fresh = [piece]
        while position < len(found) and found[position][1] is None:
            fresh.append(found[position][0])
            position += 1
        # What changed is looked for where it stood: between its neighbours.
        begins = found[position][1] if position < len(found) else high
        next_high = begins if begins is not None and begins > end else end
        yield from _parts(before, end, next_high, b"".join(fresh), cuts[1:])


def _found(
    before: bytes, low: int, high: int, after: bytes, cut: bytes
) -> Iterator[tuple[bytes, int | None]]:
    """Return each piece of `after` with the place where it stood, or None."""
    places, expected = {}, low
    start = low
    for piece in _pieces(before[low:high], cut):
        places[piece] = start
        start += len(piece)
    for piece in _pieces(after, cut):
        # The next one is preferred: what is copied in one stretch is one part.
        goes_on = before.startswith(piece, expected, high)
        place = expected if goes_on else places.get(piece)
        if place is not None:
            expected = place + len(piece)
        yield piece, place


def _pieces(data: bytes, cut: bytes) -> Iterator[bytes]:
    """Return `data` in pieces, each but the last with the cut at its end."""
    *pieces, last = data.split(cut)
    for piece in pieces:
        yield piece + cut
    if last:
        yield last


def _merged(before: bytes, parts: Iterator[Part]) -> Iterator[Part]:
    """Return the parts with neighbours as one, and nothing short copied."""
    written: list[bytes] = []
    for start, length in _stretches(parts):
        if isinstance(start, bytes):
            written.append(start)
        elif length < LEAST_COPY:
            written.append(before[start : start + length])
        else:
            if written:
                yield b"".join(written)
                written = []
            yield start, length
    if written:
        yield b"".join(written)


def _stretches(parts: Iterator[Part]) -> Iterator[tuple[int | bytes, int]]:
    """Return stretches that follow each other as one, and bytes as they are."""
    start, length = 0, 0
    for part in parts:
        if isinstance(part, tuple) and part[0] == start + length and length:
            length += part[1]
            continue
        if length:
            yield start, length
        start, length = part if isinstance(part, tuple) else (0, 0)
        if isinstance(part, bytes):
            yield part, 0
    if length:
        yield start, length

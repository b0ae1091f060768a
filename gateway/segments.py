"""The files of a spool: records one behind the other, and what can be read of them.

A file is named after the first number it may hold, and the numbers in it follow each
other. Each record is its length, its CRC-32 and its JSON, which begins with its number.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HEADER: Final = struct.Struct("!II")
SUFFIX: Final = ".seg"
_BEFORE_NUMBER: Final = len(b'{"seq":')


def segments(directory: Path) -> list[Path]:
    """Return the segments in `directory`, oldest first."""
    return sorted(p for p in directory.glob(f"*{SUFFIX}") if p.stem.isdigit())


def segment_path(directory: Path, first: int) -> Path:
    """Return the file of the records from `first` on."""
    return directory / f"{first:020d}{SUFFIX}"


def packed(body: bytes) -> bytes:
    """Return a record as it stands in a file."""
    return HEADER.pack(len(body), zlib.crc32(body)) + body


def number_of(body: bytes) -> int:
    """Return the number of a record."""
    return int(body[_BEFORE_NUMBER : body.find(b",", _BEFORE_NUMBER)].rstrip(b"}"))


def read_segment(path: Path) -> Iterator[bytes | None]:
    """Yield the records of a segment; None once, where it is torn or damaged."""
    data = path.read_bytes()
    offset = 0
    while offset < len(data):
        if offset + HEADER.size > len(data):
            yield None
            return
        length, checksum = HEADER.unpack_from(data, offset)
        body = data[offset + HEADER.size : offset + HEADER.size + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            yield None
            return
        yield body
        offset += HEADER.size + length


def records_after(
    directory: Path, number: int, *, through: int
) -> Iterator[tuple[int, bytes]]:
    """Yield the readable records behind `number`, with their numbers, in order."""
    paths = segments(directory)
    for place, path in enumerate(paths):
        following = paths[place + 1] if place + 1 < len(paths) else None
        if following is not None and int(following.stem) - 1 <= number:
            continue
        for body in read_segment(path):
            if body is None:
                break
            found = number_of(body)
            if found > through:
                return
            if found > number:
                yield found, body

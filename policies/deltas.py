"""What changed for a gateway since the snapshot it holds, if worth sending. Pure.

Both envelopes are stored already; nothing is kept for this (ADR-0022).
"""

from __future__ import annotations

import base64
from typing import Final

from policies.compiler.canonical import canonical_json
from policies.compiler.envelope import open_envelope
from policies.compiler.snapshot_delta import delta_bytes, snapshot_delta

LEAST_WHOLE: Final = 65536
"""Bytes; a smaller envelope is sent whole: half a second on a line of 1 Mbit/s, and
milliseconds of the processor that all gateways share are saved for each of them."""
LEAST_GAIN: Final = 4
"""A delta is sent if the whole is at least so many times longer."""


def changed_envelope(before: str, after: str) -> bytes | None:
    """Return the envelope `after` with a delta from `before` in place of its payload.

    None if the whole is short, or not much longer.
    """
    if len(after) < LEAST_WHOLE:
        return None
    opened = open_envelope(after.encode())
    delta = snapshot_delta(open_envelope(before.encode()).payload, opened.payload)
    written = b'{"delta":%b,"payloadType":%b,"signatures":%b}' % (
        delta_bytes(delta),
        canonical_json(opened.payload_type),
        canonical_json(
            [
                {"keyid": keyid, "sig": base64.b64encode(signature).decode()}
                for keyid, signature in opened.signatures
            ]
        ),
    )
    return written if len(written) * LEAST_GAIN <= len(after) else None

"""A snapshot rebuilt from the one held and what changed since (ADR-0022). Pure.

What comes out is the envelope that the portal would have sent whole, and is judged as
if it had been: nothing here is believed.
"""

from __future__ import annotations

import base64
import json
from typing import Final

from gateway.errors import DeltaError
from policies.compiler.canonical import fields, parse_json
from policies.compiler.envelope import open_envelope
from policies.compiler.errors import CompilerError
from policies.compiler.snapshot_delta import parse_delta, rebuilt

_ENVELOPE: Final = frozenset({"payloadType", "delta", "signatures"})


def whole_envelope(held: bytes | None, changed: bytes) -> bytes:
    """Return the envelope that `changed` makes of the one that is held.

    Raises:
        DeltaError: nothing is held, it begins elsewhere, or it is malformed.
    """
    if held is None:
        raise DeltaError("there is nothing that a delta could begin at")
    try:
        top = fields(parse_json(changed), _ENVELOPE)
        delta = parse_delta(json.dumps(top["delta"]).encode())
        payload = rebuilt(open_envelope(held).payload, delta)
    except CompilerError as exc:
        raise DeltaError(f"the delta leads nowhere: {exc}") from exc
    document = {
        "payloadType": top["payloadType"],
        "payload": base64.b64encode(payload).decode(),
        "signatures": top["signatures"],
    }
    return json.dumps(document).encode()

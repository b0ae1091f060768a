"""DSSE envelopes: how signed bytes travel. No cryptography happens here.

The rims sign and verify (portal: `policies.signing`, gateway: `gateway.trust`);
this module only says which bytes are signed (PAE) and reads envelopes strictly.
Payload bytes are opaque: verify first, parse afterwards.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from policies.compiler.canonical import array, canonical_json, fields, parse_json, text
from policies.compiler.errors import SnapshotFormatError

SNAPSHOT_TYPE: Final = "application/vnd.peerage.snapshot.v1+json"
LEASE_TYPE: Final = "application/vnd.peerage.lease.v1+json"
NOTICE_TYPE: Final = "application/vnd.peerage.revocation.v1+json"
EVIDENCE_ACK_TYPE: Final = "application/vnd.peerage.evidence-ack.v1+json"
EPOCH_TYPE: Final = "application/vnd.peerage.epoch.v1+json"

_ENVELOPE: Final = frozenset({"payloadType", "payload", "signatures"})
_SIGNATURE: Final = frozenset({"keyid", "sig"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An opened, not yet verified, envelope; `signatures` are (keyid, signature)."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope(
    payload_type: str, payload: bytes, signatures: Sequence[tuple[str, bytes]]
) -> bytes:
    """Return the envelope as canonical JSON."""
    return canonical_json(
        {
            "payloadType": payload_type,
            "payload": _encode(payload),
            "signatures": [
                {"keyid": keyid, "sig": _encode(signature)}
                for keyid, signature in signatures
            ],
        }
    )


def open_envelope(data: bytes) -> Envelope:
    """Return what an envelope carries. Nothing in it is trustworthy yet.

    Raises:
        SnapshotFormatError: not strict JSON, unknown or missing keys, base64 that is
            not canonical, or no signature at all.
    """
    top = fields(parse_json(data), _ENVELOPE)
    signatures = tuple(
        (text(item["keyid"]), _decode(item["sig"]))
        for item in (fields(entry, _SIGNATURE) for entry in array(top["signatures"]))
    )
    if not signatures:
        msg = "an envelope without a signature"
        raise SnapshotFormatError(msg)
    return Envelope(
        payload_type=text(top["payloadType"]),
        payload=_decode(top["payload"]),
        signatures=signatures,
    )


def _encode(data: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(data).decode()


def _decode(value: object) -> bytes:
    """Return the bytes of canonical base64."""
    written = text(value)
    try:
        data = base64.b64decode(written, validate=True)
    except (binascii.Error, ValueError) as exc:
        msg = "not base64"
        raise SnapshotFormatError(msg) from exc
    if _encode(data) != written:
        msg = "base64 that is not canonical"
        raise SnapshotFormatError(msg)
    return data

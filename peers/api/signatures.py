"""HTTP message signatures (RFC 9421), narrowed to one profile (ADR-0002). Pure.

One signature labelled `peerage`; the components below, in this order and no others;
the parameters created, keyid, alg="ed25519" and nonce, each once. A general parser
accepts what two readers may read differently, so this one accepts only the canonical
serialisation (RFC 8941 §4.1), whose text is then signed as it stands.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from peers.errors import GatewayRequestError
from peers.keys import decode_base64

if TYPE_CHECKING:
    from collections.abc import Iterable

COMPONENTS: Final = (
    "@method",
    "@authority",
    "@path",
    "@query",
    "content-digest",
    "peerage-sequence",
)
ALGORITHM: Final = "ed25519"
NONCE_BYTES: Final = 16
SIGNATURE_BYTES: Final = 64

_VALUE: Final = r'(?:[1-9][0-9]{0,14}|"[ !#-\[\]-~]{0,128}")'
_INPUT: Final = re.compile(rf"peerage=(\(([^()]*)\)((?:;[a-z]+={_VALUE})*))", re.ASCII)
_PARAMETER: Final = re.compile(rf";([a-z]+)=({_VALUE})", re.ASCII)
_SIGNATURE: Final = re.compile(r"peerage=:([A-Za-z0-9+/=]+):", re.ASCII)
_KEY_ID: Final = re.compile(r'"gw_([1-9][0-9]{0,17})"', re.ASCII)
_PARAMETERS: Final = frozenset({"created", "keyid", "alg", "nonce"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureInput:
    """What a signature says of itself. `params` is its own text, which is signed."""

    params: str
    created: int
    gateway_id: int


def parse_signature_input(field: str) -> SignatureInput:
    """Return the one signature that a Signature-Input field announces.

    Raises:
        GatewayRequestError: anything but the profile.
    """
    match = _INPUT.fullmatch(field)
    if match is None:
        raise GatewayRequestError("Signature-Input is not one signature `peerage`")
    params, covered, pairs = match.groups()
    if covered != " ".join(f'"{name}"' for name in COMPONENTS):
        raise GatewayRequestError("the covered components are not those of the profile")
    named = dict(_PARAMETER.findall(pairs))
    if named.keys() != _PARAMETERS or pairs.count(";") != len(_PARAMETERS):
        raise GatewayRequestError("the parameters are not those of the profile")
    if named["alg"] != f'"{ALGORITHM}"':
        raise GatewayRequestError("the algorithm is not ed25519")
    if decode_base64(named["nonce"].strip('"'), length=NONCE_BYTES) is None:
        raise GatewayRequestError("the nonce is not base64 of 16 bytes")
    keyid = _KEY_ID.fullmatch(named["keyid"])
    if keyid is None or not named["created"].isdigit():
        raise GatewayRequestError("keyid or created is malformed")
    return SignatureInput(
        params=params, created=int(named["created"]), gateway_id=int(keyid[1])
    )


def parse_signature(field: str) -> bytes:
    """Return the 64 bytes of the one signature in a Signature field.

    Raises:
        GatewayRequestError: anything but one Ed25519 signature `peerage`.
    """
    match = _SIGNATURE.fullmatch(field)
    raw = decode_base64(match[1], length=SIGNATURE_BYTES) if match else None
    if raw is None:
        raise GatewayRequestError("Signature is not one signature `peerage`")
    return raw


def signature_base(components: Iterable[tuple[str, str]], params: str) -> bytes:
    """Return the bytes that are signed (RFC 9421 §2.5)."""
    lines = [f'"{name}": {value}' for name, value in components]
    return "\n".join((*lines, f'"@signature-params": {params}')).encode()


def content_digest(body: bytes) -> str:
    """Return the Content-Digest field of a body (RFC 9530 §2), SHA-256."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return f"sha-256=:{digest}:"

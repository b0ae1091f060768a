"""The device's key and the proof that we hold it. No database."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from client import keys
from peers.keys import fingerprint, parse_public_key

# RFC 7748 §6.1: Alice's keys, as wg(8) writes them.
RFC_PRIVATE = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
RFC_PUBLIC = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="


def test_public_key_belongs_to_the_private_one() -> None:
    assert keys.public_of(RFC_PRIVATE) == RFC_PUBLIC


def test_key_is_one_the_portal_accepts() -> None:
    public = keys.public_text(keys.make_key())
    assert len(parse_public_key(public)) == 32
    assert keys.fingerprint(public) == fingerprint(public)


def test_proof_is_what_the_contract_says() -> None:
    key, portal = keys.make_key(), X25519PrivateKey.generate()
    portal_public = base64.b64encode(portal.public_key().public_bytes_raw()).decode()
    proof = keys.possession_proof(
        key, challenge="c-1", nonce="bm9uY2U=", portal_key=portal_public
    )
    shared = portal.exchange(key.public_key())
    message = f"peerage enrolment v1\nc-1\nbm9uY2U=\n{keys.public_text(key)}".encode()
    expected = hmac.new(shared, message, hashlib.sha256).digest()
    assert base64.b64decode(proof) == expected

"""Proofs of possession. No database."""

from __future__ import annotations

import base64
from uuid import UUID

import pytest

from peers.possession import is_proof, possession_proof, public_key_of
from tests.peers.makers import Machine

CHALLENGE = UUID("5c1f6c68-8f6e-4e7a-9f5e-2d1f2f6b8a10")


def proofs(
    *, challenge_id: UUID = CHALLENGE, nonce: bytes = bytes(32), public_key: str = ""
) -> tuple[bytes, bytes]:
    """Return the proof as the person and as the portal compute it."""
    person, portal = Machine(), Machine()
    theirs = possession_proof(
        person.private,
        raw(portal),
        challenge_id=challenge_id,
        nonce=nonce,
        public_key=public_key or person.public_key,
    )
    expected = possession_proof(
        portal.private,
        raw(person),
        challenge_id=CHALLENGE,
        nonce=bytes(32),
        public_key=person.public_key,
    )
    return theirs, expected


def raw(machine: Machine) -> bytes:
    """Return a public key's bytes."""
    return base64.b64decode(machine.public_key)


def test_both_sides_compute_the_same_proof() -> None:
    mine, expected = proofs()
    assert is_proof(base64.b64encode(mine).decode(), expected)


def test_a_proof_fits_one_enrolment_only() -> None:
    for mine, expected in (
        proofs(challenge_id=UUID(int=1)),
        proofs(nonce=bytes(31) + b"\1"),
        proofs(public_key=Machine().public_key),
    ):
        assert not is_proof(base64.b64encode(mine).decode(), expected)


def test_another_private_key_cannot_make_the_proof() -> None:
    _, expected = proofs()
    stranger, _ = proofs()
    assert not is_proof(base64.b64encode(stranger).decode(), expected)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64", "é" * 44])
def test_what_is_no_proof_at_all_is_none(text: str) -> None:
    assert not is_proof(text, bytes(32))


def test_a_known_proof_stays_the_same() -> None:
    """Pins the wire format for clients that are not written in Python."""
    private, portal = bytes([7] * 32), bytes([9] * 32)
    proof = possession_proof(
        private,
        base64.b64decode(public_key_of(portal)),
        challenge_id=CHALLENGE,
        nonce=bytes(range(32)),
        public_key=public_key_of(private),
    )
    assert (
        base64.b64encode(proof).decode()
        == "hNTa7zgMsZbRDbCNeBUVBguEQBQSrpbd8D9eP28trFM="
    )

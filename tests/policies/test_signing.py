"""The signing key is its owner's alone; what it signs can be checked. No database."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.key_files import create_key_file
from policies import signing
from policies.compiler.envelope import LEASE_TYPE, SNAPSHOT_TYPE, open_envelope
from policies.errors import SigningKeyError, SnapshotError


def test_signed_payload_verifies() -> None:
    key = signing.verification_key()
    text = signing.sign(SNAPSHOT_TYPE, b"{}")
    assert open_envelope(text).signatures[0][0] == key.keyid
    assert (
        signing.verified_payload(
            text, payload_type=SNAPSHOT_TYPE, public_key=key.public_key
        )
        == b"{}"
    )


def test_signature_of_one_type_is_none_of_another() -> None:
    key = signing.verification_key()
    text = signing.sign(SNAPSHOT_TYPE, b"{}").replace(
        SNAPSHOT_TYPE.encode(), LEASE_TYPE.encode()
    )
    with pytest.raises(SnapshotError, match="signature is wrong"):
        signing.verified_payload(
            text, payload_type=LEASE_TYPE, public_key=key.public_key
        )


def test_other_keys_signature_is_none() -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(SnapshotError, match="no signature by"):
        signing.verified_payload(
            signing.sign(SNAPSHOT_TYPE, b"{}"),
            payload_type=SNAPSHOT_TYPE,
            public_key=other,
        )


def test_payload_of_unexpected_type_is_refused() -> None:
    key = signing.verification_key().public_key
    with pytest.raises(SnapshotError, match="holds application/vnd"):
        signing.verified_payload(
            signing.sign(SNAPSHOT_TYPE, b"{}"), payload_type=LEASE_TYPE, public_key=key
        )


def test_new_key_file_is_for_its_owner_alone(signing_key: Path) -> None:
    assert stat.S_IMODE(signing_key.stat().st_mode) == 0o600
    assert len(base64.b64decode(signing_key.read_bytes())) == 32


def test_existing_key_file_is_kept(signing_key: Path) -> None:
    before = signing_key.read_bytes()
    assert create_key_file(signing_key) is False
    assert signing_key.read_bytes() == before


def test_absent_key_names_the_command_that_makes_it(signing_key: Path) -> None:
    signing_key.unlink()
    with pytest.raises(SigningKeyError, match=r"run manage\.py init_keys"):
        signing.sign(SNAPSHOT_TYPE, b"{}")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_key_that_others_may_read_does_not_sign(signing_key: Path, mode: int) -> None:
    signing_key.chmod(mode)
    with pytest.raises(SigningKeyError, match="chmod 600"):
        signing.sign(SNAPSHOT_TYPE, b"{}")


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"not base64!", "is not base64"), (b"AAAA", "has 3 bytes, not 32")],
    ids=["text", "short"],
)
def test_malformed_key_does_not_sign(
    signing_key: Path, text: bytes, message: str
) -> None:
    signing_key.write_bytes(text)
    with pytest.raises(SigningKeyError, match=message):
        signing.sign(SNAPSHOT_TYPE, b"{}")


def test_unreadable_key_says_so(signing_key: Path) -> None:
    signing_key.unlink()
    signing_key.mkdir()
    with pytest.raises(SigningKeyError, match="cannot be read"):
        signing.verification_key()

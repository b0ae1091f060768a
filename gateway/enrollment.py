"""Joining a deployment: own keys, a token spent once, the portal's keys pinned."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway import client
from gateway.config import VERSION, EnrollCommand
from gateway.errors import ConfigError, PortalAnswerError
from gateway.store import Identity, Store
from gateway.trust import pinned_key

CONTEXT = b"peerage gateway enrolment v1\n"


def enroll(command: EnrollCommand) -> Identity:
    """Spend the token and keep the identity; the private keys never leave.

    Raises:
        ConfigError: this state directory is enrolled already, or the URL is unfit.
        PortalError: the portal cannot be reached, or refuses the token.
        StoreError: the identity cannot be kept.
    """
    base = client.base_url(command.portal, insecure_http=command.insecure_http)
    store = Store(command.state)
    store.create()
    if store.has_identity():
        raise ConfigError(f"{command.state} is enrolled already")
    # The token is spent by asking: find out first whether the answer can be kept.
    store.write_sequences({})
    signing, tunnel = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    document = request(command.token, signing, tunnel)
    answer = client.enroll(base, document, ca_file=command.ca_file)
    identity = _identity(command, base, answer, signing=signing, tunnel=tunnel)
    store.write_identity(identity)
    return identity


def request(
    token: str, signing: Ed25519PrivateKey, tunnel: X25519PrivateKey
) -> dict[str, object]:
    """Return what is sent: the token, both public keys, and a proof of possession."""
    wireguard_key = _text(tunnel.public_key().public_bytes_raw())
    signed = CONTEXT + token.encode() + b"\n" + wireguard_key.encode()
    return {
        "token": token,
        "signing_key": _text(signing.public_key().public_bytes_raw()),
        "wireguard_key": wireguard_key,
        "agent_version": VERSION,
        "proof": _text(signing.sign(signed)),
    }


def fingerprint(path: Path) -> str:
    """Return the id of the key that signs this gateway's requests."""
    identity = Store(path).read_identity()
    key = Ed25519PrivateKey.from_private_bytes(identity.signing_seed)
    return _text(key.public_key().public_bytes_raw())


def _identity(
    command: EnrollCommand,
    base: str,
    answer: dict[str, Any],
    *,
    signing: Ed25519PrivateKey,
    tunnel: X25519PrivateKey,
) -> Identity:
    try:
        keys = tuple(
            pinned_key(
                str(key["keyid"]), base64.b64decode(key["public_key"], validate=True)
            )
            for key in answer["snapshot_keys"]
        )
        identity = Identity(
            portal=base,
            insecure_http=command.insecure_http,
            ca_file=command.ca_file,
            gateway=str(answer["gateway"]),
            deployment=str(answer["deployment"]),
            epoch=int(answer["epoch"]),
            snapshot_keys=keys,
            signing_seed=signing.private_bytes_raw(),
            wireguard_private_key=_text(tunnel.private_bytes_raw()),
        )
    except (KeyError, TypeError, ValueError, binascii.Error) as exc:
        raise PortalAnswerError(f"the enrolment's answer is malformed: {exc}") from exc
    if not keys:
        raise PortalAnswerError("the portal named no key to pin")
    return identity


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

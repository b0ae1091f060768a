"""Secrets that the portal must be able to say again, encrypted where they lie.

What signs a message, or is sent with it, cannot be kept as a hash. AES-256-GCM under a
key derived from the portal's secret key (HKDF-SHA-256): a copy of the database alone
opens nothing, and a secret that was moved to another row does not open there. After
`SECRET_KEY` changed, the keys of `SECRET_KEY_FALLBACKS` are tried.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.encoding import force_bytes

from audit.errors import AuditError

VERSION: Final = "v1."
NONCE_LENGTH: Final = 12


class SecretError(AuditError):
    """A stored secret cannot be read, most likely since the portal's key changed."""


def kept(secret: str, *, owner: str) -> str:
    """Return a secret as it is stored for one owner (a row and its purpose)."""
    nonce = os.urandom(NONCE_LENGTH)
    sealed = AESGCM(_key(settings.SECRET_KEY)).encrypt(
        nonce, secret.encode(), owner.encode()
    )
    return VERSION + base64.b64encode(nonce + sealed).decode()


def said(stored: str, *, owner: str) -> str:
    """Return what was kept for an owner.

    Raises:
        SecretError: it was kept for another owner, or under an unknown key.
    """
    try:
        data = base64.b64decode(stored.removeprefix(VERSION), validate=True)
    except binascii.Error as exc:
        raise SecretError("a secret is stored in a form nobody knows") from exc
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            secret = AESGCM(_key(key)).decrypt(
                data[:NONCE_LENGTH], data[NONCE_LENGTH:], owner.encode()
            )
        except (InvalidTag, ValueError):
            continue
        return secret.decode()
    raise SecretError("a secret was encrypted under another secret key: enter it again")


def _key(secret_key: str | bytes) -> bytes:
    return HKDF(
        algorithm=SHA256(), length=32, salt=None, info=b"peerage kept secret v1"
    ).derive(force_bytes(secret_key))

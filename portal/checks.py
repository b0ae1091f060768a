"""System checks with stable ids: what would make the portal unsafe or useless."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def check_identity_provider(**_kwargs: object) -> Sequence[CheckMessage]:
    """Warn when nobody can sign in; refuse a provider reached in the clear."""
    issuer = settings.PEERAGE_OIDC_ISSUER
    if not issuer:
        return [
            CheckWarning(
                "No identity provider: nobody can sign in.",
                hint="Set PEERAGE_OIDC_ISSUER, _CLIENT_ID and _CLIENT_SECRET.",
                id="portal.W001",
            )
        ]
    parts = urlsplit(issuer)
    if parts.scheme == "https" or settings.PEERAGE_INSECURE_HTTP:
        return []
    if parts.hostname in LOOPBACK:
        return []
    return [
        Error(
            f"The identity provider {issuer} is not reached by https.",
            hint="Signing keys fetched in the clear prove nothing.",
            id="portal.E001",
        )
    ]


def check_encryption(**_kwargs: object) -> Sequence[CheckMessage]:
    """Refuse to be deployed over plain http."""
    if urlsplit(settings.PEERAGE_BASE_URL).scheme == "https":
        return []
    return [
        Error(
            f"PEERAGE_BASE_URL is {settings.PEERAGE_BASE_URL}: not https.",
            id="portal.E002",
        )
    ]


def check_signing_key(**_kwargs: object) -> Sequence[CheckMessage]:
    """Refuse to be deployed without the key that signs snapshots."""
    path = settings.PEERAGE_SIGNING_KEY_FILE
    if not path.exists():
        return [
            Error(
                f"There is no snapshot signing key at {path}.",
                hint="Run manage.py init_keys.",
                id="portal.E003",
            )
        ]
    if path.stat().st_mode & 0o077:
        return [
            Error(
                f"Others may read the snapshot signing key at {path}.",
                hint=f"chmod 600 {path}",
                id="portal.E004",
            )
        ]
    return []

"""System checks with stable ids: what would make the portal unsafe or useless."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info
from django.core.checks import Warning as CheckWarning

from audit import room
from portal.env import room_dir

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


def check_room(**_kwargs: object) -> Sequence[CheckMessage]:
    """Say where the disk of the log is not watched, or has little room already.

    Neither keeps the portal from starting: who cannot start it can revoke nobody.
    """
    try:
        found = room.look()
    except OSError as exc:
        return [
            Error(
                f"PEERAGE_ROOM_DIR {settings.PEERAGE_ROOM_DIR}: {exc.strerror}.",
                id="portal.E005",
            )
        ]
    home = room_dir(settings.DATABASES["default"])
    if found is not None and home and not _is_one_disk(home, settings.PEERAGE_ROOM_DIR):
        return [
            Error(
                f"PEERAGE_ROOM_DIR {settings.PEERAGE_ROOM_DIR} is on another disk than"
                f" the database in {home}: what is full there is not seen.",
                hint="Leave it out; the directory of the database is the right one.",
                id="portal.E007",
            )
        ]
    if found is not None and not os.access(settings.PEERAGE_ROOM_DIR, os.W_OK):
        return [
            Error(
                f"PEERAGE_ROOM_DIR {settings.PEERAGE_ROOM_DIR} cannot be written to:"
                " there can be no ballast.",
                id="portal.E006",
            )
        ]
    if found is None:
        return [
            Info(
                "Nobody watches the disk of the database: when it is full, nothing"
                " can be revoked.",
                hint="If it is on this host, set PEERAGE_ROOM_DIR to a directory there"
                " that the portal may write to; if not, watch it where it is.",
                id="portal.I001",
            )
        ]
    if found.is_low:
        return [
            Info(
                f"The disk of the log has {found.free // room.MEBI} MiB left: nothing"
                " is granted or enrolled, and no evidence is taken.",
                hint="Make room; docs/operations.md says how.",
                id="portal.I002",
            )
        ]
    return []


def _is_one_disk(one: str, other: str) -> bool:
    return Path(one).stat().st_dev == Path(other).stat().st_dev

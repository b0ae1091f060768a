"""Requests as programs send them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from allauth.idp.oidc.adapter import get_adapter
from allauth.idp.oidc.models import Client as Program
from allauth.idp.oidc.models import Token
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from audit.key_files import create_key_file
from portal.accounts.models import User
from portal.accounts.setup import CLIENT_ID

Bearer = Callable[..., Client]


@pytest.fixture
def bearer() -> Bearer:
    """Return a program that acts for a person with a token of these scopes."""

    def program(user: User, *, scopes: str = "devices") -> Client:
        text = f"token-of-{user.pk}-{scopes}"
        token = Token(
            user=user,
            client=Program.objects.get(pk=CLIENT_ID),
            type=Token.Type.ACCESS_TOKEN,
            hash=get_adapter().hash_token(text),
            expires_at=timezone.now() + timedelta(hours=1),  # noqa: TID251 -- a test's edge
        )
        token.set_scopes([scopes])
        token.save()
        return Client(headers={"Authorization": f"Bearer {text}"})

    return program


@pytest.fixture
def signing_key(settings: Settings, tmp_path: Path) -> None:
    """Make the portal's signing key."""
    settings.PEERAGE_SIGNING_KEY_FILE = tmp_path / "snapshot.key"
    create_key_file(settings.PEERAGE_SIGNING_KEY_FILE)

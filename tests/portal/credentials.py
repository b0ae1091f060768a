"""Credentials of programs, for tests."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
from django.test import Client

from audit.actor import SYSTEM
from portal.accounts.credentials import create_credential
from portal.accounts.models import ApiCredential, CredentialKind, Scope, User


class MakeKey(Protocol):
    """Makes a credential and returns it with its secret."""

    def __call__(
        self,
        creator: User,
        *scopes: Scope,
        kind: CredentialKind = CredentialKind.API_KEY,
        days: int = 90,
        now: datetime | None = None,
    ) -> tuple[ApiCredential, str]:
        """Make it."""


@pytest.fixture
def make_key() -> MakeKey:
    """Return a maker of credentials, made now unless a moment is given."""

    def make(
        creator: User,
        *scopes: Scope,
        kind: CredentialKind = CredentialKind.API_KEY,
        days: int = 90,
        now: datetime | None = None,
    ) -> tuple[ApiCredential, str]:
        moment = now or datetime.now(UTC)  # noqa: TID251 -- a test's edge
        return create_credential(
            kind=kind,
            name="pipeline",
            scopes=scopes or (Scope.POLICY_READ, Scope.POLICY_WRITE),
            expires_at=moment + timedelta(days=days),
            creator=creator,
            actor=SYSTEM,
            now=moment,
        )

    return make


def basic(user: str, password: str = "") -> str:
    """Return the value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def with_key(secret: str) -> Client:
    """Return a program that shows an API key as GitOps tools do."""
    return Client(headers={"Authorization": basic(secret)})


def with_token(token: str) -> Client:
    """Return a program that shows a bearer token."""
    return Client(headers={"Authorization": f"Bearer {token}"})

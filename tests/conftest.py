"""The cast.

alice and bob share a group, carol audits, dave administers, mallory is nobody; gw1
stands in front of the applications.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.conf import settings
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from audit.actor import Actor, ActorKind
from peers.models import Gateway, GatewayState
from portal.accounts.models import Group, GroupSource, Membership, Role, User
from tests.idp.running import running

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

MakeUser = Callable[..., User]
SignIn = Callable[..., Client]


@pytest.fixture
def now() -> datetime:
    """Return the moment at which tests happen."""
    return NOW


@pytest.fixture
def make_user(db: None) -> MakeUser:
    """Create a person as a sign-in would have left them."""

    def make(subject: str, *, role: Role = Role.EMPLOYEE, groups: str = "") -> User:
        user = User(
            issuer=settings.PEERAGE_OIDC_ISSUER,
            subject=subject,
            username=f"u-{subject}",
            name=subject.capitalize(),
            email=f"{subject}@example.test",
            role=role,
            created_at=NOW,
            authenticated_at=NOW,
        )
        user.set_unusable_password()
        user.save()
        for name in groups.split():
            group, _ = Group.objects.get_or_create(
                source=GroupSource.IDP,
                issuer=settings.PEERAGE_OIDC_ISSUER,
                name=name,
                defaults={"created_at": NOW},
            )
            Membership.objects.create(user=user, group=group, since=NOW)
        return user

    return make


@pytest.fixture
def alice(make_user: MakeUser) -> User:
    """Create an employee, owner of what the tests are about."""
    return make_user("alice", groups="engineering")


@pytest.fixture
def bob(make_user: MakeUser) -> User:
    """Create an employee of alice's group."""
    return make_user("bob", groups="engineering")


@pytest.fixture
def carol(make_user: MakeUser) -> User:
    """Create an auditor: reads everything, changes nothing."""
    return make_user("carol", role=Role.AUDITOR, groups="peerage-auditors")


@pytest.fixture
def dave(make_user: MakeUser) -> User:
    """Create an administrator."""
    return make_user("dave", role=Role.ADMINISTRATOR, groups="peerage-administrators")


@pytest.fixture
def mallory(make_user: MakeUser) -> User:
    """Create an employee without any group or grant."""
    return make_user("mallory")


@pytest.fixture
def gw1(db: None) -> Gateway:
    """Create an enrolled gateway whose private keys nobody needs."""
    return Gateway.objects.create(
        name="gw1",
        endpoint_host="gw1.example.test",
        endpoint_port=51820,
        state=GatewayState.ENROLLED,
        public_key=base64.b64encode(
            X25519PrivateKey.generate().public_key().public_bytes_raw()
        ).decode(),
        signing_key=Ed25519PrivateKey.generate().public_key().public_bytes_raw(),
        created_at=NOW,
        enrolled_at=NOW,
        seen_at=NOW,
    )


@pytest.fixture
def actor() -> Actor:
    """Return somebody at a command line."""
    return Actor(kind=ActorKind.COMMAND, label="tests")


@pytest.fixture
def sign_in() -> SignIn:
    """Return a browser in which a person signed in `age` ago."""

    def browser(user: User, *, age: timedelta = timedelta(0)) -> Client:
        client = Client()
        client.force_login(user)
        session = client.session
        moment = datetime.now(UTC) - age  # noqa: TID251 -- a test's edge
        session["sso"] = {"auth_time": int(moment.timestamp()), "amr": ["pwd"]}
        session.save()
        return client

    return browser


@pytest.fixture(scope="session")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the identity provider for the whole session; the value is its issuer."""
    callback = reverse("sso_callback")
    with running(
        tmp_path_factory.mktemp("idp"),
        redirect_uris=(f"http://testserver{callback}", f"http://127.0.0.1{callback}"),
        client_secret=settings.PEERAGE_OIDC_CLIENT_SECRET,
    ) as issuer:
        yield issuer


@pytest.fixture
def single_sign_on(idp: str, settings: Settings) -> str:
    """Have the portal trust the running identity provider."""
    settings.PEERAGE_OIDC_ISSUER = idp
    policy = copy.deepcopy(settings.CONTENT_SECURITY_POLICY)
    policy["DIRECTIVES"]["form-action"] = ["'self'", idp]
    settings.CONTENT_SECURITY_POLICY = policy
    return idp

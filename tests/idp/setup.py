"""Fill an empty provider: tables, signing key, the portal's registration, the cast."""

from __future__ import annotations

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.idp.settings"

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.core.management import call_command

from tests.idp.cast import CAST

django.setup()

from allauth.idp.oidc.models import Client  # noqa: E402 -- models need a setup
from django.contrib.auth.models import Group, User  # noqa: E402 -- the same


def prepare() -> None:
    """Do everything; safe to repeat."""
    settings.IDP_DATABASE.parent.mkdir(parents=True, exist_ok=True)
    make_key()
    call_command("migrate", verbosity=0)
    register_portal()
    for person in CAST:
        user, _ = User.objects.get_or_create(username=person.username)
        user.first_name, _, user.last_name = person.name.partition(" ")
        user.email = person.email
        user.set_password(person.password)
        user.save()
        user.groups.set(
            [Group.objects.get_or_create(name=name)[0] for name in person.groups]
        )


def make_key() -> None:
    """Make the key that signs id_tokens, unless there is one."""
    if not settings.IDP_KEY_FILE.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        settings.IDP_KEY_FILE.touch(mode=0o600)
        settings.IDP_KEY_FILE.write_bytes(pem)
    settings.IDP_OIDC_PRIVATE_KEY = settings.IDP_KEY_FILE.read_text()


def register_portal() -> None:
    """Register the portal as the one client, for the code flow with PKCE."""
    known = Client.objects.filter(id=settings.IDP_CLIENT_ID).first()
    client = known or Client(id=settings.IDP_CLIENT_ID)
    client.name, client.skip_consent = "Peerage", True
    client.set_secret(settings.IDP_CLIENT_SECRET)
    client.set_redirect_uris(settings.IDP_REDIRECT_URIS)
    client.set_scopes(["openid", "profile", "email", "groups"])
    client.save()

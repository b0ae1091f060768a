"""What the database must hold besides tables; run after each migration, idempotent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.apps import apps as installed_apps
from django.core.management import call_command

if TYPE_CHECKING:
    from django.apps.registry import Apps

CLIENT_ID: Final = "peerage-cli"
CLIENT_NAME: Final = "Peerage command line"
GRANTS: Final = (
    "urn:ietf:params:oauth:grant-type:device_code",
    "refresh_token",
)
SCOPES: Final = {"devices": "See and enrol your devices"}


def make_cache_table(*, using: str, **_kwargs: object) -> None:
    """Create the table of the database cache, which holds device codes."""
    call_command("createcachetable", database=using, verbosity=0)


def register_command_line(
    *, using: str, apps: Apps = installed_apps, **_kwargs: object
) -> None:
    """Register the public client `peerage-cli` for the device grant alone.

    It has no secret (anybody can read the program) and no redirect address, so a
    token exists only after its owner typed the code and agreed. `flush` sends the
    signal too, and without `apps`.
    """
    try:
        client_model = apps.get_model("allauth_idp_oidc", "Client")
    except LookupError:
        return
    client_model.objects.using(using).update_or_create(
        id=CLIENT_ID,
        defaults={
            "name": CLIENT_NAME,
            "secret": "!",
            "type": "public",
            "grant_types": "\n".join(GRANTS),
            "response_types": "",
            "scopes": "\n".join(SCOPES),
            "default_scopes": "\n".join(SCOPES),
            "redirect_uris": "",
            "cors_origins": "",
        },
    )

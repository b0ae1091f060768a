"""What the provider says about people."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from django.conf import settings
from django.contrib.auth.models import User


class Adapter(DefaultOIDCAdapter):
    """Subjects are user names, groups are a claim, `auth_time` is the last sign-in.

    The last sign-in is kept per person and not per browser; for a cast of five
    who sit at one screen that is the same.
    """

    def get_issuer(self) -> str:
        """Return the configured issuer, whatever host was asked."""
        return str(settings.IDP_ISSUER)

    def get_user_sub(self, client: object, user: User) -> str:  # noqa: ARG002 -- allauth's signature
        """Return the user name."""
        return user.username

    def get_user_by_sub(self, client: object, sub: str) -> User | None:  # noqa: ARG002 -- allauth's signature
        """Return the active person of that user name."""
        return User.objects.filter(username=sub, is_active=True).first()

    def get_claims(
        self,
        purpose: str,
        user: User,
        client: object,
        scopes: list[str],
        **kwargs: Any,  # noqa: ANN401 -- passed on to allauth
    ) -> dict[str, Any]:
        """Add name, e-mail address and groups."""
        claims: dict[str, Any] = super().get_claims(
            purpose, user, client, scopes, **kwargs
        )
        if "email" in scopes:
            claims |= {"email": user.email, "email_verified": True}
        if "groups" in scopes:
            claims["groups"] = sorted(user.groups.values_list("name", flat=True))
        if purpose == "id_token" and user.last_login is not None:
            claims |= {"auth_time": int(user.last_login.timestamp()), "amr": ["pwd"]}
        return claims

    def populate_server_metadata(self, data: dict[str, Any]) -> None:
        """Name every endpoint under the issuer."""
        for name, value in data.items():
            if name.endswith(("_endpoint", "_uri")) and isinstance(value, str):
                data[name] = settings.IDP_ISSUER + urlsplit(value).path
        data["scopes_supported"] = ["openid", "profile", "email", "groups"]

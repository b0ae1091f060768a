"""The protocol side of `sso`: whose documents and tokens we believe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.providers.openid_connect.views import (
    OpenIDConnectOAuth2Adapter,
)
from allauth.utils import build_absolute_uri
from django.conf import settings
from django.urls import reverse

from portal.accounts.sso.errors import SignInError
from portal.accounts.sso.tokens import Claims, check_freshness, verified_claims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from audit.http import PortalRequest

WELL_KNOWN: Final = "/.well-known/openid-configuration"
SERVER_ENDPOINTS: Final = ("token_endpoint", "jwks_uri", "userinfo_endpoint")


class SsoAdapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # allauth is untyped
    """Checks the discovery document, the id_token and the userinfo."""

    def __init__(self, request: HttpRequest, provider_id: str = "sso") -> None:
        """Begin without the state of a sign-in; the callback view brings it."""
        super().__init__(request, provider_id)
        self.state: Mapping[str, Any] = {}
        self._configuration: dict[str, Any] | None = None

    @property
    def openid_config(self) -> dict[str, Any]:
        """The discovery document, checked (attack A11)."""
        if self._configuration is None:
            issuer = settings.PEERAGE_OIDC_ISSUER
            found = self._fetch(issuer + WELL_KNOWN)
            check_configuration(
                found, issuer=issuer, extra_hosts=settings.PEERAGE_OIDC_HOSTS
            )
            self._configuration = found
        return self._configuration

    def get_callback_url(self, request: HttpRequest, app: object) -> str:  # noqa: ARG002 -- allauth's signature
        """Return where the provider sends the browser back."""
        return cast("str", build_absolute_uri(request, reverse("sso_callback")))

    def complete_login(
        self,
        request: PortalRequest,
        app: Any,  # noqa: ANN401 -- allauth's untyped SocialApp
        token: Any,  # noqa: ANN401 -- allauth's untyped SocialToken
        **kwargs: Any,  # noqa: ANN401 -- the same
    ) -> Any:  # noqa: ANN401 -- allauth's untyped SocialLogin
        """Return the sign-in that id_token and userinfo agree upon."""
        answered_by = request.GET.get("iss")
        if answered_by not in {None, self.openid_config["issuer"]}:
            # RFC 9207: the answer to another provider's question (mix-up).
            msg = "another identity provider answered"
            raise SignInError(msg)
        claims = verified_claims(
            kwargs["response"].get("id_token"),
            keys=self._fetch(self.openid_config["jwks_uri"]),
            issuer=self.openid_config["issuer"],
            client_id=app.client_id,
            nonce=str(self.state.get("nonce") or ""),
        )
        check_freshness(
            claims,
            asked_at=int(self.state.get("asked_at") or 0),
            max_age=self.state.get("max_age"),
            now=request.received_at,
        )
        data = {"id_token": claims, "userinfo": self._userinfo(claims, token.token)}
        return self.get_provider().sociallogin_from_response(request, data)

    def _userinfo(self, claims: Claims, access_token: str) -> dict[str, Any]:
        # Not every provider has the endpoint; what the id_token says is enough.
        url = self.openid_config.get("userinfo_endpoint")
        if not url:
            return {}
        userinfo = self._fetch(url, access_token=access_token)
        if userinfo.get("sub") != claims["sub"]:
            # OpenID Connect Core §5.3.2: then the values must not be used.
            msg = "userinfo speaks of somebody else than the id_token"
            raise SignInError(msg)
        return userinfo

    def _fetch(self, url: str, *, access_token: str = "") -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}
        with get_adapter().get_requests_session() as session:
            # No redirects: they could lead to a host that was not checked.
            response = session.get(url, headers=headers, allow_redirects=False)
        if response.status_code != 200:  # noqa: PLR2004 -- OK
            msg = f"the identity provider answered {response.status_code}"
            raise SignInError(msg)
        document = response.json()
        if not isinstance(document, dict):
            msg = "the identity provider answered with something else than an object"
            raise SignInError(msg)
        return document


def check_configuration(
    found: Mapping[str, Any], *, issuer: str, extra_hosts: list[str]
) -> None:
    """Refuse a discovery document of another issuer, or one that leads elsewhere.

    Raises:
        SignInError: the issuer differs, or an endpoint that we call ourselves is
            on a host that is neither the issuer's nor named in the settings.
    """
    if str(found.get("issuer", "")).rstrip("/") != issuer:
        msg = "the discovery document is of another issuer"
        raise SignInError(msg)
    home = urlsplit(issuer)
    for name in SERVER_ENDPOINTS:
        url = found.get(name)
        if url is None and name == "userinfo_endpoint":
            continue
        parts = urlsplit(str(url))
        same = (parts.scheme, parts.netloc) == (home.scheme, home.netloc)
        named = parts.scheme == "https" and parts.hostname in extra_hosts
        if not same and not named:
            msg = f"the discovery document leads to another host ({name})"
            raise SignInError(msg)

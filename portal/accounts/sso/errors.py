"""Errors of signing in; messages may be shown to the person."""

from __future__ import annotations

from allauth.socialaccount.providers.oauth2.client import OAuth2Error


class SignInError(OAuth2Error):  # type: ignore[misc]  # allauth is untyped
    """The identity provider's answer proves nothing, or proves the wrong thing."""

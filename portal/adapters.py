"""The seam to allauth."""
from allauth.account.adapter import DefaultAccountAdapter
from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter


class AccountAdapter(DefaultAccountAdapter):
    """Nobody signs up here."""


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """People come from the identity provider."""


class OIDCAdapter(DefaultOIDCAdapter):
    """The command line."""

"""The provider `sso`: OpenID Connect with every check switched on."""

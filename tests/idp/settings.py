"""Settings of the identity provider, a Django project of its own.

Configured by IDP_ISSUER, IDP_DATABASE, IDP_REDIRECT_URIS (separated by spaces),
IDP_CLIENT_ID and IDP_CLIENT_SECRET. The signing key lies beside the database. One
process only: codes live in its memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

IDP_ISSUER = os.environ.get("IDP_ISSUER", "http://127.0.0.1:9400").rstrip("/")
IDP_DATABASE = Path(os.environ.get("IDP_DATABASE", "idp.sqlite3"))
IDP_REDIRECT_URIS = os.environ.get("IDP_REDIRECT_URIS", "").split()
IDP_CLIENT_ID = os.environ.get("IDP_CLIENT_ID", "portal")
IDP_CLIENT_SECRET = os.environ.get("IDP_CLIENT_SECRET", "portal-demo-secret")
IDP_KEY_FILE = IDP_DATABASE.with_suffix(".key.pem")

SECRET_KEY = "a-demonstration-has-no-secrets-0123456789-abcdefghijklmnop"
DEBUG = False
ALLOWED_HOSTS = ["*"]
CSRF_TRUSTED_ORIGINS = ["{0.scheme}://{0.netloc}".format(urlsplit(IDP_ISSUER))]
ROOT_URLCONF = "tests.idp.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "allauth",
    "allauth.account",
    "allauth.idp.oidc",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(IDP_DATABASE)}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
# The passwords are printed on the screen; hashing them slowly protects nothing.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Portal and provider share a host in tests, and cookies know no ports.
SESSION_COOKIE_NAME = "idp_session"
CSRF_COOKIE_NAME = "idp_csrf"
ACCOUNT_EMAIL_VERIFICATION = "none"
IDP_OIDC_ADAPTER = "tests.idp.adapter.Adapter"
IDP_OIDC_PRIVATE_KEY = IDP_KEY_FILE.read_text() if IDP_KEY_FILE.exists() else ""

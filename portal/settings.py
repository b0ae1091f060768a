"""Settings: one file, environment only, safe defaults."""

from __future__ import annotations

from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "draft"
INSTALLED_APPS = [
    "audit", "portal.accounts", "peers", "policies",
    "django.contrib.contenttypes", "django.contrib.auth",
]
AUTH_USER_MODEL = "accounts.User"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True

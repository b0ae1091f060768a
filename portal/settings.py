"""Settings: one file, environment only, safe defaults.

Every variable begins with PEERAGE_; secrets may also come from a file named by
NAME_FILE. Without PEERAGE_SECRET_KEY nothing starts, except with PEERAGE_DEBUG=1,
which makes a throw-away key for each process and is for a developer's machine.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF

from audit.alarms.rules import PARAMETERS, RuleId
from portal.env import (
    database,
    env_bool,
    env_choice,
    env_choices,
    env_int,
    env_list,
    env_networks,
    env_secret,
    env_text,
    origin,
    room_dir,
)
from portal.schedule import beat

BASE_DIR = Path(__file__).resolve().parent.parent

# --- the deployment ---------------------------------------------------------

DEBUG = env_bool("PEERAGE_DEBUG")
# An event that the catalogue does not declare is an error where the product is made.
PEERAGE_STRICT_EVENTS = DEBUG
SECRET_KEY = env_secret(
    "PEERAGE_SECRET_KEY", secrets.token_urlsafe(48) if DEBUG else None
)
PEERAGE_DEPLOYMENT = env_text("PEERAGE_DEPLOYMENT", "peerage")
PEERAGE_BASE_URL = env_text("PEERAGE_BASE_URL", "http://localhost:8000").rstrip("/")
PEERAGE_STATE_DIR = Path(env_text("PEERAGE_STATE_DIR", str(BASE_DIR / "var")))
PEERAGE_INSECURE_HTTP = env_bool("PEERAGE_INSECURE_HTTP", default=DEBUG)
PEERAGE_REDIS_URL = env_secret("PEERAGE_REDIS_URL", "")
PEERAGE_TRUSTED_PROXIES = env_int("PEERAGE_TRUSTED_PROXIES", 0)

# --- policy knobs -----------------------------------------------------------

PEERAGE_SIGNING_KEY_FILE = Path(
    env_text("PEERAGE_SIGNING_KEY_FILE", str(PEERAGE_STATE_DIR / "snapshot.key"))
)
# The sealer's own: one key for each log, and what it signed last. Where the sealer is
# a process of its own, only its user reads them (docs/audit.md).
PEERAGE_LOG_KEY_DIR = Path(
    env_text("PEERAGE_LOG_KEY_DIR", str(PEERAGE_STATE_DIR / "log-keys"))
)
PEERAGE_SEALER_STATE_DIR = Path(
    env_text("PEERAGE_SEALER_STATE_DIR", str(PEERAGE_STATE_DIR / "sealer"))
)
# Witnesses that stand alone, each as NAME+ID+KEY@URL (docs/audit.md).
PEERAGE_WITNESSES = env_list("PEERAGE_WITNESSES")
# What is younger is never pruned; shorter than this nobody can ask for.
PEERAGE_LOG_RETENTION_DAYS = env_int("PEERAGE_LOG_RETENTION_DAYS", 400, minimum=30)
# Whom a verifier believes: shown on a page, and the default of `verify_log`.
PEERAGE_LOG_POLICY_FILE = env_text("PEERAGE_LOG_POLICY_FILE", "")
# Who may read /metrics; empty: there is no such page.
PEERAGE_METRICS_TOKEN = env_secret("PEERAGE_METRICS_TOKEN", "")
PEERAGE_DEVICE_LIMIT = env_int("PEERAGE_DEVICE_LIMIT", 10, minimum=1)
PEERAGE_SNAPSHOT_LIFETIME_SECONDS = env_int(
    "PEERAGE_SNAPSHOT_LIFETIME_SECONDS", 900, minimum=1
)
PEERAGE_LONG_POLL_SECONDS = env_int("PEERAGE_LONG_POLL_SECONDS", 25)
PEERAGE_ENROLMENT_TOKEN_SECONDS = env_int(
    "PEERAGE_ENROLMENT_TOKEN_SECONDS", 900, minimum=1
)
PEERAGE_POOL_IPV4 = env_text("PEERAGE_POOL_IPV4", "100.64.0.0/16")
PEERAGE_POOL_IPV6 = env_text("PEERAGE_POOL_IPV6", "fd5e:e4a6:e000::/64")
PEERAGE_REQUEST_MAXIMUM_DAYS = env_int(
    "PEERAGE_REQUEST_MAXIMUM_DAYS", 30, minimum=1, maximum=3650
)
PEERAGE_REQUEST_ANSWER_DAYS = env_int(
    "PEERAGE_REQUEST_ANSWER_DAYS", 7, minimum=1, maximum=365
)
PEERAGE_REQUEST_REMINDER_HOURS = env_int(
    "PEERAGE_REQUEST_REMINDER_HOURS", 24, minimum=1, maximum=8760
)
PEERAGE_REQUEST_END_NOTICE_HOURS = env_int(
    "PEERAGE_REQUEST_END_NOTICE_HOURS", 24, minimum=1, maximum=8760
)
PEERAGE_REVIEW_NOTICE_DAYS = env_int(
    "PEERAGE_REVIEW_NOTICE_DAYS", 3, minimum=1, maximum=365
)
PEERAGE_POLICY_BRAKE_PERCENT = env_int(
    "PEERAGE_POLICY_BRAKE_PERCENT", 20, minimum=0, maximum=100
)
# Which gateways serve what a policy file adds, where nobody says so.
PEERAGE_POLICY_GATEWAYS = env_list("PEERAGE_POLICY_GATEWAYS")
# Names for this deployment that GitOps tools may use in place of "-".
PEERAGE_TAILNETS = env_list("PEERAGE_TAILNETS", PEERAGE_DEPLOYMENT)
# What peers' API hands out but only the layer above it knows; names, because
# imports run downward.
PEERAGE_CLIENT_CONFIG = "policies.selectors.client_config"
PEERAGE_VERIFICATION_KEY = "policies.signing.verification_key"

# Every rule says what may be set (audit/alarms/rules.py, docs/alarms.md).
PEERAGE_ALARM_PARAMETERS = {
    each.name: env_int(
        each.variable, each.default, minimum=each.minimum, maximum=each.maximum
    )
    for each in PARAMETERS
}
PEERAGE_ALARM_RULES_OFF = env_choices("PEERAGE_ALARM_RULES_OFF", [*RuleId])

# --- what goes out: webhooks of alarms and streams --------------------------

PEERAGE_OUTBOUND_HTTP = env_bool("PEERAGE_OUTBOUND_HTTP")
# Private addresses that may be sent to all the same; public ones always may.
PEERAGE_OUTBOUND_NETWORKS = env_networks("PEERAGE_OUTBOUND_NETWORKS")

# --- identity ---------------------------------------------------------------

PEERAGE_OIDC_ISSUER = env_text("PEERAGE_OIDC_ISSUER", "").rstrip("/")
PEERAGE_OIDC_CLIENT_ID = env_text("PEERAGE_OIDC_CLIENT_ID", "")
PEERAGE_OIDC_CLIENT_SECRET = env_secret("PEERAGE_OIDC_CLIENT_SECRET", "")
PEERAGE_OIDC_GROUPS_CLAIM = env_text("PEERAGE_OIDC_GROUPS_CLAIM", "groups")
PEERAGE_OIDC_NAME = env_text("PEERAGE_OIDC_NAME", "single sign-on")
PEERAGE_OIDC_SCOPES = env_list("PEERAGE_OIDC_SCOPES", "openid,profile,email")
PEERAGE_OIDC_HOSTS = env_list("PEERAGE_OIDC_HOSTS")
PEERAGE_ROLE_GROUP_AUDITOR = env_text("PEERAGE_ROLE_GROUP_AUDITOR", "")
PEERAGE_ROLE_GROUP_ADMINISTRATOR = env_text("PEERAGE_ROLE_GROUP_ADMINISTRATOR", "")
PEERAGE_ROLE_GROUP_OWNER = env_text("PEERAGE_ROLE_GROUP_OWNER", "")
PEERAGE_STEP_UP_SECONDS = env_int("PEERAGE_STEP_UP_SECONDS", 900, minimum=1)

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["portal.accounts.backends.SignedInBackend"]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "portal.adapters.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
ACCOUNT_USER_MODEL_USERNAME_FIELD = "username"
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
SOCIALACCOUNT_ONLY = True
SOCIALACCOUNT_ADAPTER = "portal.adapters.SocialAccountAdapter"
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_REQUESTS_TIMEOUT = 10
SOCIALACCOUNT_PROVIDERS = {
    "sso": {
        "APPS": [
            {
                "provider_id": "sso",
                "name": PEERAGE_OIDC_NAME,
                "client_id": PEERAGE_OIDC_CLIENT_ID,
                "secret": PEERAGE_OIDC_CLIENT_SECRET,
                "settings": {
                    "server_url": PEERAGE_OIDC_ISSUER,
                    "scope": PEERAGE_OIDC_SCOPES,
                    "oauth_pkce_enabled": True,
                },
            }
        ]
    }
}
USERSESSIONS_ADAPTER = "portal.adapters.UserSessionsAdapter"
ALLAUTH_TRUSTED_PROXY_COUNT = PEERAGE_TRUSTED_PROXIES
IDP_OIDC_ADAPTER = "portal.adapters.OIDCAdapter"
IDP_OIDC_DEVICE_CODE_EXPIRES_IN = 600
IDP_OIDC_DEVICE_CODE_INTERVAL = env_int("PEERAGE_DEVICE_CODE_INTERVAL", 5, minimum=1)
IDP_OIDC_ACCESS_TOKEN_EXPIRES_IN = 3600
IDP_OIDC_REFRESH_TOKEN_EXPIRES_IN = 30 * 24 * 3600
IDP_OIDC_RATE_LIMITS = {"device_user_code": "10/m/user"}

# --- Django -----------------------------------------------------------------

INSTALLED_APPS = [
    "portal.accounts",
    "portal.accounts.sso",
    "audit",
    "audit.streams",
    "audit.alarms",
    "peers",
    "policies",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.usersessions",
    "allauth.idp.oidc",
    "rest_framework",
    "django_htmx",
    "csp",
    "portal.console",
    "portal",
]

# Everything here runs asynchronously too: one that does not would cost a thread
# for every gateway's long poll.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "portal.middleware.StaticFilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portal.middleware.actor_middleware",
    "portal.auditors.auditor_middleware",
    "portal.full.full_middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
ASGI_APPLICATION = "portal.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
DATABASES = {
    "default": database(
        env_secret(
            "PEERAGE_DATABASE_URL", f"sqlite:///{PEERAGE_STATE_DIR}/peerage.sqlite3"
        )
    )
}
# What is kept free on the disk of the database (audit/room.py, ADR-0037). Where that
# is on another host, there is nothing to ask.
PEERAGE_ROOM_RESERVE_MB = env_int(
    "PEERAGE_ROOM_RESERVE_MB", 128, minimum=0, maximum=1_048_576
)
PEERAGE_ROOM_DIR = env_text("PEERAGE_ROOM_DIR", room_dir(DATABASES["default"]))
# How long a thread of the pool keeps its database connection; 0 is not at all.
PEERAGE_DATABASE_KEEP_SECONDS = env_int("PEERAGE_DATABASE_KEEP_SECONDS", 60)
# A batch of evidence: at most a thousand records of 8 KiB from our own agent.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Device codes of the command line and counters of tries live in the cache, so it must
# be shared by all processes (never LocMem) and must not go with Redis.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "portal_cache",
        # Django's 300 would let a stranger who asks for device codes push out the
        # codes of everybody else.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}
CELERY_BROKER_URL = PEERAGE_REDIS_URL or "memory://localhost/"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"visibility_timeout": 600} if PEERAGE_REDIS_URL else {"polling_interval": 0.05}
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 300
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = beat()

# --- mail -------------------------------------------------------------------

# Without a host nothing is sent; pages show everything that a mail would say.
EMAIL_HOST = env_text("PEERAGE_MAIL_HOST", "")
EMAIL_PORT = env_int("PEERAGE_MAIL_PORT", 587, minimum=1, maximum=65535)
EMAIL_HOST_USER = env_text("PEERAGE_MAIL_USER", "")
EMAIL_HOST_PASSWORD = env_secret("PEERAGE_MAIL_PASSWORD", "")
PEERAGE_MAIL_SECURITY = env_choice(
    "PEERAGE_MAIL_SECURITY", "starttls", {"starttls", "tls", "none"}
)
EMAIL_USE_TLS = PEERAGE_MAIL_SECURITY == "starttls"
EMAIL_USE_SSL = PEERAGE_MAIL_SECURITY == "tls"
# A mail server that hangs must not hold up the other jobs for long.
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env_text(
    "PEERAGE_MAIL_FROM", f"peerage@{urlsplit(PEERAGE_BASE_URL).hostname}"
)
EMAIL_SUBJECT_PREFIX = ""
EMAIL_BACKEND = "django.core.mail.backends." + (
    "smtp.EmailBackend"
    if EMAIL_HOST
    else "console.EmailBackend"
    if env_bool("PEERAGE_MAIL_CONSOLE", default=DEBUG)
    else "dummy.EmailBackend"
)

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = PEERAGE_STATE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}
WHITENOISE_ALLOW_ALL_ORIGINS = False

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.accounts.api.authentication.BearerTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["portal.accounts.api.permissions.MayUseDevices"],
    "DEFAULT_PARSER_CLASSES": ["portal.accounts.api.parsers.PlainJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "portal.api.exception_handler",
}

# --- the browser ------------------------------------------------------------

ALLOWED_HOSTS = env_list(
    "PEERAGE_ALLOWED_HOSTS", urlsplit(PEERAGE_BASE_URL).hostname or ""
)
CSRF_TRUSTED_ORIGINS = [origin(PEERAGE_BASE_URL)]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not PEERAGE_INSECURE_HTTP
SESSION_COOKIE_NAME = "peerage" if PEERAGE_INSECURE_HTTP else "__Host-peerage"
CSRF_COOKIE_NAME = "csrftoken" if PEERAGE_INSECURE_HTTP else "__Host-csrftoken"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = not PEERAGE_INSECURE_HTTP
SECURE_REDIRECT_EXEMPT = ["^healthz$"]
SECURE_HSTS_SECONDS = 0 if PEERAGE_INSECURE_HTTP else 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not PEERAGE_INSECURE_HTTP
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if PEERAGE_TRUSTED_PROXIES else None
)
X_FRAME_OPTIONS = "DENY"

# Chromium applies form-action to the redirects after a form too, so the identity
# provider is named.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "connect-src": [SELF],
        "font-src": [SELF],
        "form-action": [SELF, *filter(None, [origin(PEERAGE_OIDC_ISSUER)])],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # Every job that came and went is no news.
        "celery": {"level": "WARNING"},
        # At DEBUG these write down tokens, and every parameter of every query.
        "oauthlib": {"level": "INFO"},
        "requests_oauthlib": {"level": "INFO"},
        "django.db.backends": {"level": "INFO"},
    },
}

"""The portal's settings as the tests run them: a throw-away state directory."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_state = Path(tempfile.mkdtemp(prefix="peerage-tests-"))
(_state / "staticfiles").mkdir()
atexit.register(shutil.rmtree, _state, ignore_errors=True)
_database = os.environ.get("PEERAGE_TEST_DATABASE_URL", f"sqlite:///{_state}/p.sqlite3")
os.environ.update(
    {
        "PEERAGE_SECRET_KEY": "tests-only-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEF",
        "PEERAGE_STATE_DIR": str(_state),
        "PEERAGE_DATABASE_URL": _database,
        "PEERAGE_DATABASE_KEEP_SECONDS": "0",
        "PEERAGE_INSECURE_HTTP": "1",
        "PEERAGE_BASE_URL": "http://testserver",
        "PEERAGE_ALLOWED_HOSTS": "testserver,localhost,127.0.0.1,[::1]",
        "PEERAGE_OIDC_ISSUER": "http://127.0.0.1:9",
        "PEERAGE_OIDC_CLIENT_ID": "portal",
        "PEERAGE_OIDC_CLIENT_SECRET": "tests-only",
        "PEERAGE_OIDC_SCOPES": "openid,profile,email,groups",
        "PEERAGE_ROLE_GROUP_AUDITOR": "peerage-auditors",
        "PEERAGE_ROLE_GROUP_ADMINISTRATOR": "peerage-administrators",
        "PEERAGE_ROLE_GROUP_OWNER": "peerage-owners",
        "PEERAGE_DEVICE_CODE_INTERVAL": "1",
        # Tests of their own look at the disk; the others do not depend on it.
        "PEERAGE_ROOM_RESERVE_MB": "0",
    }
)

from portal.settings import *  # noqa: E402, F403 -- after the environment is set
from portal.settings import DATABASES, STORAGES  # noqa: E402 -- the same

STORAGES["staticfiles"]["BACKEND"] = (
    "django.contrib.staticfiles.storage.StaticFilesStorage"
)
WHITENOISE_USE_FINDERS = True
PEERAGE_STRICT_EVENTS = True

if _database.startswith("sqlite"):
    # A file, not memory: live servers and threads open it too. Nobody mourns a
    # test database after a power cut, so it need not be synced.
    DATABASES["default"]["TEST"] = {"NAME": str(_state / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"

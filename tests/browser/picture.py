"""Take the picture of the README: python -m tests.browser.picture FILE."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from audit.key_files import create_key_file

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
# Playwright's event loop runs in this thread; Django is told that it may.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

import django

django.setup()

from django.conf import settings  # noqa: E402 -- the same
from django.test import Client  # noqa: E402 -- the same
from django.test.runner import DiscoverRunner  # noqa: E402 -- the same
from django.test.utils import setup_test_environment  # noqa: E402 -- the same
from playwright.sync_api import ViewportSize  # noqa: E402 -- the same
from pytest_django.live_server_helper import LiveServer  # noqa: E402 -- the same

from tests.browser.chromium import chromium  # noqa: E402 -- the same
from tests.browser.world import make_world  # noqa: E402 -- the same

SIZE = ViewportSize(width=1280, height=820)


def main(file: Path) -> int:
    """Fill a throw-away portal and photograph what an auditor sees."""
    setup_test_environment()
    DiscoverRunner(verbosity=0, interactive=False).setup_databases()
    create_key_file(settings.PEERAGE_SIGNING_KEY_FILE)
    world = make_world(datetime.now(UTC))  # noqa: TID251 -- a command's edge
    visitor = Client()
    visitor.force_login(world.people["carol"])
    server = LiveServer("127.0.0.1")
    name = settings.SESSION_COOKIE_NAME
    value = visitor.cookies[name].value
    with chromium() as browser:
        context = browser.new_context(viewport=SIZE, color_scheme="light")
        context.add_cookies([{"name": name, "value": value, "url": server.url}])
        page = context.new_page()
        page.goto(f"{server.url}/audit/connections/")
        file.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=file)
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""A live portal, a real browser, and a witness of everything that goes wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from audit.key_files import create_key_file
from portal.accounts.models import User
from tests.browser.chromium import chromium
from tests.conftest import SignIn

SECONDS: Final = 20
WATCH: Final = """
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) => {
    window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
  });
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is here, so that it can be chosen."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(autouse=True)
def signing_key(settings: Settings, tmp_path: Path) -> None:
    """Make a signing key as `manage.py init_keys` does."""
    settings.PEERAGE_SIGNING_KEY_FILE = tmp_path / "snapshot.key"
    create_key_file(settings.PEERAGE_SIGNING_KEY_FILE)


@pytest.fixture(scope="session")
def live_server() -> Iterator[LiveServer]:
    """Serve on the loopback address that the identity provider knows."""
    server = LiveServer("127.0.0.1")
    yield server
    server.stop()


@pytest.fixture(scope="package", autouse=True)
def browser() -> Iterator[Browser]:
    """Start Chromium once for all tests here; a missing one fails.

    Playwright's synchronous interface keeps an event loop running in this thread,
    which Django takes for asynchronous code, so both live exactly as long.
    """
    with pytest.MonkeyPatch.context() as patch, chromium() as started:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield started


@pytest.fixture
def clock() -> datetime:
    """Return the time at which the browser runs."""
    return datetime.now(UTC)  # noqa: TID251 -- a test's edge


@dataclass
class Window:
    """A page in a browser of its own, and what it complained about."""

    page: Page
    base: str
    problems: list[str] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)

    def open(self, path: str) -> str:
        """Go to a path and return the text of the page."""
        self.page.goto(self.base + path)
        return self.text

    def hear(self, message: ConsoleMessage) -> None:
        """Keep what one of our own pages complains about."""
        ours = message.location["url"].startswith(self.base)
        if ours and message.type in {"error", "warning"}:
            self.problems.append(message.text)

    @property
    def text(self) -> str:
        """What a person reads."""
        return self.page.inner_text("body")

    @property
    def path(self) -> str:
        """Where the window is."""
        return self.page.url.removeprefix(self.base)

    @property
    def violations(self) -> list[str]:
        """What the content security policy stopped on this page."""
        found: list[str] = self.page.evaluate("window.violations")
        return found


MakeWindow = Callable[..., Window]


@pytest.fixture
def window(browser: Browser, live_server: LiveServer) -> Iterator[MakeWindow]:
    """Open windows, each with its own cookies."""
    contexts: list[BrowserContext] = []

    def make(**options: Any) -> Window:  # noqa: ANN401 -- Playwright's options
        context = browser.new_context(accept_downloads=True, **options)
        context.set_default_timeout(SECONDS * 1000)
        context.add_init_script(WATCH)
        contexts.append(context)
        made = Window(page=context.new_page(), base=live_server.url)
        made.page.on("console", made.hear)
        made.page.on("pageerror", lambda error: made.problems.append(str(error)))
        made.page.on(
            "request", lambda request: made.posted.append(request.post_data or "")
        )
        return made

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def window_of(
    window: MakeWindow, sign_in: SignIn, settings: Settings
) -> Callable[..., Window]:
    """Open a window in which somebody has signed in already."""

    def make(user: User, **options: Any) -> Window:  # noqa: ANN401 -- Playwright's options
        made = window(**options)
        cookie = sign_in(user).cookies[settings.SESSION_COOKIE_NAME].value
        made.page.context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": made.base}]
        )
        return made

    return make

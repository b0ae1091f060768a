"""Sending a form that shows what would come of it before it is done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from django.test import Client

EFFECT: Final = re.compile(r'name="effect" value="([0-9a-f]{64})"')


def shown(response: Any) -> str:  # noqa: ANN401 -- the test client's own type
    """Return the digest of the effect that a page shows."""
    found = EFFECT.search(response.content.decode())
    assert found, response.content.decode()
    return found[1]


def confirm(
    browser: Client, url: str, data: Mapping[str, Any] | None = None, **sent: str
) -> Any:  # noqa: ANN401 -- the same
    """Send a form, look at the effect, confirm it as shown."""
    fields = dict(data or {})
    digest = shown(browser.post(url, fields))
    return browser.post(url, {**fields, "effect": digest, **sent})

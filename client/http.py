"""Talking JSON to the portal: encrypted, without redirects, in small answers."""

from __future__ import annotations

import http.client
import ipaddress
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from client.errors import ClientError, PortalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.client import HTTPResponse

MAX_ANSWER: Final = 1024 * 1024
TIMEOUT_SECONDS: Final = 30
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def portal_url(text: str, *, insecure: bool) -> str:
    """Return a portal's address without its trailing slash.

    Raises:
        ClientError: not an http address, or one in the clear to another machine.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"{text!r} is not the address of a portal; write https://…"
        raise ClientError(msg)
    if parts.username or parts.query or parts.fragment:
        msg = "write the portal's address without a user name, ? or #"
        raise ClientError(msg)
    if parts.scheme == "http" and not insecure and not _is_loopback(parts.hostname):
        msg = (
            f"{text} is not encrypted: anybody on the way could take your place. "
            "Use https, or --insecure if you know why."
        )
        raise ClientError(msg)
    return text.rstrip("/")


class Portal:
    """One portal, perhaps with a token."""

    def __init__(self, url: str, *, token: str = "") -> None:
        """Remember where and as whom; nothing is sent yet."""
        self.url = url
        self.token = token
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if _is_loopback(urlsplit(url).hostname or ""):
            # No proxy can reach this machine's own loopback for us.
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str) -> dict[str, Any]:
        """Return the answer to a GET."""
        return self._send(urllib.request.Request(self.url + path))  # noqa: S310 -- checked by portal_url

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a POST of JSON."""
        request = urllib.request.Request(  # noqa: S310 -- checked by portal_url
            self.url + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        return self._send(request)

    def post_form(self, path: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """Return the answer to a POST of a form, as OAuth wants it."""
        request = urllib.request.Request(  # noqa: S310 -- checked by portal_url
            self.url + path, data=urlencode(fields).encode()
        )
        return self._send(request)

    def _send(self, request: urllib.request.Request) -> dict[str, Any]:
        request.add_header("Accept", "application/json")
        request.add_header("User-Agent", "peerage-cli")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return _document(response)
        except urllib.error.HTTPError as exc:
            with exc:
                raise _refusal(exc) from exc
        except urllib.error.URLError as exc:
            msg = f"the portal at {self.url} cannot be reached: {plain(exc.reason)}"
            raise PortalError(msg) from exc
        except TimeoutError as exc:
            msg = f"the portal at {self.url} does not answer"
            raise PortalError(msg) from exc
        except (OSError, http.client.HTTPException) as exc:
            msg = f"the portal at {self.url} broke off its answer"
            raise PortalError(msg) from exc


def plain(text: object) -> str:
    """Return a text that may be printed: a terminal obeys control characters."""
    return "".join(c if c.isprintable() else REPLACEMENT for c in str(text))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to wherever it points."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        """Follow nothing; the answer then is an error with its status."""


def _document(response: HTTPResponse) -> dict[str, Any]:
    body = response.read(MAX_ANSWER + 1)
    if not body:
        return {}
    try:
        found = json.loads(body) if len(body) <= MAX_ANSWER else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        msg = "this does not speak like a Peerage portal; is the address right?"
        raise PortalError(msg, status=response.status)
    return found


def _refusal(exc: urllib.error.HTTPError) -> PortalError:
    try:
        found = json.loads(exc.read(MAX_ANSWER))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        found = {}
    code = str(found.get("error", ""))
    text = found.get("detail") or found.get("error_description") or code
    return PortalError(
        plain(text or f"the portal answered {exc.code} {exc.reason}"),
        status=exc.code,
        code=code,
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

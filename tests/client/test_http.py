"""Which portals the command line talks to, and what it believes. No database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from client.errors import ClientError, PortalError
from client.http import MAX_ANSWER, Portal, plain, portal_url


@pytest.mark.parametrize(
    "url",
    [
        "https://portal.example.test",
        "http://localhost:8000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
    ],
)
def test_encrypted_or_own_machine_is_accepted(url: str) -> None:
    assert portal_url(url + "/", insecure=False) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://portal.example.test",
        "http://localhost.evil.test",
        "http://127.0.0.1.evil.test",
        "http://192.0.2.1",
    ],
)
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(ClientError, match="not encrypted"):
        portal_url(url, insecure=False)
    assert portal_url(url, insecure=True) == url


@pytest.mark.parametrize(
    "url",
    [
        "portal.example.test",
        "ftp://portal.example.test",
        "file:///etc/passwd",
        "https://",
        "https://user:secret@portal.example.test",
        "https://portal.example.test/?a=b",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ClientError):
        portal_url(url, insecure=True)


def test_control_characters_never_reach_the_terminal() -> None:
    assert "\x1b" not in plain("\x1b[2J\r\nhello")
    assert plain("hello é") == "hello é"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, kind, body = {
            "/good": (200, "application/json", b'{"a": 1}'),
            "/empty": (204, "application/json", b""),
            "/page": (200, "text/html", b"<html>"),
            "/list": (200, "application/json", b"[]"),
            "/large": (200, "application/json", b" " * (MAX_ANSWER + 1)),
            "/away": (302, "text/html", b""),
            "/problem": (403, "application/problem+json", b'{"detail": "no\\u001b"}'),
            "/page-error": (502, "text/html", b"<html>"),
            "/hang-up": (0, "", b""),
        }[self.path]
        if not status:
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status == 302:
            self.send_header("Location", "/good")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture(scope="module")
def portal() -> Iterator[Portal]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Portal(f"http://127.0.0.1:{server.server_port}", token="t")
        server.shutdown()
        thread.join()


def test_document_is_returned(portal: Portal) -> None:
    assert portal.get("/good") == {"a": 1}
    assert portal.get("/empty") == {}


@pytest.mark.parametrize("path", ["/page", "/list", "/large"])
def test_answer_of_something_else_is_refused(portal: Portal, path: str) -> None:
    with pytest.raises(PortalError, match="does not speak like"):
        portal.get(path)


def test_redirect_is_not_followed_with_the_token(portal: Portal) -> None:
    with pytest.raises(PortalError) as caught:
        portal.get("/away")
    assert caught.value.status == 302


def test_refusal_is_told_in_the_portals_words(portal: Portal) -> None:
    with pytest.raises(PortalError, match="no\N{REPLACEMENT CHARACTER}") as caught:
        portal.get("/problem")
    assert caught.value.status == 403


def test_error_without_words_names_its_number(portal: Portal) -> None:
    with pytest.raises(PortalError, match="502"):
        portal.get("/page-error")


def test_portal_that_is_not_there_is_named() -> None:
    with pytest.raises(PortalError, match=r"127\.0\.0\.1:9 cannot be reached"):
        Portal("http://127.0.0.1:9").get("/")


def test_portal_that_breaks_off_is_an_error_in_words(portal: Portal) -> None:
    with pytest.raises(PortalError, match="broke off"):
        portal.get("/hang-up")

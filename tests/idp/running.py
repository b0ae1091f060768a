"""Start the provider as a process of its own, and walk through it like a browser."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

import httpx

from tests.idp.cast import CAST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN: Final = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
SECONDS: Final = 60


@contextmanager
def running(
    directory: Path, *, redirect_uris: tuple[str, ...], client_secret: str
) -> Iterator[str]:
    """Serve on a free loopback port; the value is the issuer.

    The socket listens before the process exists, so the first request waits for
    the provider instead of failing.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        issuer = f"http://127.0.0.1:{server.getsockname()[1]}"
        environment = os.environ | {
            "IDP_ISSUER": issuer,
            "IDP_DATABASE": str(directory / "idp.sqlite3"),
            "IDP_REDIRECT_URIS": " ".join(redirect_uris),
            "IDP_CLIENT_SECRET": client_secret,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.idp", "--fd", str(server.fileno())],
            env=environment,
            pass_fds=(server.fileno(),),
            stdout=subprocess.DEVNULL,
        )
        try:
            yield issuer
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)


class Browser:
    """Somebody in front of the provider's pages; keeps its cookies."""

    def __init__(self) -> None:
        """Open a window without cookies."""
        self._http = httpx.Client(timeout=SECONDS, follow_redirects=False)

    def __enter__(self) -> Self:
        """Use it in a `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def answer(self, url: str, username: str) -> str:
        """Follow the portal's redirect, sign in if asked, return the way back."""
        issuer = httpx.URL(url)
        response = self._http.get(url)
        while True:
            if response.status_code == 200:
                response = self._submit(response, username)
                continue
            following = response.url.join(response.headers["location"])
            if following.host != issuer.host or following.port != issuer.port:
                return str(following)
            response = self._http.get(following)

    def _submit(self, page: httpx.Response, username: str) -> httpx.Response:
        found = TOKEN.search(page.text)
        assert found, f"no form at {page.url}: {page.text[:500]}"
        password = next(p.password for p in CAST if p.username == username)
        response = self._http.post(
            page.url,
            data={
                "csrfmiddlewaretoken": found[1],
                "username": username,
                "password": password,
                "next": page.url.params.get("next", "/"),
            },
            headers={"Referer": str(page.url)},
        )
        assert response.status_code == 302, response.text[:500]
        return response

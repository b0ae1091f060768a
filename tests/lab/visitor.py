"""A person at the portal, played by a script: real forms, real cookies, real CSRF.

Nothing here reaches into the portal; whatever a page would not let a person do, it
does not let a visitor do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from policies.compiler.wireguard import with_private_key
from tests.idp.running import Browser
from tests.lab.processes import LabError

CSRF: Final = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
EFFECT: Final = re.compile(r'name="effect" value="([0-9a-f]{64})"')
WHAT_IS_WRONG: Final = re.compile(r'role="alert"[^>]*>(.*?)</div>', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A device as its owner has it: the portal's answer and the whole configuration."""

    id: str
    addresses: tuple[str, ...]
    fingerprint: str
    config: str

    def address(self, version: int) -> str:
        """Return the tunnel address of a family, without its prefix length."""
        (found,) = (a for a in self.addresses if (":" in a) == (version == 6))
        return found.partition("/")[0]


class Visitor:
    """One browser window of one person."""

    def __init__(self, portal_url: str, username: str) -> None:
        """Open the window; nobody is signed in."""
        self.username = username
        self._http = httpx.Client(base_url=portal_url, timeout=30, trust_env=False)

    def close(self) -> None:
        """Close the window."""
        self._http.close()

    def sign_in(self) -> None:
        """Go through the identity provider as a browser does.

        Raises:
            LabError: the portal did not let the person in.
        """
        self._confirm("/accounts/login/")
        if self.get("/devices/").status_code != 200:
            msg = f"{self.username} could not sign in"
            raise LabError(msg)

    def get(self, path: str, **query: str) -> httpx.Response:
        """Open a page; redirects are answers."""
        return self._http.get(path, params=query or None)

    def page(self, path: str, **query: str) -> str:
        """Open a page and return its text.

        Raises:
            LabError: the answer is not a page.
        """
        response = self.get(path, **query)
        if response.status_code != 200:
            msg = f"{self.username} opened {path}: {_said(response)}"
            raise LabError(msg)
        return response.text

    def submit(
        self, path: str, fields: Mapping[str, str | list[str]]
    ) -> httpx.Response:
        """Open a page with a form, fill it in, send it; return the answer.

        A page that wants a fresh proof of who somebody is gets it, and then again. One
        that first shows what would come of it is confirmed as shown.
        """
        token = self.form_token(path)
        sent = {**fields, "csrfmiddlewaretoken": token}
        answer = self.post(path, sent)
        shown = EFFECT.search(answer.text)
        if shown is None:
            return answer
        return self.post(path, {**sent, "effect": shown[1], "confirmed": "on"})

    def form_token(self, path: str) -> str:
        """Open a page with a form and return what makes it this window's form."""
        response = self.get(path)
        while response.status_code == 302:
            self._confirm(response.headers["location"])
            response = self.get(path)
        found = CSRF.search(response.text)
        if response.status_code != 200 or found is None:
            msg = f"{self.username} opened {path}: {_said(response)}"
            raise LabError(msg)
        return found[1]

    def post(self, path: str, fields: Mapping[str, str | list[str]]) -> httpx.Response:
        """Send a form whose token is among the fields.

        Raises:
            LabError: the portal shows the form again; the message says why.
        """
        response = self._http.post(path, data=dict(fields), headers=self._origin())
        if response.status_code >= 400 or "is-invalid" in response.text:
            msg = f"{self.username} sent {path}: {_said(response)}"
            raise LabError(msg)
        return response

    def call(
        self, method: str, path: str, document: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """Call the API as a page's script does."""
        token = self._http.cookies.get("csrftoken") or ""
        headers = {**self._origin(), "X-CSRFToken": token}
        return self._http.request(method, path, json=document, headers=headers)

    def enroll(self, name: str, key: X25519PrivateKey | None = None) -> Enrolled:
        """Enrol a device with a key made here; the portal sees its public half.

        Raises:
            LabError: the portal refused; the message says why.
        """
        private = key or X25519PrivateKey.generate()
        self.page("/devices/add/")  # which hands out the CSRF cookie
        challenge = self.call("POST", "/api/v1/challenges/", {}).json()
        request = enrolment(name, private, challenge)
        response = self.call("POST", "/api/v1/devices/", request)
        if response.status_code != 201:
            msg = f"{self.username} enrolled {name}: {_said(response)}"
            raise LabError(msg)
        answer = response.json()
        mine = base64.b64encode(private.private_bytes_raw()).decode()
        return Enrolled(
            id=answer["device"]["id"],
            addresses=tuple(answer["device"]["addresses"]),
            fingerprint=answer["device"]["fingerprint"],
            config=with_private_key(answer["config"], mine),
        )

    def agree(self, code: str) -> None:
        """Let a command line act for this person, by the code that it shows."""
        page = "/identity/o/device"
        self.submit(page, {"code": code})
        self.submit(page, {"code": code, "action": "confirm"})

    def connections(self, **query: str) -> list[dict[str, Any]]:
        """Return the connections that the audit page exports for a question."""
        text = self.page("/audit/connections/export/", format="jsonl", **query)
        return [json.loads(line) for line in text.splitlines()]

    def events(self, **query: str) -> list[dict[str, Any]]:
        """Return the events that the audit page exports for a question."""
        text = self.page("/audit/events/export/", format="jsonl", **query)
        return [json.loads(line) for line in text.splitlines()]

    def _confirm(self, page: str) -> None:
        """Follow "Continue with …" on a page of the entrance, and come back."""
        response = self.get(page)
        form = dict(
            re.findall(
                r'<input type="hidden" name="(\w+)" value="([^"]*)"', response.text
            )
        )
        if response.status_code != 200 or "csrfmiddlewaretoken" not in form:
            msg = f"{self.username} opened {page}: {_said(response)}"
            raise LabError(msg)
        fields = {name: html.unescape(value) for name, value in form.items()}
        leaving = self._http.post(
            "/accounts/sso/login/", data=fields, headers=self._origin()
        )
        if leaving.status_code != 302:
            msg = f"{self.username} left for the identity provider: {_said(leaving)}"
            raise LabError(msg)
        with Browser() as browser:
            back = browser.answer(leaving.headers["location"], self.username)
        returned = self._http.get(back)
        if returned.status_code != 302:
            msg = f"{self.username} came back: {_said(returned)}"
            raise LabError(msg)

    def _origin(self) -> dict[str, str]:
        return {"Origin": str(self._http.base_url).rstrip("/")}


def enrolment(
    name: str, private: X25519PrivateKey, challenge: Mapping[str, str]
) -> dict[str, str]:
    """Return what a browser sends to enrol a key (docs/api.md, Possession)."""
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    theirs = X25519PublicKey.from_public_bytes(
        base64.b64decode(challenge["public_key"])
    )
    message = "\n".join(
        ("peerage enrolment v1", challenge["challenge"], challenge["nonce"], public)
    )
    proof = hmac.new(private.exchange(theirs), message.encode(), hashlib.sha256)
    return {
        "name": name,
        "platform": "linux",
        "public_key": public,
        "challenge": challenge["challenge"],
        "proof": base64.b64encode(proof.digest()).decode(),
    }


def _said(response: httpx.Response) -> str:
    """Return what an answer says went wrong, in one line."""
    if response.headers.get("content-type", "").startswith("application/problem"):
        return f"{response.status_code} {response.json().get('detail', '')}"
    found = WHAT_IS_WRONG.findall(response.text)
    words = " ".join(" ".join(re.sub(r"<[^>]+>", " ", text).split()) for text in found)
    return f"{response.status_code} {html.unescape(words)}".strip()

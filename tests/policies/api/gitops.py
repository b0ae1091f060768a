"""The published tools, as far as the portal can see them: their requests, in order.

`Pusher` sends what gitops-pusher sends, `Provider` what the Terraform provider's
`tailscale_acl` does by the Go client; each judges the answers as its original does.
Written from their published sources, of which nothing is copied; neither is packaged
where the tests could run it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from policies.dialect.formatting import fmt
from policies.dialect.standard import standardized

if TYPE_CHECKING:
    from django.test import Client
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

HUJSON: Final = "application/hujson"
ANNOTATED: Final = re.compile(r"line ([0-9]+), column ([0-9]+): (.*)$")


class ToolError(Exception):
    """The tool ends with an error; its text is what it prints."""


@dataclass(slots=True)
class Pusher:
    """gitops-pusher with its cache of the last known hash."""

    client: Client
    tailnet: str = "-"
    fail_on_manual_edits: bool = False
    cache: str = ""
    printed: list[str] = field(default_factory=list)

    @property
    def acl(self) -> str:
        """The address that the tool makes from its flags."""
        return f"/api/v2/tailnet/{self.tailnet}/acl"

    def apply(self, file: str) -> str:
        """Push a file; return what was done."""
        control, local = self.checksums(file)
        if control == local:
            self.cache = local
            return "no update needed"
        self._compare(control)
        answer = self.client.post(
            self.acl,
            file.encode(),
            content_type=HUJSON,
            headers={"If-Match": f'"{control}"'},
        )
        if answer.status_code != 200:
            raise ToolError(self._annotated(answer.json()))
        self.cache = local
        return "pushed"

    def test(self, file: str) -> str:
        """Test a file without applying it."""
        control, local = self.checksums(file)
        if control == local:
            return "no updates found"
        self._compare(control)
        answer = self.client.post(
            f"{self.acl}/validate", standardized(file).encode(), content_type=HUJSON
        )
        told = answer.json()
        if told.get("message") or told.get("data"):
            raise ToolError(self._annotated(told))
        if answer.status_code != 200:
            raise ToolError(f"wanted 200 but got {answer.status_code}")
        return "tested"

    def checksums(self, file: str) -> tuple[str, str]:
        """Return the hashes of the portal's policy and of the file."""
        answer = self.client.get(self.acl, headers={"Accept": HUJSON})
        if answer.status_code != 200:
            raise ToolError(f"wanted 200 but got {answer.status_code}")
        control = answer["ETag"].strip('"')
        local = sha256(fmt(file).encode()).hexdigest()
        self.cache = self.cache or local
        return control, local

    def _compare(self, control: str) -> None:
        if self.cache == control:
            return
        self.printed.append("modified externally")
        if self.fail_on_manual_edits:
            raise ToolError("modified externally")

    def _annotated(self, told: dict[str, Any]) -> str:
        lines = [told["message"]]
        if found := ANNOTATED.search(told["message"]):
            lines = [f"::error file=policy.hujson,line={found[1]},col={found[2]}"]
        for entry in told.get("data") or []:
            if entry.get("user"):
                lines.append(f"For user {entry['user']}:")
            lines += entry.get("errors") or []
        return "\n".join(lines)


@dataclass(slots=True)
class Provider:
    """`tailscale_acl` of the Terraform provider, by the Go client."""

    client: Client
    tailnet: str = "-"

    @property
    def acl(self) -> str:
        """The address that the client builds."""
        return f"/api/v2/tailnet/{self.tailnet}/acl"

    def create(self, file: str, *, overwrite_existing_content: bool = False) -> None:
        """Set the policy, as a rule only where there is none."""
        etag = None if overwrite_existing_content else '"ts-default"'
        try:
            self._set(file, etag)
        except ToolError as exc:
            if str(exc).endswith("(412)"):
                msg = "You seem to be trying to overwrite a non-default policy file"
                raise ToolError(msg) from exc
            raise

    def read(self) -> str:
        """Return the policy as the resource keeps it."""
        answer = self.client.get(self.acl, headers={"Accept": HUJSON})
        self._check(answer)
        return answer.content.decode()

    def read_json(self) -> dict[str, Any]:
        """Return the policy as the data source keeps it."""
        answer = self.client.get(self.acl, headers={"Accept": "application/json"})
        self._check(answer)
        found: dict[str, Any] = json.loads(answer.content)
        return found

    def update(self, file: str) -> None:
        """Set the policy, whatever it is now."""
        self._set(file, None)

    def destroy(self, *, reset_acl_on_destroy: bool = False) -> None:
        """Forget the policy, or reset it."""
        if reset_acl_on_destroy:
            self._set("", None)

    def _set(self, file: str, etag: str | None) -> None:
        headers = {"If-Match": etag} if etag else {}
        answer = self.client.post(
            self.acl, file.encode(), content_type=HUJSON, headers=headers
        )
        self._check(answer)

    def _check(self, answer: Answer) -> None:
        if answer.status_code >= 400:
            message = json.loads(answer.content)["message"]
            raise ToolError(f"{message} ({answer.status_code})")

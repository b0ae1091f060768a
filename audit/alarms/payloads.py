"""What is sent about an alarm: JSON, Slack's form, and the words of a mail. Pure.

Names in it come from people and machines that may be the attacker's. JSON carries them
as values. In Slack's form they are text that cannot ping, link or format (`harmless`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

COLOURS: Final = {"notice": "#4299e1", "warning": "#f59f00", "alert": "#d63939"}
CAUSES: Final = {
    "raised": "New",
    "again": "Goes on",
    "risen": "Became worse",
    "test": "Test",
}
PARTIES: Final = ("person", "device", "gateway", "application")
BREAK: Final = "\u200b"
"""Zero-width space: what follows "@" or "]" is then no mention and no link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An alarm as the outside hears of it. `parties` are id and label by role."""

    id: str
    url: str
    rule: str
    title: str
    severity: str
    state: str
    sentence: str
    runbook: str
    count: int
    first_seen_at: datetime
    last_seen_at: datetime
    parties: Mapping[str, tuple[str, str]]
    cause: str
    deployment: str
    delivery: str

    @property
    def heading(self) -> str:
        """The first line of everything."""
        return f"{CAUSES[self.cause]}: {self.title} ({self.severity})"


def webhook_body(told: Told) -> bytes:
    """Return the JSON of a webhook; its form only grows."""
    return _bytes(
        {
            "type": "alarm",
            "version": 1,
            "delivery": told.delivery,
            "deployment": told.deployment,
            "cause": told.cause,
            "alarm": {
                "id": told.id,
                "url": told.url,
                "rule": told.rule,
                "title": told.title,
                "severity": told.severity,
                "state": told.state,
                "sentence": told.sentence,
                "runbook": told.runbook,
                "count": told.count,
                "first_seen_at": told.first_seen_at.isoformat(),
                "last_seen_at": told.last_seen_at.isoformat(),
                **{
                    role: {"id": number, "label": label}
                    for role, (number, label) in sorted(told.parties.items())
                    if number
                },
            },
        }
    )


def slack_body(told: Told) -> bytes:
    """Return what Slack's incoming webhooks and those like them take."""
    text = harmless(told.sentence)
    return _bytes(
        {
            "text": f"{harmless(told.heading)}: {text}",
            "attachments": [
                {
                    "color": COLOURS[told.severity],
                    "fallback": text,
                    "text": f"{text}\n<{told.url}|Open the alarm>",
                    "fields": [
                        {"title": "What to do", "value": harmless(told.runbook)},
                        {"title": "Times", "value": str(told.count), "short": True},
                        {
                            "title": "Last seen (UTC)",
                            "value": f"{told.last_seen_at:%Y-%m-%d %H:%M:%S}",
                            "short": True,
                        },
                    ],
                }
            ],
        }
    )


def harmless(text: str) -> str:
    """Return text that Slack and its likes only show.

    `&`, `<` and `>` as Slack wants them escaped, so that `<!channel>` is no mention;
    what reads "@channel" or a Markdown link as such elsewhere is broken, too.
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("@", f"@{BREAK}").replace("](", f"]{BREAK}(")


def _bytes(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")

"""What is sent is well formed, and no name in it does anything. No database."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from audit.alarms.payloads import Told, harmless, slack_body, webhook_body
from tests.audit.alarms.makers import NOW, after

HOSTILE = '<!channel> <@U1> & @here [free](https://evil.example) "quote" é\n'
TOLD = Told(
    id="al_7",
    url="https://portal.example/audit/alarms/7/",
    rule="drift",
    title="Gateway changed by hand",
    severity="alert",
    state="open",
    sentence=HOSTILE,
    runbook="Look again.",
    count=3,
    first_seen_at=NOW,
    last_seen_at=after(9),
    parties={"gateway": ("gw_1", HOSTILE), "person": ("", "")},
    cause="raised",
    deployment="peerage",
    delivery="d-1",
)


def test_a_webhook_carries_the_alarm_as_values() -> None:
    found = json.loads(webhook_body(TOLD))
    assert (found["type"], found["version"], found["cause"]) == ("alarm", 1, "raised")
    alarm = found["alarm"]
    assert (alarm["id"], alarm["sentence"], alarm["count"]) == ("al_7", HOSTILE, 3)
    assert alarm["gateway"] == {"id": "gw_1", "label": HOSTILE}
    assert "person" not in alarm


@pytest.mark.parametrize("forbidden", ["<!", "<@", "@here", "](", "&quot;"])
def test_no_name_pings_or_links_in_a_chat(forbidden: str) -> None:
    body = json.loads(slack_body(TOLD))
    (attachment,) = body["attachments"]
    texts = [body["text"], attachment["fallback"], attachment["text"]]
    ours = f"<{TOLD.url}|Open the alarm>"
    for text in texts:
        assert forbidden not in text.replace(ours, "")


def test_a_chat_links_to_the_alarm_alone() -> None:
    text = json.loads(slack_body(TOLD))["attachments"][0]["text"]
    assert text.count("<") == 1
    assert text.endswith(f"<{TOLD.url}|Open the alarm>")


def test_slack_escapes_three_characters() -> None:
    assert harmless("a & b < c > d") == "a &amp; b &lt; c &gt; d"


@pytest.mark.parametrize("severity", ["notice", "warning", "alert"])
@pytest.mark.parametrize("cause", ["raised", "again", "risen", "test"])
def test_every_cause_and_severity_can_be_said(severity: str, cause: str) -> None:
    told = replace(TOLD, severity=severity, cause=cause)
    assert severity in json.loads(slack_body(told))["text"]

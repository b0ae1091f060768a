"""Where alarms are sent is changed with an event that holds no secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit.actor import Actor
from audit.alarms import channels
from audit.alarms.channels import ChannelInput
from audit.alarms.delivery import secret_owner, url_owner
from audit.alarms.errors import InvalidChannelError
from audit.alarms.models import AlarmChannel, ChannelKind
from audit.alarms.rules import RuleId, Severity
from audit.kept_secrets import said
from audit.models import AuditEvent
from tests.audit.alarms.makers import NOW

pytestmark = pytest.mark.django_db
URL = "https://hooks.example/services/T1/B2/topsecret"
MANY = " ".join(f"desk{number}@example.test" for number in range(30))


def wanted(**changed: Any) -> ChannelInput:  # noqa: ANN401 -- the fields of a channel
    values: dict[str, Any] = {
        "name": "desk",
        "kind": ChannelKind.WEBHOOK,
        "address": URL,
    }
    return ChannelInput(**(values | changed))


def make(actor: Actor, **changed: Any) -> tuple[AlarmChannel, str]:  # noqa: ANN401 -- the same
    return channels.create_channel(wanted=wanted(**changed), actor=actor, now=NOW)


def test_url_and_secret_are_kept_encrypted_and_the_host_is_shown(actor: Actor) -> None:
    made, secret = make(actor)
    row = AlarmChannel.objects.get()
    assert row.address == "https://hooks.example"
    stored = json.dumps([str(value) for value in vars(row).values()])
    assert "topsecret" not in stored
    assert secret not in stored
    assert said(row.kept_url, owner=url_owner(made)) == URL
    assert said(row.kept_secret, owner=secret_owner(made)) == secret
    assert len(secret) > 40


def test_no_event_holds_a_secret(actor: Actor) -> None:
    made, secret = make(actor)
    renewed = channels.renew_secret(channel=made, actor=actor, now=NOW)
    channels.update_channel(
        channel=made, wanted=wanted(address=URL + "2"), actor=actor, now=NOW
    )
    channels.delete_channel(channel=made, reason="moved", actor=actor, now=NOW)
    told = json.dumps([[str(e), e.reason, e.details] for e in AuditEvent.objects.all()])
    assert [code for code in ("AL005I", "AL006I", "AL007I") if code not in told] == []
    for hidden in (secret, renewed, "topsecret"):
        assert hidden not in told


def test_only_a_webhook_gets_a_secret(actor: Actor) -> None:
    made, secret = make(actor, kind=ChannelKind.SLACK)
    assert secret == ""
    with pytest.raises(InvalidChannelError, match="only a webhook"):
        channels.renew_secret(channel=made, actor=actor, now=NOW)


def test_a_renewed_secret_replaces_the_former(actor: Actor) -> None:
    made, first = make(actor)
    second = channels.renew_secret(channel=made, actor=actor, now=NOW)
    made.refresh_from_db()
    assert second != first
    assert said(made.kept_secret, owner=secret_owner(made)) == second


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": " "}, "visible characters"),
        ({"name": "a\u202eb"}, "visible characters"),
        ({"name": "x" * 65}, "visible characters"),
        ({"address": ""}, "an address"),
        ({"address": "http://hooks.example/"}, "https"),
        ({"address": "https://a:b@hooks.example/"}, "no user"),
        ({"kind": ChannelKind.MAIL, "address": "nobody"}, "no mail address"),
        ({"kind": ChannelKind.MAIL, "address": "a@b.test\r\nBcc: c@d.test"}, "no mail"),
        (
            {"kind": ChannelKind.MAIL, "address": MANY},
            "too many",
        ),
    ],
)
def test_a_channel_that_could_not_work_is_not_made(
    changed: dict[str, Any], says: str, actor: Actor
) -> None:
    with pytest.raises(InvalidChannelError, match=says):
        make(actor, **changed)
    assert not AlarmChannel.objects.exists()
    assert not AuditEvent.objects.exists()


def test_two_channels_do_not_share_a_name(actor: Actor) -> None:
    make(actor)
    with pytest.raises(InvalidChannelError, match="another channel"):
        make(actor)


def test_an_empty_address_keeps_the_one_there_is(actor: Actor) -> None:
    made, _ = make(actor)
    changed = channels.update_channel(
        channel=made,
        wanted=wanted(
            address="",
            name="night",
            least_severity=Severity.ALERT,
            rules=[RuleId.DRIFT, RuleId.LOG_GAP],
            enabled=False,
        ),
        actor=actor,
        now=NOW,
    )
    assert (changed.name, changed.rules) == ("night", "drift log-gap")
    assert said(changed.kept_url, owner=url_owner(changed)) == URL
    event = AuditEvent.objects.get(code="AL006")
    assert event.details["url_changed"] is False
    assert event.details["after"]["least_severity"] == "alert"


def test_a_deleted_channel_leaves_its_event(actor: Actor) -> None:
    made, _ = make(actor)
    channels.delete_channel(channel=made, reason="moved", actor=actor, now=NOW)
    assert not AlarmChannel.objects.exists()
    assert AuditEvent.objects.get(code="AL007").target_label == "desk"

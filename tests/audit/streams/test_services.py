"""Changes of streams: each an event, none with a secret, nothing that cannot work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.actor import Actor
from audit.models import AuditEvent, Log
from audit.streams import services, source
from audit.streams.checks import StreamInput
from audit.streams.errors import InvalidStreamError
from audit.streams.models import LeastSeverity, Stream, StreamForm, StreamKind
from tests.audit.streams.conftest import NOON, Certificate, MakeStream, secret_of
from tests.audit.streams.logs import write_events

pytestmark = pytest.mark.django_db
TOKEN = "11111111-2222-3333-4444-555555555555"


def wanted(**changed: Any) -> StreamInput:  # noqa: ANN401 -- the fields of the input
    values: dict[str, Any] = {
        "name": "siem",
        "kind": StreamKind.HEC,
        "address": "https://splunk.example.test:8088",
        "form": StreamForm.NATIVE,
        "logs": (Log.CONTROL,),
    }
    return StreamInput(**values | changed)


def everything_recorded() -> str:
    return " ".join(
        f"{event.details} {event.reason} {event.target_label}"
        for event in AuditEvent.objects.all()
    )


@pytest.mark.parametrize("kind", [StreamKind.WEBHOOK, StreamKind.LINES])
def test_the_portal_makes_a_secret_that_signs_and_tells_it_once(
    kind: StreamKind, actor: Actor
) -> None:
    made, secret = services.create_stream(
        wanted=wanted(kind=kind), from_beginning=True, actor=actor, now=NOON
    )
    assert len(secret) == 43
    assert secret_of(made) == secret
    assert secret not in everything_recorded()


def test_a_token_is_kept_and_stands_in_no_event(actor: Actor) -> None:
    made, secret = services.create_stream(
        wanted=wanted(), secret=TOKEN, from_beginning=True, actor=actor, now=NOON
    )
    assert secret == ""
    assert secret_of(made) == TOKEN
    event = AuditEvent.objects.get(code="AU030")
    assert event.target_id == made.ref.id
    assert event.details["address"] == "https://splunk.example.test:8088"
    assert TOKEN not in everything_recorded()


@pytest.mark.parametrize(
    ("changed", "secret", "says"),
    [
        ({"name": " "}, TOKEN, "visible characters"),
        ({"name": "a\u202eb"}, TOKEN, "visible characters"),
        ({"name": "x" * 65}, TOKEN, "visible characters"),
        ({"logs": ()}, TOKEN, "at least one log"),
        ({"codes": ("XX999",)}, TOKEN, "no codes: XX999"),
        ({"form": StreamForm.SENTENCE}, TOKEN, "only syslog"),
        ({}, "", "demands a token"),
        ({}, "a b", "printable ASCII"),
        ({}, "a\r\nX-Evil: 1", "printable ASCII"),
        ({"kind": StreamKind.WEBHOOK}, TOKEN, "made by the portal"),
        ({"address": ""}, TOKEN, "address"),
        ({"address": f"https://a/{'x' * 500}"}, TOKEN, "at most 500 characters"),
        ({"address": "splunk.example.test:8088"}, TOKEN, "begins with https"),
        ({"address": "file:///etc/passwd"}, TOKEN, "begins with https"),
        ({"address": "https://user:pw@splunk.example.test"}, TOKEN, "no user"),
        ({"address": "https://splunk.example.test/a b"}, TOKEN, "address"),
        ({"address": "https://splunk.example.test/\r\nX: 1"}, TOKEN, "address"),
        ({"trusted_certificate": "no PEM"}, TOKEN, "could not be read"),
        ({"trusted_certificate": "é"}, TOKEN, "PEM text"),
    ],
)
def test_what_could_not_work_is_refused(
    changed: dict[str, Any], secret: str, says: str, actor: Actor
) -> None:
    with pytest.raises(InvalidStreamError, match=says):
        services.create_stream(
            wanted=wanted(**changed),
            secret=secret,
            from_beginning=True,
            actor=actor,
            now=NOON,
        )
    assert not Stream.objects.exists()


@pytest.mark.parametrize(
    "address",
    [
        "siem.example.test",
        "siem.example.test:x",
        "siem.example.test:0",
        ":6514",
        "a b:1",
    ],
)
def test_syslog_wants_a_host_and_a_port(address: str, actor: Actor) -> None:
    with pytest.raises(InvalidStreamError, match="host:port"):
        services.create_stream(
            wanted=wanted(
                kind=StreamKind.SYSLOG, form=StreamForm.SENTENCE, address=address
            ),
            from_beginning=True,
            actor=actor,
            now=NOON,
        )


def test_a_client_certificate_must_bring_its_key(
    certificate: Certificate, actor: Actor
) -> None:
    syslog = wanted(
        kind=StreamKind.SYSLOG,
        form=StreamForm.SENTENCE,
        address="siem.example.test:6514",
        trusted_certificate=certificate.pem,
    )
    with pytest.raises(InvalidStreamError, match="could not be read"):
        services.create_stream(
            wanted=syslog,
            secret=certificate.pem,
            from_beginning=True,
            actor=actor,
            now=NOON,
        )
    both = certificate.pem + certificate.key.read_text(encoding="ascii")
    made, _ = services.create_stream(
        wanted=syslog, secret=both, from_beginning=True, actor=actor, now=NOON
    )
    assert secret_of(made) == both.strip()
    assert "PRIVATE KEY" not in everything_recorded()


def test_two_streams_have_two_names(make_stream: MakeStream) -> None:
    make_stream(name="siem")
    with pytest.raises(InvalidStreamError, match="another stream named siem"):
        make_stream(name="siem")


def test_a_change_keeps_the_secret_unless_another_is_given(actor: Actor) -> None:
    made, _ = services.create_stream(
        wanted=wanted(), secret=TOKEN, from_beginning=True, actor=actor, now=NOON
    )
    for secret, expected in (("", TOKEN), ("another", "another")):
        changed = services.update_stream(
            stream=made,
            wanted=wanted(least_severity=LeastSeverity.WARNING, codes=("DV012",)),
            secret=secret,
            actor=actor,
            now=NOON,
        )
        assert secret_of(changed) == expected
    told = [event.details for event in AuditEvent.objects.filter(code="AU031")]
    assert {details["secret_changed"] for details in told} == {False, True}
    assert "another" not in everything_recorded()
    assert changed.codes == "DV012"


def test_a_change_takes_the_stream_from_its_worker_and_tries_at_once(
    make_stream: MakeStream, actor: Actor
) -> None:
    made = make_stream()
    Stream.objects.update(
        held_by="w", held_until=NOON, next_attempt_at=NOON + timedelta(days=1)
    )
    changed = services.update_stream(
        stream=made,
        wanted=wanted(kind=StreamKind.WEBHOOK, address="https://new.example.test"),
        actor=actor,
        now=NOON,
    )
    changed.refresh_from_db()
    assert (changed.held_by, changed.next_attempt_at) == ("", NOON)


def test_a_stream_does_not_change_its_kind(
    make_stream: MakeStream, actor: Actor
) -> None:
    with pytest.raises(InvalidStreamError, match="kind"):
        services.update_stream(
            stream=make_stream(),
            wanted=wanted(kind=StreamKind.LINES),
            actor=actor,
            now=NOON,
        )


def test_a_log_that_is_added_begins_with_its_next_entry(
    make_stream: MakeStream, actor: Actor
) -> None:
    made = make_stream(logs=(Log.CONNECTIONS,))
    write_events(3)
    before = source.head(Log.CONTROL)
    services.update_stream(
        stream=made,
        wanted=wanted(kind=StreamKind.WEBHOOK, logs=(Log.CONTROL,)),
        actor=actor,
        now=NOON,
    )
    (cursor,) = made.cursors.all()
    assert (cursor.log, cursor.position) == (Log.CONTROL, before)


def test_a_renewed_secret_is_another(make_stream: MakeStream, actor: Actor) -> None:
    made = make_stream()
    before = secret_of(made)
    renewed, secret = services.renew_secret(stream=made, actor=actor, now=NOON)
    assert secret_of(renewed) == secret != before
    assert secret not in everything_recorded()


def test_a_token_of_a_receiver_is_not_the_portals_to_renew(actor: Actor) -> None:
    made, _ = services.create_stream(
        wanted=wanted(), secret=TOKEN, from_beginning=True, actor=actor, now=NOON
    )
    with pytest.raises(InvalidStreamError, match="made by its receiver"):
        services.renew_secret(stream=made, actor=actor, now=NOON)


def test_stopping_is_an_event_with_its_reason_and_only_once(
    make_stream: MakeStream, actor: Actor
) -> None:
    made = make_stream()
    for _ in range(2):
        services.disable_stream(stream=made, reason="moving", actor=actor, now=NOON)
    assert AuditEvent.objects.get(code="AU032").reason == "moving"
    for _ in range(2):
        services.enable_stream(stream=made, actor=actor, now=NOON)
    assert AuditEvent.objects.get(code="AU031").details == {"enabled": True}

"""What counts as delivered, and that a receiver's own words and secrets stay out."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from pytest_django import Settings

from audit.models import AuditEvent, Log
from audit.outbound import signature
from audit.streams import source
from audit.streams.delivery import deliver
from audit.streams.errors import DeliveryError
from audit.streams.models import Stream, StreamForm, StreamKind
from audit.streams.receivers import receiver
from tests.audit.receiver import Taken, receiving
from tests.audit.streams.conftest import NOON, Clock, MakeStream, secret_of
from tests.audit.streams.logs import ranks, write_events

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("reachable")]
TOKEN = "11111111-2222-3333-4444-555555555555"


def send(stream: Stream, count: int = 2) -> None:
    write_events(count)
    records = source.read(Log.CONTROL, position=0, size=100).records
    receiver(stream).send(records, now=NOON)


@pytest.fixture
def http(settings: Settings) -> None:
    """Let tests speak to their receivers without TLS."""
    settings.PEERAGE_OUTBOUND_HTTP = True


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_success_says_that_a_webhook_has_it(
    status: int, make_stream: MakeStream
) -> None:
    with receiving(status) as server:
        stream = make_stream(address=server.url)
        send(stream)
    (taken,) = server.taken
    at = taken.headers["X-Peerage-Timestamp"]
    expected = f"v1={signature(secret_of(stream), taken.body, at=at)}"
    assert hmac.compare_digest(taken.headers["X-Peerage-Signature"], expected)
    found = json.loads(taken.body)
    assert taken.headers["X-Peerage-Last"] == str(found["last"])
    assert ranks(Log.CONTROL, [e["index"] for e in found["events"]]) == [0, 1, 2]


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize("form", [StreamForm.NATIVE, StreamForm.OCSF])
def test_json_lines_are_signed_like_a_webhook(
    form: StreamForm, make_stream: MakeStream
) -> None:
    with receiving(200) as server:
        send(make_stream(kind=StreamKind.LINES, form=form, address=server.url))
    (taken,) = server.taken
    assert taken.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in taken.body.splitlines()]
    assert len(lines) == 3
    assert all(("class_uid" in line) is (form == StreamForm.OCSF) for line in lines)


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize("status", [301, 400, 401, 429, 500, 503])
def test_anything_else_does_not(status: int, make_stream: MakeStream) -> None:
    with receiving(status, location="http://127.0.0.1:1/") as server:
        stream = make_stream(address=server.url)
        with pytest.raises(DeliveryError, match=f"status {status}"):
            send(stream)
    assert len(server.taken) == 1


def hec_taken(
    make_stream: MakeStream, statuses: Sequence[int], answer: bytes
) -> list[Taken]:
    with receiving(*statuses, answer=answer) as server:
        base = server.url.removesuffix("/hook")
        send(make_stream(kind=StreamKind.HEC, address=f"{base}/", secret=TOKEN))
    return server.taken


@pytest.mark.usefixtures("http")
def test_splunk_has_it_when_it_says_code_0(make_stream: MakeStream) -> None:
    (taken,) = hec_taken(make_stream, [200], b'{"text":"Success","code":0}')
    assert taken.path == "/services/collector/event"
    assert taken.headers["Authorization"] == f"Splunk {TOKEN}"
    assert "X-Peerage-Signature" not in taken.headers


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [
        (403, b'{"text":"Invalid token","code":4}', "code 4: the token is unknown"),
        (503, b'{"text":"Server is busy","code":9}', "code 9: it is busy"),
        (400, b'{"code":10}', "indexer acknowledgement"),
        (200, b'{"text":"odd","code":77}', "code 77$"),
        (200, b"<html>a proxy</html>", "no code"),
        (200, b"[]", "no code"),
        (200, b'{"code":false}', "no code"),
        (500, b'{"code":0}', "status 500"),
    ],
)
def test_anything_but_code_0_is_a_failure(
    status: int, answer: bytes, says: str, make_stream: MakeStream
) -> None:
    with pytest.raises(DeliveryError, match=says):
        hec_taken(make_stream, [status], answer)


@pytest.mark.usefixtures("http")
def test_a_receiver_that_repeats_the_token_puts_it_nowhere(
    clock: Clock, make_stream: MakeStream, caplog: pytest.LogCaptureFixture
) -> None:
    answer = json.dumps({"text": f"bad token {TOKEN}", "code": 4}).encode()
    caplog.set_level(logging.DEBUG)
    with receiving(403, answer=answer) as server:
        stream = make_stream(kind=StreamKind.HEC, address=server.url, secret=TOKEN)
        deliver(stream.pk, clock=clock)
    stream.refresh_from_db()
    assert "code 4" in stream.last_error
    kept: list[Any] = [stream.last_error, caplog.text, repr(stream), stream.kept_secret]
    kept += [f"{e.reason} {e.details}" for e in AuditEvent.objects.all()]
    assert TOKEN not in " ".join(map(str, kept))


@pytest.mark.usefixtures("http")
def test_a_secret_under_a_lost_key_is_said_and_nothing_sent(
    clock: Clock, make_stream: MakeStream, settings: Settings
) -> None:
    with receiving(200) as server:
        stream = make_stream(address=server.url)
        settings.SECRET_KEY = "another-secret-key-0123456789-0123456789"
        assert deliver(stream.pk, clock=clock) == 0
    stream.refresh_from_db()
    assert "enter it again" in stream.last_error
    assert server.taken == []


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        (StreamKind.WEBHOOK, "https://169.254.169.254/latest/meta-data"),
        (StreamKind.HEC, "https://[::1]:8088"),
        (StreamKind.LINES, "https://10.0.0.1/"),
        (StreamKind.SYSLOG, "10.0.0.1:6514"),
        (StreamKind.SYSLOG, "[::ffff:169.254.169.254]:6514"),
    ],
)
def test_a_stream_reaches_no_address_that_is_not_allowed(
    kind: StreamKind, address: str, make_stream: MakeStream
) -> None:
    stream = make_stream(
        kind=kind,
        address=address,
        form=StreamForm.OCSF,
        secret=TOKEN if kind == StreamKind.HEC else "",
    )
    with pytest.raises(DeliveryError, match="may not connect"):
        send(stream)

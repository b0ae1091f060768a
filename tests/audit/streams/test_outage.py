"""Receivers in processes of their own are killed and come back: nothing is lost."""

from __future__ import annotations

import base64
import json
import re

import pytest

from audit.models import Log
from audit.streams import delivery, source
from audit.streams.delivery import deliver
from audit.streams.models import Stream, StreamForm, StreamKind
from tests.audit.streams.conftest import (
    Certificate,
    Clock,
    MakeReceiver,
    MakeStream,
    ReceiverProcess,
)
from tests.audit.streams.logs import ranks, write_events

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("reachable")]
INDEX = re.compile(rb' index="([0-9]+)"')


def places(server: ReceiverProcess) -> list[int]:
    """Return the ranks of the entries a receiver kept, in the order it got them."""
    found: list[int] = []
    for line in server.lines:
        if "message" in line:
            match = INDEX.search(base64.b64decode(line["message"]))
            assert match is not None
            found.append(int(match[1]))
            continue
        body = base64.b64decode(line["body"])
        if line["path"] == "/services/collector/event":
            found += [json.loads(part)["event"]["index"] for part in body.splitlines()]
        else:
            found += [event["index"] for event in json.loads(body)["events"]]
    return ranks(Log.CONTROL, found)


def first_times(found: list[int]) -> list[int]:
    return list(dict.fromkeys(found))


@pytest.fixture
def siem(
    kind: StreamKind,
    make_receiver: MakeReceiver,
    make_stream: MakeStream,
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Stream, ReceiverProcess]:
    """Let the control log flow to a process, ten entries a batch."""
    monkeypatch.setattr(delivery, "BATCH", 10)
    server = make_receiver(
        {StreamKind.SYSLOG: "syslog", StreamKind.HEC: "hec"}.get(kind, "http")
    )
    syslog = kind == StreamKind.SYSLOG
    stream = make_stream(
        kind=kind,
        address=f"{'' if syslog else 'https://'}127.0.0.1:{server.port}",
        form=StreamForm.SENTENCE if syslog else StreamForm.NATIVE,
        logs=(Log.CONTROL,),
        secret="token" if kind == StreamKind.HEC else "",
        trusted_certificate=certificate.pem,
    )
    return stream, server


KINDS = pytest.mark.parametrize(
    "kind", [StreamKind.SYSLOG, StreamKind.WEBHOOK, StreamKind.HEC]
)


@KINDS
def test_everything_written_during_an_outage_arrives_after_it(
    siem: tuple[Stream, ReceiverProcess], clock: Clock
) -> None:
    stream, server = siem
    write_events(24)
    assert deliver(stream.pk, clock=clock) == 25
    server.kill()
    write_events(40)
    assert deliver(stream.pk, clock=clock) == 0
    server.start()
    clock.advance(seconds=5)
    deliver(stream.pk, clock=clock)
    found = places(server)
    # 25 before, 40 meanwhile, and the two events of the outage.
    assert first_times(found) == list(range(67))
    repeated = len(found) - 67
    # Whoever cannot acknowledge got the batch before once more: 21 to 25.
    assert repeated == (5 if stream.kind == StreamKind.SYSLOG else 0)


@KINDS
def test_a_receiver_killed_in_the_middle_loses_nothing(
    siem: tuple[Stream, ReceiverProcess],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream, server = siem
    write_events(49)
    rounds = 0
    read = source.read

    def read_and_kill(log: Log, *, position: int, size: int) -> source.Part:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            server.kill()
        return read(log, position=position, size=size)

    monkeypatch.setattr(source, "read", read_and_kill)
    assert deliver(stream.pk, clock=clock) == 20
    assert first_times(places(server)) == list(range(20))
    server.start()
    clock.advance(seconds=5)
    deliver(stream.pk, clock=clock)
    found = first_times(places(server))
    # And the two events of the outage.
    assert found == list(range(52))
    stream.refresh_from_db()
    assert stream.failures == 0

"""One way to hand a batch over, whoever receives it.

`receiver(stream)` returns what sends; it returns normally only when the receiver said
that it has the batch, and raises `DeliveryError` otherwise. What it raises may be
shown to readers: it holds a status or a reason, never a secret and nothing that a
receiver answered in its own words, because a receiver may repeat what it was sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from django.conf import settings

from audit.formats.bodies import Shape, hec_body, lines_body, webhook_body
from audit.formats.syslog import MessageForm, framed, syslog_message
from audit.kept_secrets import SecretError, said
from audit.outbound import Answer, OutboundError, connect, post, signed_headers
from audit.streams.addresses import host_and_port, host_of_base_url
from audit.streams.errors import DeliveryError
from audit.streams.models import Stream, StreamKind
from audit.streams.syslog_tls import TlsParty, send_batch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from audit.formats.records import Record

HEC_CODES: Final = {
    1: "the token is disabled",
    2: "a token is required",
    3: "the token is malformed",
    4: "the token is unknown",
    5: "it saw no data",
    6: "it could not read the data",
    7: "the token's index does not exist",
    8: "an error of its own",
    9: "it is busy",
    10: "it demands a channel: switch the token's indexer acknowledgement off",
    11: "it demands a channel: switch the token's indexer acknowledgement off",
}
HEC_PATH: Final = "/services/collector/event"
OK: Final = 200


class Receiver(Protocol):
    """Takes batches of one log."""

    def send(self, records: Sequence[Record], *, now: datetime) -> None:
        """Hand over at least one record, all of one log.

        Raises:
            DeliveryError: the receiver did not take them.
        """
        ...


def receiver(stream: Stream) -> Receiver:
    """Return what hands batches of a stream over.

    Raises:
        DeliveryError: its secret cannot be read any more.
    """
    try:
        secret = (
            said(stream.kept_secret, owner=stream.owner) if stream.kept_secret else ""
        )
    except SecretError as exc:
        raise DeliveryError(str(exc)) from exc
    kind: type[SignedReceiver | HecReceiver | SyslogReceiver]
    match StreamKind(stream.kind):
        case StreamKind.WEBHOOK | StreamKind.LINES:
            kind = SignedReceiver
        case StreamKind.HEC:
            kind = HecReceiver
        case StreamKind.SYSLOG:
            kind = SyslogReceiver
    return kind(stream=stream, secret=secret, deployment=settings.PEERAGE_DEPLOYMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReceiver:
    """A webhook, or JSON Lines over HTTPS: any 2xx says that it has the batch."""

    stream: Stream
    secret: str
    deployment: str

    def send(self, records: Sequence[Record], *, now: datetime) -> None:
        """Post a batch, signed."""
        shape = Shape(self.stream.form)
        if self.stream.kind == StreamKind.LINES:
            body = lines_body(records, shape, deployment=self.deployment)
            content_type = "application/x-ndjson"
        else:
            body = webhook_body(
                records, shape, stream=self.stream.ref.id, deployment=self.deployment
            )
            content_type = "application/json"
        headers = {
            "Content-Type": content_type,
            "X-Peerage-Log": records[0].log,
            "X-Peerage-First": str(records[0].index),
            "X-Peerage-Last": str(records[-1].index),
            **signed_headers(self.secret, body, now=now),
        }
        answer = _posted(self.stream, self.stream.address, body, headers)
        if not answer.is_success:
            raise DeliveryError(f"the receiver answered with status {answer.status}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HecReceiver:
    """Splunk's HTTP Event Collector: status 200 with code 0 says that it has it."""

    stream: Stream
    secret: str
    deployment: str

    def send(self, records: Sequence[Record], *, now: datetime) -> None:  # noqa: ARG002 -- a token is as good at any time
        """Post a batch under the token."""
        body = hec_body(records, Shape(self.stream.form), deployment=self.deployment)
        answer = _posted(
            self.stream,
            self.stream.address.rstrip("/") + HEC_PATH,
            body,
            {
                "Content-Type": "application/json",
                "Authorization": f"Splunk {self.secret}",
            },
        )
        code = _hec_code(answer.body)
        if answer.status != OK or code != 0:
            told = "no code" if code is None else f"code {code}"
            why = HEC_CODES.get(code, "") if code else ""
            raise DeliveryError(
                f"the collector answered with status {answer.status} and {told}"
                f"{': ' if why else ''}{why}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SyslogReceiver:
    """A syslog server over TLS; `secret` is our certificate and key, or empty."""

    stream: Stream
    secret: str
    deployment: str

    def send(self, records: Sequence[Record], *, now: datetime) -> None:  # noqa: ARG002 -- messages bear their own time
        """Send a batch on a connection of its own."""
        host, port = host_and_port(self.stream.address)
        party = TlsParty(
            host=host,
            port=port,
            trusted=self.stream.trusted_certificate,
            own=self.secret,
        )
        form = MessageForm(self.stream.form)
        ours = host_of_base_url(settings.PEERAGE_BASE_URL)
        data = framed(
            syslog_message(record, form, host=ours, deployment=self.deployment)
            for record in records
        )
        try:
            send_batch(data, party, connect=connect)
        except OutboundError as exc:
            raise DeliveryError(str(exc)) from exc


def _posted(
    stream: Stream, url: str, body: bytes, headers: Mapping[str, str]
) -> Answer:
    try:
        return post(url, body, headers=headers, trusted=stream.trusted_certificate)
    except OutboundError as exc:
        raise DeliveryError(str(exc)) from exc


def _hec_code(body: bytes) -> int | None:
    """Return the code in an answer, and nothing else of it."""
    try:
        found = json.loads(body)
    except ValueError:
        return None
    code = found.get("code") if isinstance(found, dict) else None
    return code if type(code) is int else None

"""The conversation with the portal: HTTPS, signed requests, one way out.

* One persistent connection per channel, so that a waiting long poll holds up
  neither acknowledgements nor evidence.
* Every request carries the next sequence number of its channel. Numbers are
  reserved on disk before use; a restart skips what was reserved and never repeats.
* A connection that the other side closed while idle is opened again once, with a
  new number; everything else is an error for the caller to wait out.
* Plain HTTP only when the operator said `--insecure-http` at enrolment.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

from gateway.answers import (
    agent_versions,
    envelope_in,
    http_date,
    parse_json,
    problem_detail,
)
from gateway.errors import (
    ConfigError,
    PortalAnswerError,
    PortalRefusedError,
    PortalUnreachableError,
)
from gateway.logs import Log
from gateway.signing import Request, signed_headers
from gateway.stamping import Channel, RequestKeys, Sequences
from gateway.store import Identity
from gateway.witness import Shown

log = Log(__name__)

API: Final = "/api/gateway/v1"
ANSWER_SECONDS: Final = 10.0
LONG_POLL_SECONDS: Final = 45.0
MAX_ANSWER_BYTES: Final = 256 << 20
NONCE_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a poll brings: a newer snapshot or none, and always a lease (envelopes).

    In place of a snapshot comes a `delta` from the one held, if that was offered. A
    portal that was restored from a backup asks for what it had signed
    (`asks_revoked`), and then gives a step to a higher epoch (`epoch`, an envelope).
    `agent` is what the portal says of agents: its version and the oldest it can serve.
    """

    snapshot: bytes | None
    lease: bytes
    delta: bytes | None = None
    epoch: bytes | None = None
    asks_revoked: bool = False
    agent: tuple[str, str] | None = None


class Portal(Protocol):
    """What the agent needs of a portal."""

    def poll(
        self, *, after: int, epoch: int, holds: str = "", takes_delta: bool = False
    ) -> Answer:
        """Wait for a generation above `after`, or for a renewed lease.

        `holds` is what is held, in force or not: `EPOCH.GENERATION.DIGEST`. With
        `takes_delta` the portal may say what changed since.
        """

    def await_notices(self, *, after: int, epoch: int) -> tuple[bytes, ...]:
        """Wait for notices of revocation above `after`; return their envelopes."""

    def report_notice(self, report: Mapping[str, object]) -> None:
        """Say when a notice was applied, or why not."""

    def acknowledge(self, acknowledgement: Mapping[str, object]) -> None:
        """Say what was applied, or why not."""

    def send_evidence(self, records: Sequence[bytes], *, spool: str) -> bytes:
        """Hand over records (JSON each) of a spool; return the receipt's envelope."""

    def tell_names(self, names: Mapping[str, Sequence[str]]) -> None:
        """Say what host names stand for at present, for people to read."""

    def show(self, snapshot: bytes, notices: Sequence[bytes], *, floor: int) -> None:
        """Show a portal that lost its memory what it had signed, revocations in it.

        `notices` are those that `snapshot` does not cover yet, `floor` is the
        lowest generation that this gateway would take.
        """


class HttpPortal:
    """The portal over HTTPS. Each channel belongs to one thread."""

    def __init__(
        self,
        identity: Identity,
        sequences: Sequences,
        *,
        clock: Callable[[], datetime],
        correct: Callable[[datetime], bool] = lambda _: False,
        keep: Callable[[Identity], None] = lambda _: None,
    ) -> None:
        """Prepare; nothing is opened before the first request.

        `correct` is told what time it is at a portal that refuses a request, and
        returns whether `clock` says something else from then on. `keep` makes an
        identity with another key durable.
        """
        self.keys = RequestKeys(identity, sequences, clock=clock, keep=keep)
        self._correct = correct
        self._introducing = threading.Lock()
        self._is_closed = False
        self._base = base_url(identity.portal, insecure_http=identity.insecure_http)
        context = tls_context(identity.ca_file)
        self._connections = {
            channel: connection(
                self._base,
                context,
                timeout=LONG_POLL_SECONDS
                if channel in {Channel.SNAPSHOT, Channel.NOTICES}
                else ANSWER_SECONDS,
            )
            for channel in Channel
        }

    def poll(
        self, *, after: int, epoch: int, holds: str = "", takes_delta: bool = False
    ) -> Answer:
        """Wait for a generation above `after`, or for a renewed lease."""
        asked = {"after": after, "epoch": epoch} | ({"holds": holds} if holds else {})
        asked |= {"delta": 1} if takes_delta and holds else {}
        document = self._json(Channel.SNAPSHOT, "GET", f"?{urlencode(asked)}", b"")
        lease = envelope_in(document, "lease")
        if lease is None:
            raise PortalAnswerError("a poll was answered without a lease")
        return Answer(
            snapshot=envelope_in(document, "snapshot"),
            lease=lease,
            delta=envelope_in(document, "delta"),
            epoch=envelope_in(document, "epoch"),
            asks_revoked=document.get("ask") == "revoked",
            agent=agent_versions(document.get("agent")),
        )

    def await_notices(self, *, after: int, epoch: int) -> tuple[bytes, ...]:
        """Wait for notices of revocation above `after`; return their envelopes."""
        query = urlencode({"after": after, "epoch": epoch})
        document = self._json(Channel.NOTICES, "GET", f"?{query}", b"")
        notices = document.get("notices")
        if not isinstance(notices, list):
            raise PortalAnswerError("the portal's answer holds no list of notices")
        return tuple(json.dumps(notice).encode() for notice in notices)

    def report_notice(self, report: Mapping[str, object]) -> None:
        """Say when a notice was applied, or why not."""
        body = json.dumps(report).encode()
        self._exchange(Channel.NOTICES, "POST", "", body)

    def acknowledge(self, acknowledgement: Mapping[str, object]) -> None:
        """Say what was applied, or why not."""
        body = json.dumps(acknowledgement).encode()
        self._exchange(Channel.ACKS, "POST", "", body)

    def send_evidence(self, records: Sequence[bytes], *, spool: str) -> bytes:
        """Hand over records (JSON each) of a spool; return the receipt's envelope."""
        name = json.dumps(spool).encode()
        body = b'{"spool":' + name + b',"records":[' + b",".join(records) + b"]}"
        document = self._json(Channel.EVIDENCE, "POST", "", body)
        receipt = document.get("ack")
        if not isinstance(receipt, dict):
            raise PortalAnswerError("evidence was answered without a receipt")
        return json.dumps(receipt).encode()

    def tell_names(self, names: Mapping[str, Sequence[str]]) -> None:
        """Say what host names stand for at present, for people to read."""
        body = json.dumps({"names": names}).encode()
        self._exchange(Channel.NAMES, "POST", "", body)

    def show(self, snapshot: bytes, notices: Sequence[bytes], *, floor: int) -> None:
        """Show a portal that lost its memory what it had signed, revocations in it."""
        body = b'{"floor":%d,"notices":[%b],"snapshot":%b}' % (
            floor,
            b",".join(notices),
            snapshot,
        )
        self._exchange(Channel.REVOKED, "POST", "", body)

    def show_log(self, name: str, *, old: int) -> Shown | None:
        """Return how a log continues its first `old` leaves; None: it is no longer."""
        query = urlencode({"log": name, "old": old})
        answer = self._exchange(Channel.WITNESS, "GET", f"?{query}", b"")
        if not answer:
            return None
        document = parse_json(answer)
        key, request = document.get("key"), document.get("request")
        if not isinstance(key, str) or not isinstance(request, str):
            raise PortalAnswerError("the portal's answer shows no log")
        return Shown(key=key, request=request.encode())

    def tell_witness(self, told: Mapping[str, str]) -> None:
        """Hand over a cosignature, or say why there is none."""
        body = json.dumps(dict(told)).encode()
        self._exchange(Channel.WITNESS, "POST", "", body)

    def introduce(self) -> None:
        """Tell the portal of this gateway's newest key, signed by it."""
        with self._introducing:
            body = json.dumps(self.keys.offer()).encode()
            self._exchange(Channel.KEY, "POST", "", body)

    def close(self) -> None:
        """Close every connection; a poll that waits in another thread ends."""
        self._is_closed = True
        for opened in self._connections.values():
            close(opened)

    def _json(
        self, channel: Channel, method: str, query: str, body: bytes
    ) -> dict[str, Any]:
        return parse_json(self._exchange(channel, method, query, body))

    def _exchange(
        self, channel: Channel, method: str, query: str, body: bytes
    ) -> bytes:
        opened = self._connections[channel]
        was_open = opened.sock is not None
        try:
            return self._send(channel, method, query, body)
        except PortalUnreachableError:
            # The other side may close an idle connection; that is no failure yet.
            if not was_open or self._is_closed:
                raise
            return self._send(channel, method, query, body)
        except PortalRefusedError as exc:
            if exc.status != http.HTTPStatus.UNAUTHORIZED:
                raise
            if not self._is_heard_otherwise(channel, exc):
                raise
            return self._send(channel, method, query, body)

    def _is_heard_otherwise(self, channel: Channel, exc: PortalRefusedError) -> bool:
        """Find out whether a request that was refused is worth another try."""
        # A wrong clock makes a wrong `created`, which is refused like a wrong key.
        told = http_date(exc.date)
        if told is not None and self._correct(told):
            return True
        if channel is Channel.KEY or not self.keys.can_be_introduced:
            return False
        if self.keys.has_successor:
            # The portal took it, the answer was lost, and the key before has ended.
            self.keys.take_over()
        else:
            # The portal was restored from a backup, and knows the key before only.
            self.introduce()
        return True

    def _send(self, channel: Channel, method: str, query: str, body: bytes) -> bytes:
        request = Request(
            method=method, url=f"{self._base}{API}/{channel.value}{query}", body=body
        )
        stamp = self.keys.stamp(channel)
        log.debug("request.sent", channel=channel.value, sequence=stamp.sequence)
        headers = signed_headers(
            request,
            key=stamp.key,
            keyid=self.keys.gateway,
            sequence=stamp.sequence,
            created=stamp.created,
            nonce=os.urandom(NONCE_BYTES),
        )
        return exchange(self._connections[channel], request, headers)


def enroll(
    base: str, document: Mapping[str, object], *, ca_file: str
) -> dict[str, Any]:
    """Spend an enrolment token; return the portal's answer.

    Raises:
        PortalError: the portal cannot be reached, or refuses the token.
    """
    opened = connection(base, tls_context(ca_file), timeout=ANSWER_SECONDS)
    body = json.dumps(document).encode()
    request = Request(method="POST", url=f"{base}{API}/enroll", body=body)
    try:
        return parse_json(exchange(opened, request, {}))
    finally:
        close(opened)


def base_url(portal: str, *, insecure_http: bool) -> str:
    """Return the portal's base URL without a trailing slash.

    Raises:
        ConfigError: not an absolute URL, or plain HTTP without the word for it.
    """
    parts = urlsplit(portal)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ConfigError(f"{portal!r} is not a URL such as https://portal.example")
    if parts.query or parts.fragment or parts.username:
        raise ConfigError(f"{portal!r} must be a bare URL without query or user")
    if parts.scheme == "http" and not insecure_http:
        raise ConfigError(
            f"{portal!r} is not https; --insecure-http allows it, for trials only"
        )
    return portal.rstrip("/")


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Return a TLS 1.3 context that trusts `ca_file`, or the system's authorities."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as exc:
        raise ConfigError(f"{ca_file}: not a file of certificates ({exc})") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def connection(
    base: str, context: ssl.SSLContext, *, timeout: float
) -> http.client.HTTPConnection:
    """Return an unopened connection to the portal."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            host, parts.port, timeout=timeout, context=context
        )
    return http.client.HTTPConnection(host, parts.port, timeout=timeout)


def exchange(
    opened: http.client.HTTPConnection, request: Request, headers: Mapping[str, str]
) -> bytes:
    """Send one request and return the body of a 2xx answer.

    Raises:
        PortalUnreachableError: no complete answer came; the connection is closed.
        PortalRefusedError: the answer's status is not 2xx.
    """
    fields = {"Content-Type": "application/json", "Accept": "application/json"}
    try:
        opened.request(
            request.method, request.target, request.body or None, {**fields, **headers}
        )
        answer = opened.getresponse()
        body = answer.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as exc:
        opened.close()
        reason = str(exc) or type(exc).__name__
        raise PortalUnreachableError(f"cannot reach the portal: {reason}") from exc
    if not answer.isclosed():
        opened.close()
        raise PortalUnreachableError("the portal's answer is too long")
    if not http.HTTPStatus.OK <= answer.status < http.HTTPStatus.MULTIPLE_CHOICES:
        date = answer.getheader("Date") or ""
        raise PortalRefusedError(answer.status, problem_detail(body), date=date)
    return body


def close(opened: http.client.HTTPConnection) -> None:
    """Close a connection, also under a thread that waits on it."""
    sock = opened.sock
    if sock is not None:
        # It may be closed already, by either side.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    opened.close()

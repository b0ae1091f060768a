"""`FakePortal` behind real HTTP: what the gateway API answers, and its refusals.

Signatures are checked by an implementation that is not ours.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import http_message_signatures
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver

from gateway.client import Answer
from policies.agents import TOLD
from tests.gateway.fakes import FakePortal
from tests.gateway.world import DEPLOYMENT, GATEWAY

TOKEN = "token-1"
COVERED = (
    "@method",
    "@authority",
    "@path",
    "@query",
    "content-digest",
    "peerage-sequence",
)


class Refusal(Exception):  # noqa: N818 -- a status, not an error of ours
    """An answer that is not 2xx."""

    def __init__(self, status: int, detail: str) -> None:
        """Keep both."""
        super().__init__(detail)
        self.status = status


@dataclasses.dataclass
class Message:
    """What the verifier reads."""

    method: str
    url: str
    headers: dict[str, str]


class HttpFake(ThreadingHTTPServer):
    """The API on a port of its own."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, portal: FakePortal, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """Serve `portal`."""
        super().__init__((host, port), Handler)
        self.portal = portal
        self.signing_key = b""
        self.offered_key = b""
        self.has_old_key_ended = False
        self.loses_answer_to = ""
        self.wireguard_key = ""
        self.sequences: dict[str, list[int]] = {}
        self.refuse_with = 0
        self.raw_answer: bytes | None = None
        self.connections = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers five paths."""

    protocol_version = "HTTP/1.1"
    server: HttpFake
    timeout: ClassVar[float] = 30

    def setup(self) -> None:
        """Count connections."""
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        """Answer a poll."""
        self._answer()

    def do_POST(self) -> None:
        """Answer everything else."""
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
        """Say nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, answer = self._route(body)
        except Refusal as refusal:
            status = refusal.status
            answer = {"title": "no", "detail": str(refusal), "status": status}
        if self.server.loses_answer_to and self.path.endswith(
            self.server.loses_answer_to
        ):
            self.close_connection = True
            return
        data = self.server.raw_answer or (
            json.dumps(answer).encode() if answer else b""
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _route(  # noqa: C901, PLR0911 -- an answer for each path
        self, body: bytes
    ) -> tuple[int, dict[str, Any] | None]:
        if self.server.refuse_with:
            raise Refusal(self.server.refuse_with, "go\x1b away")
        parts = urlsplit(self.path)
        if parts.path == "/healthz":
            return 200, {"status": "ok"}
        channel = parts.path.removeprefix("/api/gateway/v1/")
        portal = self.server.portal
        if channel == "enroll":
            return 201, self._enroll(json.loads(body))
        if channel == "key":
            return self._key(json.loads(body), body)
        self._verify(channel, body)
        match channel:
            case "snapshot":
                query = parse_qs(parts.query)
                answer = portal.poll(
                    after=int(query["after"][0]),
                    epoch=int(query["epoch"][0]),
                    holds=query.get("holds", [""])[0],
                    takes_delta=query.get("delta") == ["1"],
                )
                return 200, _document(answer)
            case "revoked":
                shown = json.loads(body)
                portal.show(
                    json.dumps(shown["snapshot"]).encode(),
                    [json.dumps(notice).encode() for notice in shown["notices"]],
                    floor=shown["floor"],
                )
                return 204, None
            case "notices":
                return self._notices(parse_qs(parts.query), body)
            case "acks":
                portal.acknowledge(json.loads(body))
                return 204, None
            case "names":
                portal.tell_names(json.loads(body)["names"])
                return 204, None
            case "witness":
                return self._witness(parse_qs(parts.query), body)
            case _:
                batch = json.loads(body)
                records = [json.dumps(r).encode() for r in batch["records"]]
                receipt = portal.send_evidence(records, spool=batch["spool"])
                return 200, {"ack": json.loads(receipt)}

    def _notices(
        self, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, dict[str, Any] | None]:
        portal = self.server.portal
        if self.command == "POST":
            portal.report_notice(json.loads(body))
            return 204, None
        notices = portal.await_notices(
            after=int(query["after"][0]), epoch=int(query["epoch"][0])
        )
        return 200, {"notices": [json.loads(notice) for notice in notices]}

    def _witness(
        self, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, dict[str, Any] | None]:
        portal = self.server.portal
        if self.command == "POST":
            portal.tell_witness(json.loads(body))
            return 204, None
        shown = portal.show_log(query["log"][0], old=int(query["old"][0]))
        if shown is None:
            return 204, None
        return 200, {"key": shown.key, "request": shown.request.decode()}

    def _enroll(self, document: dict[str, str]) -> dict[str, Any]:
        if document["token"] != TOKEN or self.server.signing_key:
            raise Refusal(403, "this token is not valid")
        key = base64.b64decode(document["signing_key"])
        signed = f"peerage gateway enrolment v1\n{TOKEN}\n{document['wireguard_key']}"
        proof = base64.b64decode(document["proof"])
        Ed25519PublicKey.from_public_bytes(key).verify(proof, signed.encode())
        self.server.signing_key = key
        self.server.wireguard_key = document["wireguard_key"]
        signer = self.server.portal.signer
        public = base64.b64encode(signer.public_key).decode()
        return {
            "gateway": GATEWAY,
            "deployment": DEPLOYMENT,
            "epoch": 1,
            "snapshot_keys": [{"keyid": signer.keyid, "public_key": public}],
        }

    def _key(
        self, document: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, Any] | None]:
        new = base64.b64decode(document["signing_key"])
        self._verify("key", body, key=new)
        if new not in {self.server.signing_key, self.server.offered_key}:
            signed = f"peerage gateway key v1\n{GATEWAY}\n{document['signing_key']}"
            endorser = Ed25519PublicKey.from_public_bytes(self.server.signing_key)
            try:
                endorser.verify(
                    base64.b64decode(document["endorsement"]), signed.encode()
                )
            except InvalidSignature as exc:
                raise Refusal(401, "endorsement") from exc
            self.server.offered_key = new
        return 204, None

    def _verify(self, channel: str, body: bytes, *, key: bytes = b"") -> None:
        """Check by `key`, or by the one in use; using the one on offer ends that."""
        if key:
            self._verify_by(key, channel, body)
            return
        in_use = self.server.signing_key
        try:
            # A key of nobody: the one in use counts no more.
            in_use = bytes(32) if self.server.has_old_key_ended else in_use
            self._verify_by(in_use, channel, body)
        except Refusal as refusal:
            if refusal.status != 401 or not self.server.offered_key:
                raise
            self._verify_by(self.server.offered_key, channel, body)
            self.server.signing_key = self.server.offered_key
            self.server.offered_key, self.server.has_old_key_ended = b"", False

    def _verify_by(self, key: bytes, channel: str, body: bytes) -> None:
        message = Message(
            method=self.command,
            url=f"http://{self.headers['Host']}{self.path}",
            headers=dict(self.headers.items()),
        )
        verifier = HTTPMessageVerifier(
            signature_algorithm=http_message_signatures.algorithms.ED25519,
            key_resolver=Resolver(key),
        )
        try:
            verifier.verify(
                message,
                max_age=timedelta(seconds=60),
                require_components=COVERED,
                body=body,
            )
        except http_message_signatures.exceptions.InvalidSignature as exc:
            raise Refusal(401, "signature") from exc
        used = self.server.sequences.setdefault(channel, [0])
        sequence = int(self.headers["Peerage-Sequence"])
        if sequence <= used[-1]:
            raise Refusal(409, "replayed")
        used.append(sequence)


def _document(answer: Answer) -> dict[str, Any]:
    """Return an answer to a poll as JSON has it."""
    told = {
        "snapshot": answer.snapshot and json.loads(answer.snapshot),
        "lease": json.loads(answer.lease),
        "agent": json.loads(TOLD),
    }
    if answer.delta is not None:
        told["delta"] = json.loads(answer.delta)
    if answer.epoch is not None:
        told["epoch"] = json.loads(answer.epoch)
    return told | ({"ask": "revoked"} if answer.asks_revoked else {})


class Resolver(HTTPSignatureKeyResolver):
    """Knows the key that was enrolled."""

    def __init__(self, key: bytes) -> None:
        """Keep it."""
        self._key = key

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        """Return it."""
        if key_id != GATEWAY or not self._key:
            raise Refusal(401, "unknown gateway")
        return Ed25519PublicKey.from_public_bytes(self._key)


@contextmanager
def serving(portal: FakePortal) -> Iterator[HttpFake]:
    """Serve until the block ends."""
    server = HttpFake(portal)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

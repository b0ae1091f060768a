"""Many gateways in one light process: signed long polls to a real portal, no kernel.

Each has three connections, as the agent has: one that polls for snapshots, one that
waits for notices of revocation, one that acknowledges what the poll brought. The
agent's own code signs and, after a failure, says how long to wait
(`gateway.agent.Backoff`). What a real gateway does in between, applying, is a pause
here. Reads one JSON document from standard input, a `Crowd`; writes lines of JSON:
every answer that brought something, and often how everybody stands.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.agent import Backoff
from gateway.client import API
from gateway.flows import text_time
from gateway.signing import Request, signed_headers
from gateway.stamping import Channel
from gateway.types import Timings

POSITION: Final = re.compile(rb'"epoch":(\d+),"generation":(\d+)')
LEASE_PAYLOAD: Final = re.compile(rb'"lease":\s*\{[^}]*?"payload":\s*"([^"]+)"')
NO_SNAPSHOT: Final = b'"snapshot":null'
ANSWER_SECONDS: Final = 45.0
REPORT_SECONDS: Final = 0.25
BROKEN: Final = (OSError, EOFError, ValueError, TimeoutError)
OK: Final = 200
NO_CONTENT: Final = 204


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A gateway: its id in the portal, and the seed of its signing key."""

    id: int
    seed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Who polls whom. `apply_seconds` pass between an answer and what follows it."""

    host: str
    port: int
    members: tuple[Member, ...]
    apply_seconds: float = 0.02
    sequence: int = 0

    def text(self) -> str:
        """Return what the program reads."""
        return json.dumps(asdict(self))


class Wire:
    """One keep-alive connection for one channel of one gateway."""

    def __init__(self, crowd: Crowd, member: Member, channel: Channel) -> None:
        """Connect to nothing yet."""
        self._crowd = crowd
        self._member = member
        self.channel = channel
        self._key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(member.seed))
        self._sequence = crowd.sequence
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, query: str = "", body: bytes = b""
    ) -> tuple[int, bytes, int]:
        """Return status, body, and when the last byte was there (ns since 1970)."""
        try:
            return await asyncio.wait_for(
                self._ask(method, query, body), ANSWER_SECONDS
            )
        except BROKEN:
            self.close()
            raise

    def close(self) -> None:
        """Close it; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _ask(
        self, method: str, query: str, body: bytes
    ) -> tuple[int, bytes, int]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                self._crowd.host, self._crowd.port, limit=1 << 20
            )
        reader, writer = self._streams
        writer.write(self._request(method, query, body))
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        content = await reader.readexactly(int(length[1])) if length else b""
        arrived = time.time_ns()
        if b"connection: close" in head.lower():
            self.close()
        return int(head[9:12]), content, arrived

    def _request(self, method: str, query: str, body: bytes) -> bytes:
        self._sequence += 1
        base = f"http://{self._crowd.host}:{self._crowd.port}"
        request = Request(
            method=method, url=f"{base}{API}/{self.channel.value}{query}", body=body
        )
        fields = {
            "Host": f"{self._crowd.host}:{self._crowd.port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **signed_headers(
                request,
                key=self._key,
                keyid=f"gw_{self._member.id}",
                sequence=self._sequence,
                created=int(time.time()),
                nonce=os.urandom(16),
            ),
        }
        lines = [f"{method} {request.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body


class Standing:
    """How everybody stands, to be told."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.asking: dict[tuple[int, Channel], float] = {}
        """Whose request is under way, and since when on the monotonic clock."""
        self.served: Counter[int] = Counter()
        """How often each poll was answered."""
        self.telling: set[asyncio.Task[None]] = set()
        """Acknowledgements under way."""
        self.troubles: Counter[str] = Counter()

    def line(self) -> dict[str, object]:
        """Return all of it in one object."""
        now = time.monotonic()
        return {
            "telling": len(self.telling),
            "settled": sum(now - since > 1.0 for since in self.asking.values()),
            "served": len(self.served),
            "answers": self.served.total(),
            "troubles": dict(self.troubles),
        }


class Asker:
    """One gateway, as the portal sees it."""

    def __init__(self, crowd: Crowd, member: Member, standing: Standing) -> None:
        """Hold nothing yet."""
        self._crowd = crowd
        self._id = member.id
        self._standing = standing
        self._polls, self._notices, self._acks = (
            Wire(crowd, member, channel)
            for channel in (Channel.SNAPSHOT, Channel.NOTICES, Channel.ACKS)
        )
        self._position = (0, 0)

    async def poll(self) -> None:
        """Poll, apply, acknowledge, and poll again, for ever."""
        while True:
            epoch, generation = self._position
            query = f"?after={generation}&epoch={epoch}"
            body, arrived = await self._answered(self._polls, query)
            self._standing.served.update([self._id])
            if NO_SNAPSHOT in body[-64:]:
                continue
            say({"gateway": self._id, "arrived_ns": arrived, "bytes": len(body)})
            await asyncio.sleep(self._crowd.apply_seconds)
            self._position = position_in(body) or self._position
            # A channel of its own: the next poll does not wait for it.
            task = asyncio.create_task(self._acknowledge(arrived))
            self._standing.telling.add(task)
            task.add_done_callback(self._standing.telling.discard)

    async def hear(self) -> None:
        """Wait for notices, and report each before waiting for the next, for ever."""
        after = 0
        while True:
            query = f"?after={after}&epoch={self._position[0]}"
            body, arrived = await self._answered(self._notices, query)
            numbers = [
                int(json.loads(base64.b64decode(envelope["payload"]))["number"])
                for envelope in json.loads(body)["notices"]
            ]
            if not numbers:
                continue
            after = max(numbers)
            size = len(body)
            say({"notified": self._id, "arrived_ns": arrived, "bytes": size})
            await asyncio.sleep(self._crowd.apply_seconds)
            await self._told(self._notices, self._report(arrived, number=after))

    async def _answered(self, wire: Wire, query: str) -> tuple[bytes, int]:
        """Ask until there is an answer, with pauses as the agent makes them."""
        backoff, key = Backoff(), (self._id, wire.channel)
        while True:
            self._standing.asking[key] = time.monotonic()
            try:
                status, body, arrived = await wire.ask("GET", query)
                trouble = str(status)
            except BROKEN as exc:
                status, trouble = 0, type(exc).__name__
            del self._standing.asking[key]
            if status == OK:
                return body, arrived
            self._standing.troubles.update([f"{wire.channel}: {trouble}"])
            await asyncio.sleep(backoff.next())

    async def _acknowledge(self, arrived: int) -> None:
        # Nothing was applied, so the digest is wrong; to find that out costs the
        # portal what finding it right does.
        body = self._report(
            arrived, generation=self._position[1], observed_digest="0" * 64
        )
        await self._told(self._acks, body)

    async def _told(self, wire: Wire, body: bytes) -> None:
        try:
            status, _, _ = await wire.ask("POST", "", body)
            trouble = "" if status == NO_CONTENT else str(status)
        except BROKEN as exc:
            trouble = type(exc).__name__
        if trouble:
            self._standing.troubles.update([f"{wire.channel} POST: {trouble}"])

    def _report(self, arrived: int, **about: object) -> bytes:
        moment = text_time(datetime.fromtimestamp(arrived / 1e9, UTC))
        return json.dumps(
            {
                "epoch": self._position[0],
                "received_at": moment,
                "applied_at": moment,
                "flows_cut": 0,
                "timings": Timings().document(),
                "boot_id": "crowd",
                "agent_version": "crowd",
                "error": "",
                **about,
            }
        ).encode()


def position_in(body: bytes) -> tuple[int, int] | None:
    """Return epoch and generation of the lease of an answer."""
    found = LEASE_PAYLOAD.search(body)
    said = POSITION.search(base64.b64decode(found[1])) if found else None
    return (int(said[1]), int(said[2])) if said else None


def say(line: dict[str, object]) -> None:
    """Write a line; it goes out when nobody's answer waits to be read."""
    sys.stdout.write(json.dumps(line) + "\n")


async def _report(standing: Standing) -> None:
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        say(standing.line())
        sys.stdout.flush()


async def _main(crowd: Crowd) -> None:
    standing = Standing()
    async with asyncio.TaskGroup() as group:
        group.create_task(_report(standing))
        for member in crowd.members:
            asker = Asker(crowd, member, standing)
            group.create_task(asker.poll())
            group.create_task(asker.hear())


def main() -> None:
    """Live until killed."""
    given = json.loads(sys.stdin.read())
    members = tuple(Member(**member) for member in given.pop("members"))
    asyncio.run(_main(Crowd(**given, members=members)))


if __name__ == "__main__":
    main()

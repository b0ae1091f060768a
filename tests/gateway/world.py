"""A small world for the gateway's tests: keys, two people, two applications.

alice (dv_7) and bob (dv_8) are in group 4. The group may reach application 3 (TCP
8080 on .10, IPv4 and IPv6); alice alone may reach application 5 (UDP 5353 on .11 and
ICMP). `Signer` signs as the portal does; `snapshot` compiles like the portal does.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.trust import Anchor
from policies.compiler.canonical import Json
from policies.compiler.compile import compile_snapshot
from policies.compiler.envelope import EPOCH_TYPE, NOTICE_TYPE
from policies.compiler.epoch import EpochStep, epoch_bytes
from policies.compiler.notice import Notice, notice_bytes
from policies.compiler.snapshot import (
    EVIDENCE_ACK_TYPE,
    LEASE_TYPE,
    SNAPSHOT_TYPE,
    canonical_json,
    digest,
    envelope,
    lease_bytes,
    pae,
    snapshot_bytes,
)
from policies.compiler.types import (
    NEVER,
    Application,
    Destination,
    Device,
    Facts,
    Grant,
    Lease,
    PortRange,
    Protocol,
    Snapshot,
    Subject,
    SubjectKind,
    address,
    network,
)

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DEPLOYMENT: Final = "peerage"
GATEWAY: Final = "gw_1"
SPOOL: Final = "5" * 32
ALICE, BOB = 7, 8
GROUP: Final = Subject(kind=SubjectKind.GROUP, id=4)
ALICE_ALONE: Final = Subject(kind=SubjectKind.USER, id=1)


def private_key(name: str) -> X25519PrivateKey:
    """Return a WireGuard key that is the same in every run."""
    return X25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def private_text(name: str) -> str:
    """Return a private key in base64."""
    return base64.b64encode(private_key(name).private_bytes_raw()).decode()


def public_text(name: str) -> str:
    """Return a public key in base64."""
    key = private_key(name).public_key().public_bytes_raw()
    return base64.b64encode(key).decode()


def facts() -> Facts:
    """Return the world as the portal's database would give it."""
    return Facts(
        deployment=DEPLOYMENT,
        gateway_id=1,
        listen_port=51820,
        pools=(network("100.64.0.0/16"), network("fd5e:e4a6:e000::/64")),
        devices=(device(ALICE, "alice", 1), device(BOB, "bob", 2)),
        memberships=((1, 4), (2, 4)),
        applications=(
            Application(
                id=3,
                destinations=(
                    destination("10.50.0.10/32", Protocol.TCP, 8080),
                    destination("fd50::10/128", Protocol.TCP, 8080),
                ),
            ),
            Application(
                id=5,
                destinations=(
                    destination("10.50.0.11/32", Protocol.UDP, 5353),
                    destination("10.50.0.11/32", Protocol.ICMP, None),
                ),
            ),
        ),
        grants=(grant(9, GROUP, 3), grant(10, ALICE_ALONE, 5)),
        revoked_keys=(),
    )


def device(number: int, name: str, user: int) -> Device:
    """Return a device with one address of each family."""
    return Device(
        id=number,
        user_id=user,
        public_key=public_text(name),
        addresses=(
            address(f"100.64.0.{number}"),
            address(f"fd5e:e4a6:e000::{number}"),
        ),
        expires_at=NEVER,
    )


def destination(prefix: str, protocol: Protocol, port: int | None) -> Destination:
    """Return a destination with one port or none."""
    ports = None if port is None else PortRange(first=port, last=port)
    return Destination(prefix=network(prefix), protocol=protocol, ports=ports)


def grant(
    number: int, subject: Subject, application: int, *, end: datetime = NEVER
) -> Grant:
    """Return a grant that began yesterday."""
    return Grant(
        id=number,
        subject=subject,
        application_id=application,
        not_before=NOW - timedelta(days=1),
        expires_at=end,
        hours=None,
        requires=(),
    )


def snapshot(
    generation: int = 1,
    *,
    of: Facts | None = None,
    now: datetime = NOW,
    epoch: int = 1,
) -> Snapshot:
    """Return the compiled snapshot of the world, or of other facts."""
    return compile_snapshot(of or facts(), epoch=epoch, generation=generation, now=now)


def without(device_ids: Iterable[int], of: Facts) -> Facts:
    """Return facts in which these devices are revoked, their keys included."""
    gone = set(device_ids)
    return replace(
        of,
        devices=tuple(d for d in of.devices if d.id not in gone),
        revoked_keys=tuple(
            sorted(
                {*of.revoked_keys, *(d.public_key for d in of.devices if d.id in gone)}
            )
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs what a portal signs."""

    key: Ed25519PrivateKey

    @property
    def public_key(self) -> bytes:
        """The public key to pin."""
        return self.key.public_key().public_bytes_raw()

    @property
    def keyid(self) -> str:
        """The id of the key."""
        return digest(self.public_key)[:16]

    def anchor(self) -> Anchor:
        """Return what enrolment with this signer pins."""
        return Anchor(
            gateway=GATEWAY,
            deployment=DEPLOYMENT,
            epoch=1,
            keys={self.keyid: self.public_key},
        )

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """Return an envelope."""
        signature = self.key.sign(pae(payload_type, payload))
        return envelope(payload_type, payload, [(self.keyid, signature)])

    def snapshot(self, value: Snapshot) -> bytes:
        """Return a signed snapshot."""
        return self.sign(SNAPSHOT_TYPE, snapshot_bytes(value))

    def step(self, after: int = 2, **changed: object) -> bytes:
        """Return a signed step to another epoch, changed as asked."""
        step = EpochStep(
            deployment=DEPLOYMENT,
            audience=GATEWAY,
            before=1,
            after=after,
            generation=10,
            issued=NOW,
        )
        return self.sign(EPOCH_TYPE, epoch_bytes(replace(step, **changed)))  # type: ignore[arg-type]

    def lease(
        self,
        value: Snapshot,
        *,
        issued: datetime = NOW,
        seconds: float = 900,
        **changes: object,
    ) -> bytes:
        """Return a signed lease for a snapshot; `changes` spoil it."""
        lease = Lease(
            deployment=value.deployment,
            audience=value.audience,
            epoch=value.epoch,
            generation=value.generation,
            digest=digest(snapshot_bytes(value)),
            issued=issued,
            not_after=issued + timedelta(seconds=seconds),
        )
        return self.sign(LEASE_TYPE, lease_bytes(replace(lease, **changes)))  # type: ignore[arg-type]

    def notice(
        self,
        number: int,
        /,
        *names: str,
        devices: Iterable[int] = (),
        **changes: object,
    ) -> bytes:
        """Return a signed notice that the keys of these names are revoked."""
        notice = Notice(
            deployment=DEPLOYMENT,
            audience=GATEWAY,
            epoch=1,
            number=number,
            issued=NOW,
            devices=frozenset(devices),
            keys=frozenset(map(public_text, names)),
        )
        return self.sign(NOTICE_TYPE, notice_bytes(replace(notice, **changes)))  # type: ignore[arg-type]

    def receipt(
        self, through: int, *, gateway: str = GATEWAY, spool: str = SPOOL
    ) -> bytes:
        """Return a signed receipt for evidence."""
        document: Json = {
            "gateway": gateway,
            "spool": spool,
            "accepted_through": through,
        }
        return self.sign(EVIDENCE_ACK_TYPE, canonical_json(document))


def signer(seed: int = 1) -> Signer:
    """Return a signer; another seed is another portal."""
    return Signer(key=Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))

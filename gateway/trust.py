"""What this gateway believes: a snapshot or a lease is accepted, or refused. Pure.

A signature is one made by a pinned key over the exact payload and its type. Then, of
a **snapshot**:

* its form is canonical and complete (`policies.compiler.snapshot`);
* it is for this deployment and for this gateway;
* it is of this epoch;
* its generation is not below the one held; equal, it must be the very same bytes;
* its generation is not below the one with which this epoch begins;
* no peer has a key that is or ever was revoked here, and no revoked key is forgotten;
* it was not issued in the future.

Of a **lease**:

* it is for this deployment, this gateway and this epoch;
* its generation and digest are those of the snapshot in hand;
* it has not run out, does not run for longer than a day, and was not issued in the
  future;
* it is not older than the lease held.

Of a step to another **epoch** (a portal that was restored, ADR-0021):

* it is for this deployment and this gateway, and was not issued in the future;
* it begins at this epoch and goes up;
* the new epoch begins above the generation held.

Of a **notice** of revocation, which can only remove:

* its form is canonical and complete (`policies.compiler.notice`);
* it is for this deployment, this gateway and this epoch;
* its number is above the last one's;
* it was not issued in the future.

One that was accepted before needs neither epoch nor number: a key that is revoked
stays revoked through every change of epoch.

Of a **receipt** for evidence: it is for this gateway and the spool in hand, and signs
for a number.

Everything is verified before anything is believed; a refusal leaves what is held as
it was. Time is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.errors import (
    EquivocationError,
    RevokedKeyError,
    StaleError,
    UntrustedError,
    UpgradeError,
)
from policies.compiler.canonical import fields, integer, parse_json, text
from policies.compiler.envelope import EPOCH_TYPE, NOTICE_TYPE
from policies.compiler.epoch import EpochStep, parse_epoch
from policies.compiler.errors import CompilerError
from policies.compiler.notice import Notice, parse_notice
from policies.compiler.snapshot import (
    EVIDENCE_ACK_TYPE,
    LEASE_TYPE,
    SNAPSHOT_TYPE,
    digest,
    newer_version,
    open_envelope,
    pae,
    parse_lease,
    parse_snapshot,
)
from policies.compiler.types import Lease, Snapshot

MAX_LEASE: Final = timedelta(days=1)
CLOCK_TOLERANCE: Final = timedelta(seconds=60)
Small = TypeVar("Small", EpochStep, Lease, Notice)
"""What is signed besides snapshots, for one gateway of one deployment."""

RECEIPT: Final = frozenset({"gateway", "spool", "accepted_through"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What enrolment pinned: who this gateway is and whose signatures count.

    `epoch` and `floor`, the generation with which it begins, only ever go up.
    """

    gateway: str
    deployment: str
    epoch: int
    keys: Mapping[str, bytes]
    floor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A snapshot that was accepted, with the digest of its payload."""

    snapshot: Snapshot
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Accepts or refuses on behalf of one gateway. It keeps no state."""

    anchor: Anchor

    def snapshot(
        self,
        envelope: bytes,
        *,
        held: Held | None,
        now: datetime,
        revoked: Container[str] = frozenset(),
    ) -> Held:
        """Return the snapshot in `envelope` if it may replace `held`.

        `revoked` are keys that this gateway knows to be revoked, whatever it holds.

        Raises:
            UntrustedError: it breaks a rule of this module's docstring.
        """
        offered = self._read(envelope)
        snapshot = offered.snapshot
        self.check_deployment(snapshot.deployment)
        self.check_audience(snapshot.audience)
        self.check_epoch(snapshot.epoch)
        self.check_issued(snapshot.issued, now=now)
        self.check_floor(snapshot.generation)
        self.check_generation(offered, held=held)
        self.check_revoked_peers(snapshot, held=held, revoked=revoked)
        self.check_revoked_kept(snapshot, held=held)
        return offered

    def stored(
        self,
        envelope: bytes,
        *,
        now: datetime,
        revoked: Container[str] = frozenset(),
        least: tuple[int, int] = (0, 0),
    ) -> Held:
        """Return the snapshot that this gateway itself had accepted and kept.

        It may be of an epoch before: a step is kept before its first snapshot comes.
        But not older than `least`, an epoch and a generation that were in force.

        Raises:
            UntrustedError: it is not for this gateway, or not acceptable any more.
        """
        offered = self._read(envelope)
        if offered.snapshot.epoch >= self.anchor.epoch:
            return self.snapshot(envelope, held=None, now=now, revoked=revoked)
        self.check_deployment(offered.snapshot.deployment)
        self.check_audience(offered.snapshot.audience)
        self.check_issued(offered.snapshot.issued, now=now)
        self.check_least(offered.snapshot, least=least)
        self.check_revoked_peers(offered.snapshot, held=None, revoked=revoked)
        return offered

    def epoch(self, envelope: bytes, *, held: Held | None, now: datetime) -> EpochStep:
        """Return the step in `envelope` if this gateway may go up by it.

        Raises:
            UntrustedError: it breaks a rule of this module's docstring.
        """
        step = self._parsed(envelope, EPOCH_TYPE, parse_epoch, "epoch step")
        self.check_epoch(step.before)
        self.check_issued(step.issued, now=now)
        least = max(self.anchor.floor, held.snapshot.generation + 1 if held else 0)
        if step.generation < least:
            raise StaleError(
                f"the new epoch begins with generation {step.generation}, below {least}"
            )
        return step

    def lease(
        self, envelope: bytes, *, of: Held, held: Lease | None, now: datetime
    ) -> Lease:
        """Return the lease in `envelope` if it lets `of` live on.

        Raises:
            UntrustedError: it breaks a rule of this module's docstring.
        """
        lease = self._parsed(envelope, LEASE_TYPE, parse_lease, "lease")
        self.check_epoch(lease.epoch)
        self.check_issued(lease.issued, now=now)
        self.check_lease_subject(lease, of=of)
        self.check_lease_end(lease, now=now)
        self.check_lease_order(lease, held=held)
        return lease

    def notice(self, envelope: bytes, *, after: int, now: datetime) -> Notice:
        """Return the notice in `envelope`, the next one after number `after`.

        Raises:
            StaleError: it, or a later one, was accepted before; it has nothing to say.
            UntrustedError: it breaks a rule of this module's docstring.
        """
        notice = self.kept_notice(envelope)
        self.check_epoch(notice.epoch)
        self.check_issued(notice.issued, now=now)
        self.check_number(notice, after=after)
        return notice

    def kept_notice(self, envelope: bytes) -> Notice:
        """Return a notice that was accepted before.

        Raises:
            UntrustedError: it is not signed, malformed, or another's.
        """
        return self._parsed(envelope, NOTICE_TYPE, parse_notice, "notice")

    def receipt(self, envelope: bytes, *, spool: str) -> int:
        """Return the number up to which the portal signs for the records of a spool.

        Raises:
            UntrustedError: the receipt is not signed, malformed, or another's.
        """
        payload = self.payload(envelope, EVIDENCE_ACK_TYPE)
        try:
            document = fields(parse_json(payload), RECEIPT)
            self.check_audience(text(document["gateway"]))
            self.check_spool(text(document["spool"]), spool=spool)
            return integer(document["accepted_through"], minimum=0)
        except CompilerError as exc:
            raise UntrustedError(f"the receipt is malformed: {exc}") from exc

    def payload(self, envelope: bytes, payload_type: str) -> bytes:
        """Return the payload if a pinned key signed it as `payload_type`."""
        try:
            opened = open_envelope(envelope)
        except CompilerError as exc:
            raise UntrustedError(f"not an envelope: {exc}") from exc
        if opened.payload_type != payload_type:
            raise UntrustedError(
                f"an envelope of {opened.payload_type!r}, not of {payload_type!r}"
            )
        signed = pae(opened.payload_type, opened.payload)
        if not any(
            self._is_signed(keyid, signature, signed)
            for keyid, signature in opened.signatures
        ):
            raise UntrustedError("no pinned key signed it")
        return opened.payload

    def check_deployment(self, deployment: str) -> None:
        """Refuse what is of another deployment."""
        if deployment != self.anchor.deployment:
            raise UntrustedError(
                f"it is of deployment {deployment!r}, not {self.anchor.deployment!r}"
            )

    def check_audience(self, audience: str) -> None:
        """Refuse what is for another gateway."""
        if audience != self.anchor.gateway:
            raise UntrustedError(f"it is for {audience!r}, not {self.anchor.gateway!r}")

    def check_spool(self, name: str, *, spool: str) -> None:
        """Refuse what is for another spool."""
        if name != spool:
            raise UntrustedError(f"it is for the spool {name!r}, not {spool!r}")

    def check_epoch(self, epoch: int) -> None:
        """Refuse what is of another epoch."""
        if epoch != self.anchor.epoch:
            raise UntrustedError(f"it is of epoch {epoch}, not {self.anchor.epoch}")

    def check_floor(self, generation: int) -> None:
        """Refuse a generation below the one with which this epoch begins."""
        if generation < self.anchor.floor:
            raise StaleError(
                f"generation {generation} is below {self.anchor.floor},"
                " with which this epoch begins"
            )

    def check_least(self, snapshot: Snapshot, *, least: tuple[int, int]) -> None:
        """Refuse what is older than something that was in force here."""
        if (snapshot.epoch, snapshot.generation) < least:
            raise StaleError(
                f"generation {snapshot.generation} of epoch {snapshot.epoch} is older"
                f" than {least[1]} of {least[0]}, which was in force"
            )

    def check_issued(self, issued: datetime, *, now: datetime) -> None:
        """Refuse what was issued in the future, as far as two clocks may differ."""
        if issued > now + CLOCK_TOLERANCE:
            raise UntrustedError(f"it was issued at {issued}, and now is {now}")

    def check_generation(self, offered: Held, *, held: Held | None) -> None:
        """Refuse a generation that goes back, or that was another snapshot."""
        if held is None:
            return
        new, old = offered.snapshot.generation, held.snapshot.generation
        if new < old:
            raise StaleError(f"generation {new} is older than {old}, which is held")
        if new == old and offered.digest != held.digest:
            raise EquivocationError(f"two different snapshots call themselves {new}")

    def check_revoked_peers(
        self,
        snapshot: Snapshot,
        *,
        held: Held | None,
        revoked: Container[str] = frozenset(),
    ) -> None:
        """Refuse a peer whose key is revoked, or ever was as far as is known here."""
        listed = {*snapshot.revoked_keys, *_revoked(held)}
        back = [
            peer.device_id
            for peer in snapshot.peers
            if peer.public_key in listed or peer.public_key in revoked
        ]
        if back:
            raise RevokedKeyError(f"revoked keys are peers again: devices {back}")

    def check_revoked_kept(self, snapshot: Snapshot, *, held: Held | None) -> None:
        """Refuse to forget a revoked key."""
        forgotten = _revoked(held) - set(snapshot.revoked_keys)
        if forgotten:
            raise RevokedKeyError(f"{len(forgotten)} revoked keys were forgotten")

    def check_number(self, notice: Notice, *, after: int) -> None:
        """Refuse a notice that comes after a later one."""
        if notice.number <= after:
            raise StaleError(f"notice {notice.number} comes after notice {after}")

    def check_lease_subject(self, lease: Lease, *, of: Held) -> None:
        """Refuse a lease for another snapshot than the one in hand."""
        if (lease.generation, lease.digest) == (of.snapshot.generation, of.digest):
            return
        same = lease.generation == of.snapshot.generation
        raise (EquivocationError if same else UntrustedError)(
            f"the lease is for another snapshot (generation {lease.generation})"
        )

    def check_lease_end(self, lease: Lease, *, now: datetime) -> None:
        """Refuse a lease that has run out, or runs absurdly long."""
        if lease.not_after <= now:
            raise StaleError(f"the lease ran out at {lease.not_after}")
        if lease.not_after - lease.issued > MAX_LEASE:
            raise UntrustedError("the lease runs for more than a day")

    def check_lease_order(self, lease: Lease, *, held: Lease | None) -> None:
        """Refuse to replace a lease by an older one."""
        if held is not None and lease.issued < held.issued:
            raise StaleError(f"the lease of {lease.issued} is older than the one held")

    def _parsed(
        self,
        envelope: bytes,
        payload_type: str,
        parse: Callable[[bytes], Small],
        name: str,
    ) -> Small:
        """Return what a pinned key signed for this gateway, if it is well-formed."""
        payload = self.payload(envelope, payload_type)
        try:
            parsed = parse(payload)
        except CompilerError as exc:
            raise UntrustedError(f"the {name} is malformed: {exc}") from exc
        self.check_deployment(parsed.deployment)
        self.check_audience(parsed.audience)
        return parsed

    def _read(self, envelope: bytes) -> Held:
        payload = self.payload(envelope, SNAPSHOT_TYPE)
        try:
            snapshot = parse_snapshot(payload)
        except CompilerError as exc:
            if newer := newer_version(payload):
                raise UpgradeError(
                    f"upgrade the agent: the policy is of version {newer}, which this"
                    " one cannot read"
                ) from exc
            raise UntrustedError(f"the snapshot is malformed: {exc}") from exc
        return Held(snapshot=snapshot, digest=digest(payload))

    def _is_signed(self, keyid: str, signature: bytes, signed: bytes) -> bool:
        key = self.anchor.keys.get(keyid)
        if key is None:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
        except InvalidSignature:
            return False
        return True


def pinned_key(keyid: str, public_key: bytes) -> tuple[str, bytes]:
    """Return a key to pin, if its id is the first 16 hex digits of its SHA-256.

    Raises:
        UntrustedError: the id is another's, or the key is not an Ed25519 key.
    """
    if not re.fullmatch(r"[0-9a-f]{16}", keyid) or digest(public_key)[:16] != keyid:
        raise UntrustedError(f"{keyid!r} is not the id of the key beside it")
    try:
        Ed25519PublicKey.from_public_bytes(public_key)
    except ValueError as exc:
        raise UntrustedError(f"{keyid} is not an Ed25519 key") from exc
    return keyid, public_key


def _revoked(held: Held | None) -> frozenset[str]:
    return frozenset(held.snapshot.revoked_keys) if held else frozenset()

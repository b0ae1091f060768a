"""A snapshot and a lease as bytes, and back.

Rules this module keeps:

* Equal snapshots are equal bytes: every list is sorted, every value has one spelling.
* `parse_snapshot` accepts exactly what `snapshot_bytes` can write. It encodes what it
  read once more and compares, so no second spelling of a policy exists.
* An expiry is always written. A missing one is an error, never "no end" (F11).
* Signatures are not this module's matter (see `envelope`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Final

from policies.compiler.canonical import (
    Json,
    array,
    canonical_json,
    canonical_object,
    check_version,
    expiry_text,
    fields,
    integer,
    integers,
    parse_expiry,
    parse_json,
    parse_time,
    text,
    time_text,
)
from policies.compiler.conditions import requirement_name
from policies.compiler.conditions_json import (
    condition_json,
    read_condition,
    read_requirement,
    requirement_json,
)
from policies.compiler.envelope import (
    EVIDENCE_ACK_TYPE,
    LEASE_TYPE,
    SNAPSHOT_TYPE,
    Envelope,
    envelope,
    open_envelope,
    pae,
)
from policies.compiler.errors import CompilerError, SnapshotFormatError
from policies.compiler.ranges import reader, speller
from policies.compiler.strictness import ORDINARY, Evidence, Strictness
from policies.compiler.types import (
    Application,
    Destination,
    IPAddress,
    Lease,
    Peer,
    PortRange,
    Protocol,
    Snapshot,
    SnapshotGrant,
    Subject,
    SubjectKind,
    SubjectMembers,
    network,
    sorted_addresses,
    sorted_destinations,
    sorted_networks,
)
from policies.compiler.validate import check_snapshot

__all__ = [
    "EVIDENCE_ACK_TYPE",
    "LEASE_TYPE",
    "SNAPSHOT_TYPE",
    "Envelope",
    "canonical_json",
    "canonical_object",
    "digest",
    "envelope",
    "lease_bytes",
    "newer_version",
    "open_envelope",
    "pae",
    "parse_lease",
    "parse_snapshot",
    "renumbered",
    "snapshot_bytes",
    "snapshot_members",
]

VERSION: Final = 1
"""Of a lease, and of a snapshot in which every application has ordinary terms."""

TERMS_VERSION: Final = 2
"""Of a snapshot in which some application has terms of its own: a reader that cannot
keep them refuses it whole (ADR-0024)."""

_SNAPSHOT: Final = frozenset(
    {
        "version",
        "deployment",
        "audience",
        "epoch",
        "generation",
        "issued",
        "listen_port",
        "pools",
        "peers",
        "subjects",
        "applications",
        "grants",
        "revoked",
        "conditions",
    }
)
_PEER: Final = frozenset({"device", "key", "addresses", "expires"})
_SUBJECT: Final = frozenset({"subject", "members"})
_APPLICATION: Final = frozenset({"application", "destinations"})
_TERMED_APPLICATION: Final = _APPLICATION | {"max_staleness", "evidence"}
_DESTINATION: Final = frozenset({"prefix", "protocol", "ports"})
_HOST_DESTINATION: Final = _DESTINATION | {"host"}
_GRANT: Final = frozenset({"grant", "subject", "application", "expires", "requires"})
_LEASE: Final = frozenset(
    {
        "version",
        "deployment",
        "audience",
        "epoch",
        "generation",
        "digest",
        "issued",
        "not_after",
    }
)
_SUBJECT_REF: Final = re.compile(r"(us|gr)_([1-9][0-9]{0,15})")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def snapshot_bytes(snapshot: Snapshot) -> bytes:
    """Return the canonical bytes of a snapshot: what is hashed and signed."""
    return canonical_object(snapshot_members(snapshot))


def snapshot_members(snapshot: Snapshot) -> Mapping[str, bytes]:
    """Return the canonical bytes of each member of a snapshot, by its name."""
    spelled = speller()
    members: Mapping[str, Json] = {
        "version": _version(snapshot),
        "deployment": snapshot.deployment,
        "audience": snapshot.audience,
        "epoch": snapshot.epoch,
        "generation": snapshot.generation,
        "issued": time_text(snapshot.issued),
        "listen_port": snapshot.listen_port,
        "pools": [str(pool) for pool in sorted_networks(snapshot.pools)],
        "peers": [
            _peer(peer, spelled)
            for peer in sorted(snapshot.peers, key=attrgetter("device_id"))
        ],
        "subjects": [
            {"subject": m.subject.ref, "members": sorted(m.device_ids)}
            for m in sorted(snapshot.subjects, key=lambda m: m.subject)
        ],
        "applications": [
            _application(application)
            for application in sorted(snapshot.applications, key=lambda a: a.id)
        ],
        "grants": [
            _grant(grant)
            for grant in sorted(snapshot.grants, key=lambda grant: grant.id)
        ],
        "revoked": sorted(set(snapshot.revoked_keys)),
        "conditions": [
            condition_json(part)
            for part in sorted(
                snapshot.conditions, key=lambda c: requirement_name(c.requirement)
            )
        ],
    }
    return {name: canonical_json(member) for name, member in members.items()}


def renumbered(
    members: Mapping[str, bytes], *, generation: int, issued: datetime
) -> Mapping[str, bytes]:
    """Return the members of the same content under another number and date."""
    return {
        **members,
        "generation": canonical_json(generation),
        "issued": canonical_json(time_text(issued)),
    }


def parse_snapshot(data: bytes) -> Snapshot:
    """Return the snapshot that `snapshot_bytes` wrote as `data`.

    Raises:
        SnapshotFormatError: anything else, down to the order of a list.
    """
    try:
        snapshot = _read_snapshot(fields(parse_json(data), _SNAPSHOT))
        check_snapshot(snapshot)
    except SnapshotFormatError:
        raise
    except CompilerError as exc:
        raise SnapshotFormatError(str(exc)) from exc
    if snapshot_bytes(snapshot) != data:
        msg = "not the canonical form of a snapshot"
        raise SnapshotFormatError(msg)
    return snapshot


def newer_version(data: bytes) -> int | None:
    """Return the version that a snapshot says it has, if it is beyond this reader's."""
    try:
        top = parse_json(data)
        version = integer(top.get("version")) if isinstance(top, Mapping) else 0
    except SnapshotFormatError:
        return None
    return version if version > TERMS_VERSION else None


def lease_bytes(lease: Lease) -> bytes:
    """Return the canonical bytes of a lease."""
    return canonical_json(
        {
            "version": VERSION,
            "deployment": lease.deployment,
            "audience": lease.audience,
            "epoch": lease.epoch,
            "generation": lease.generation,
            "digest": lease.digest,
            "issued": time_text(lease.issued),
            "not_after": time_text(lease.not_after),
        }
    )


def parse_lease(data: bytes) -> Lease:
    """Return the lease that `lease_bytes` wrote as `data`.

    Raises:
        SnapshotFormatError: anything else.
    """
    top = fields(parse_json(data), _LEASE)
    check_version(top, {VERSION})
    if _DIGEST.fullmatch(text(top["digest"])) is None:
        msg = "the digest is not SHA-256 in lower-case hexadecimal"
        raise SnapshotFormatError(msg)
    lease = Lease(
        deployment=text(top["deployment"]),
        audience=text(top["audience"]),
        epoch=integer(top["epoch"]),
        generation=integer(top["generation"]),
        digest=text(top["digest"]),
        issued=parse_time(top["issued"]),
        not_after=parse_time(top["not_after"]),
    )
    if lease_bytes(lease) != data:
        msg = "not the canonical form of a lease"
        raise SnapshotFormatError(msg)
    return lease


def digest(data: bytes) -> str:
    """Return SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _peer(peer: Peer, spelled: Callable[[IPAddress], str]) -> Json:
    """Return a peer as JSON."""
    return {
        "device": peer.device_id,
        "key": peer.public_key,
        "addresses": [spelled(a) for a in sorted_addresses(peer.addresses)],
        "expires": expiry_text(peer.expires_at),
    }


def _application(application: Application) -> Json:
    """Return an application as JSON, with its terms if it has some of its own."""
    ordered = sorted_destinations(application.destinations)
    written: dict[str, Json] = {
        "application": application.id,
        "destinations": [_destination(destination) for destination in ordered],
    }
    terms = application.strictness
    if terms == ORDINARY:
        return written
    return written | {
        "max_staleness": terms.max_staleness,
        "evidence": terms.evidence.value,
    }


def _destination(destination: Destination) -> Json:
    """Return a destination as JSON; a reader that knows no hosts refuses one."""
    ports = destination.ports
    written: dict[str, Json] = {
        "prefix": str(destination.prefix),
        "protocol": destination.protocol.value,
        "ports": None if ports is None else [ports.first, ports.last],
    }
    return written | {"host": destination.host} if destination.host else written


def _grant(grant: SnapshotGrant) -> Json:
    """Return a grant as JSON."""
    return {
        "grant": grant.id,
        "subject": grant.subject.ref,
        "application": grant.application_id,
        "expires": expiry_text(grant.expires_at),
        "requires": [requirement_json(wanted) for wanted in grant.requires],
    }


def _read_snapshot(top: Mapping[str, object]) -> Snapshot:
    """Read the whole object, part by part."""
    check_version(top, {VERSION, TERMS_VERSION})
    read = reader()
    return Snapshot(
        deployment=text(top["deployment"]),
        audience=text(top["audience"]),
        epoch=integer(top["epoch"]),
        generation=integer(top["generation"]),
        issued=parse_time(top["issued"]),
        listen_port=integer(top["listen_port"]),
        pools=tuple(network(text(item)) for item in array(top["pools"])),
        peers=tuple(_read_peer(item, read) for item in array(top["peers"])),
        subjects=tuple(_read_subject(item) for item in array(top["subjects"])),
        applications=tuple(
            _read_application(item) for item in array(top["applications"])
        ),
        grants=tuple(_read_grant(item) for item in array(top["grants"])),
        revoked_keys=tuple(text(item) for item in array(top["revoked"])),
        conditions=tuple(read_condition(item) for item in array(top["conditions"])),
    )


def _read_peer(value: object, read: Callable[[str], IPAddress]) -> Peer:
    """Read one peer."""
    item = fields(value, _PEER)
    return Peer(
        device_id=integer(item["device"]),
        public_key=text(item["key"]),
        addresses=tuple(read(text(entry)) for entry in array(item["addresses"])),
        expires_at=parse_expiry(item["expires"]),
    )


def _read_subject(value: object) -> SubjectMembers:
    """Read one subject and its devices."""
    item = fields(value, _SUBJECT)
    return SubjectMembers(
        subject=_read_subject_ref(item["subject"]),
        device_ids=integers(item["members"]),
    )


def _read_subject_ref(value: object) -> Subject:
    """Read `us_7` or `gr_4`."""
    match = _SUBJECT_REF.fullmatch(text(value))
    if match is None:
        msg = f"{value!r} is not the id of a user or a group"
        raise SnapshotFormatError(msg)
    return Subject(kind=SubjectKind(match[1]), id=int(match[2]))


def _read_application(value: object) -> Application:
    """Read one application."""
    has_terms = isinstance(value, Mapping) and "evidence" in value
    item = fields(value, _TERMED_APPLICATION if has_terms else _APPLICATION)
    return Application(
        id=integer(item["application"]),
        destinations=tuple(
            _read_destination(entry) for entry in array(item["destinations"])
        ),
        strictness=_read_strictness(item) if has_terms else ORDINARY,
    )


def _read_strictness(item: Mapping[str, object]) -> Strictness:
    """Read an application's own terms."""
    limit = item["max_staleness"]
    try:
        evidence = Evidence(text(item["evidence"]))
    except ValueError as exc:
        raise SnapshotFormatError(str(exc)) from exc
    return Strictness(
        max_staleness=None if limit is None else integer(limit), evidence=evidence
    )


def _read_destination(value: object) -> Destination:
    """Read one destination."""
    has_host = isinstance(value, Mapping) and "host" in value
    item = fields(value, _HOST_DESTINATION if has_host else _DESTINATION)
    try:
        protocol = Protocol(text(item["protocol"]))
    except ValueError as exc:
        raise SnapshotFormatError(str(exc)) from exc
    return Destination(
        prefix=network(text(item["prefix"])),
        protocol=protocol,
        ports=_read_ports(item["ports"]),
        host=text(item["host"]) if has_host else "",
    )


def _read_ports(value: object) -> PortRange | None:
    """Read `[80, 443]` or null."""
    if value is None:
        return None
    ports = [integer(port) for port in array(value)]
    if len(ports) != 2:  # noqa: PLR2004 - first and last
        msg = "ports are written [first, last]"
        raise SnapshotFormatError(msg)
    return PortRange(first=ports[0], last=ports[1])


def _read_grant(value: object) -> SnapshotGrant:
    """Read one grant."""
    item = fields(value, _GRANT)
    return SnapshotGrant(
        id=integer(item["grant"]),
        subject=_read_subject_ref(item["subject"]),
        application_id=integer(item["application"]),
        expires_at=parse_expiry(item["expires"]),
        requires=tuple(read_requirement(entry) for entry in array(item["requires"])),
    )


def _version(snapshot: Snapshot) -> int:
    """Return the lowest version that says everything, so that there is one spelling."""
    has_terms = any(a.strictness != ORDINARY for a in snapshot.applications)
    return TERMS_VERSION if has_terms else VERSION

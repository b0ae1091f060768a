"""What must hold between the parts of a snapshot, whoever made it.

The compiler checks its own result and the reader checks what arrived, with the same
rules: peers are disjoint and inside the pools, every reference has its referent,
a revoked key is nobody's, ids fit where the kernel keeps them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from typing import Final

from policies.compiler.canonical import MAX_INTEGER
from policies.compiler.conditions import requirement_name, sorted_requirements
from policies.compiler.errors import (
    InvalidValueError,
    OverlapError,
    UnknownReferenceError,
)
from policies.compiler.ranges import IPV4, network_family, network_range
from policies.compiler.types import (
    MAX_ID,
    MAX_PORT,
    IPAddress,
    IPNetwork,
    Peer,
    Snapshot,
    sorted_networks,
)

_DEPLOYMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_AUDIENCE: Final = re.compile(r"gw_[1-9][0-9]{0,15}")
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
"""RFC 4648 §3.5: the last character before the padding has two zero bits."""
_KEYS: Final = re.compile(rf"({_KEY.pattern})*+")


def check_snapshot(snapshot: Snapshot) -> None:
    """Refuse a snapshot whose parts contradict each other.

    Raises:
        InvalidValueError: an id, name, key or port out of its bounds, or an address
            outside the pools.
        OverlapError: two peers share an id, a key or an address; pools overlap; an
            id stands twice.
        UnknownReferenceError: a grant, a subject, a member or a requirement has no
            referent.
    """
    check_frame(snapshot)
    _check_peers(snapshot.peers, snapshot.pools)
    _check_references(snapshot)
    _check_conditions(snapshot)
    check_keys(snapshot.revoked_keys)
    if revoked := {p.public_key for p in snapshot.peers} & set(snapshot.revoked_keys):
        msg = f"a revoked key is a peer: {min(revoked)}"
        raise InvalidValueError(msg)


def check_frame(snapshot: Snapshot) -> None:
    """Refuse what concerns no peer: names, pools, ids of the policy.

    Raises:
        InvalidValueError: an id, a name or a port is out of its bounds.
        OverlapError: pools overlap, or an id stands twice.
    """
    _check_names(snapshot)
    check_pools(snapshot.pools)
    _check_unique("subject", (members.subject for members in snapshot.subjects))
    _check_ids("subject", {members.subject.id for members in snapshot.subjects})
    _check_ids("application", [a.id for a in snapshot.applications])
    _check_ids("grant", [grant.id for grant in snapshot.grants])


def check_peer(peer: Peer, pools: tuple[IPNetwork, ...]) -> None:
    """Refuse a peer that is wrong by itself.

    Raises:
        InvalidValueError: its id, its key or an address is out of bounds.
        OverlapError: it has an address twice.
    """
    _check_peers((peer,), pools)


def check_key(key: str) -> None:
    """Refuse anything but 32 bytes in canonical base64 (wg(8), PublicKey)."""
    if _KEY.fullmatch(key) is None:
        msg = f"{key!r} is not a WireGuard key"
        raise InvalidValueError(msg)


def check_pools(pools: tuple[IPNetwork, ...]) -> None:
    """Refuse tunnel prefixes that overlap."""
    for left, right in pairwise(sorted_networks(pools)):
        if left.overlaps(right):
            msg = f"the pools {left} and {right} overlap"
            raise OverlapError(msg)


def _check_names(snapshot: Snapshot) -> None:
    """Check what names the snapshot itself."""
    if _DEPLOYMENT.fullmatch(snapshot.deployment) is None:
        msg = f"{snapshot.deployment!r} is not a deployment's name"
        raise InvalidValueError(msg)
    if _AUDIENCE.fullmatch(snapshot.audience) is None:
        msg = f"{snapshot.audience!r} is not a gateway's id"
        raise InvalidValueError(msg)
    if not 1 <= snapshot.listen_port <= MAX_PORT:
        msg = f"{snapshot.listen_port} is not a port"
        raise InvalidValueError(msg)
    _check_ids("epoch", [snapshot.epoch])
    _check_ids("generation", [snapshot.generation])


def _check_peers(peers: tuple[Peer, ...], pools: tuple[IPNetwork, ...]) -> None:
    """Check that peers are disjoint and inside the pools."""
    _check_ids("device", [peer.device_id for peer in peers], maximum=MAX_ID)
    _check_unique("key", (peer.public_key for peer in peers))
    check_keys(peer.public_key for peer in peers)
    for peer in peers:
        if not peer.addresses:
            msg = f"dv_{peer.device_id} has no address"
            raise InvalidValueError(msg)
    _check_addresses([a for peer in peers for a in peer.addresses], pools)


def _check_addresses(
    addresses: Sequence[IPAddress], pools: tuple[IPNetwork, ...]
) -> None:
    """Check that addresses stand once and inside the pools."""
    four = [int(a) for a in addresses if isinstance(a, IPv4Address)]
    six = [int(a) for a in addresses if isinstance(a, IPv6Address)]
    # Addresses hash and compare slowly, numbers fast.
    if len(set(four)) + len(set(six)) != len(addresses):
        _check_unique("address", addresses)
    for pool in pools:
        first, last = network_range(pool)
        if network_family(pool) == IPV4:
            four = [n for n in four if not first <= n <= last]
        else:
            six = [n for n in six if not first <= n <= last]
    if four or six:
        outside = next(a for a in addresses if not any(a in pool for pool in pools))
        msg = f"{outside} lies in no pool"
        raise InvalidValueError(msg)


def check_keys(keys: Iterable[str]) -> None:
    """Refuse anything but keys; all at once takes half the time of one by one."""
    listed = list(keys)
    if not set(map(len, listed)) <= {44} or not _KEYS.fullmatch("".join(listed)):
        check_key(next(key for key in listed if _KEY.fullmatch(key) is None))


def _check_references(snapshot: Snapshot) -> None:
    """Check that every reference has its referent, and every id stands once."""
    devices = {peer.device_id for peer in snapshot.peers}
    subjects = {members.subject for members in snapshot.subjects}
    applications = {application.id for application in snapshot.applications}
    for members in snapshot.subjects:
        _check_unique("member", members.device_ids)
        if not devices.issuperset(members.device_ids):
            unknown = set(members.device_ids) - devices
            msg = f"{members.subject.ref} holds unknown devices {sorted(unknown)}"
            raise UnknownReferenceError(msg)
    for grant in snapshot.grants:
        if grant.subject not in subjects:
            msg = f"gt_{grant.id} names unknown {grant.subject.ref}"
            raise UnknownReferenceError(msg)
        if grant.application_id not in applications:
            msg = f"gt_{grant.id} names unknown ap_{grant.application_id}"
            raise UnknownReferenceError(msg)


def _check_conditions(snapshot: Snapshot) -> None:
    """Check that what is demanded is listed, nothing else is, and peers hold it."""
    devices = {peer.device_id for peer in snapshot.peers}
    listed = tuple(part.requirement for part in snapshot.conditions)
    wanted = sorted_requirements(r for grant in snapshot.grants for r in grant.requires)
    if listed != wanted:
        msg = "the requirements listed are not those that grants make"
        raise UnknownReferenceError(msg)
    for grant in snapshot.grants:
        if grant.requires and grant.requires != sorted_requirements(grant.requires):
            msg = f"the requirements of gt_{grant.id} are not in order"
            raise InvalidValueError(msg)
    for part in snapshot.conditions:
        ids = [holder.device_id for holder in part.holders]
        name = requirement_name(part.requirement)
        _check_unique(f"holder of {name}", ids)
        if unknown := set(ids) - devices:
            msg = f"{name} is held by unknown devices {sorted(unknown)}"
            raise UnknownReferenceError(msg)


def _check_ids(what: str, ids: Iterable[int], *, maximum: int = MAX_INTEGER) -> None:
    """Check that ids are positive, fit, and stand once."""
    listed = list(ids)
    for number in (min(listed, default=1), max(listed, default=1)):
        if not 1 <= number <= maximum:
            msg = f"{number} is not an id of a {what}"
            raise InvalidValueError(msg)
    _check_unique(what, listed)


def _check_unique(what: str, values: Iterable[Hashable]) -> None:
    """Check that no value stands twice."""
    listed = list(values)
    if len(set(listed)) == len(listed):
        return
    twice = next(value for value, count in Counter(listed).items() if count > 1)
    msg = f"the {what} {twice} stands twice"
    raise OverlapError(msg)

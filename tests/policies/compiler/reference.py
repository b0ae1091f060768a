"""What a gateway must do with the first packet of a flow, said as plainly as can be.

Reads facts and nothing else; shares no arithmetic with the compiler. The answer is
what the gateway's log must say: `gt_<grant>/ap_<application>` or the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network

from policies.compiler import types
from policies.compiler.conditions import MaxAge, Strength
from policies.compiler.evaluate import Packet

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
NUMBERS = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMPV6}

NOBODYS = (
    *map(ip_network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4")),
    *map(ip_network, ("240.0.0.0/4", "::/128", "::1/128", "::ffff:0:0/96")),
    *map(ip_network, ("fe80::/10", "ff00::/8")),
)


@dataclass(frozen=True)
class Answer:
    """What the log says, and every grant that allows: by name first, then by id."""

    said: str
    grants: tuple[int, ...] = ()


@dataclass(frozen=True)
class Health:
    """How long the portal was silent, in seconds, and whether flows are recorded."""

    silent_for: int = 0
    is_recorded: bool = True


WELL = Health()


def answer(
    facts: types.Facts,
    packet: Packet,
    *,
    now: datetime,
    resolved: types.Resolved,
    health: Health = WELL,
) -> Answer:
    """Return the only right answer."""
    if any(packet.destination in pool for pool in facts.pools):
        return Answer("lateral")
    device = _device(facts, packet, now)
    if device is None:
        return Answer("no_device")
    if packet.protocol == (ICMPV6 if packet.source.version == 4 else ICMP):
        return Answer("invalid")
    allowing = []
    served = {application.id: application for application in facts.applications}
    grants = sorted(_grants_of(facts, device, now), key=lambda grant: grant.id)
    for by_name in (True, False):
        for grant in grants:
            there = served[grant.application_id]
            reached = _covers(there, packet, resolved, by_name)
            if reached and _is_kept(there, health) and grant not in allowing:
                allowing.append(grant)
    if not allowing:
        return Answer("no_grant")
    first = allowing[0]
    said = f"gt_{first.id}/ap_{first.application_id}"
    return Answer(said, tuple(grant.id for grant in allowing))


def _device(facts: types.Facts, packet: Packet, now: datetime) -> types.Device | None:
    """Return the device that may speak for the source: live, and of use to someone."""
    live = (d for d in facts.devices if now < d.expires_at)
    known = (d for d in live if d.public_key not in facts.revoked_keys)
    own = (d for d in known if packet.source in d.addresses)
    return next((d for d in own if any(_grants_of(facts, d, now))), None)


def _grants_of(
    facts: types.Facts, device: types.Device, now: datetime
) -> Iterator[types.Grant]:
    """Yield the grants a device may use now, its owner's and those of their groups."""
    user = device.user_id
    for grant in facts.grants:
        pair = (user, grant.subject.id)
        is_group = grant.subject.kind == "gr"
        is_mine = pair in facts.memberships if is_group else pair[0] == pair[1]
        is_now = grant.not_before <= now < grant.expires_at and _is_open(grant, now)
        is_met = all(_holds(facts, device, r, now) for r in grant.requires)
        if is_mine and is_now and is_met:
            yield grant


def _is_open(grant: types.Grant, now: datetime) -> bool:
    """Return whether the clock on the wall shows one of the grant's hours."""
    if grant.hours is None:
        return True
    wall = now.astimezone(grant.hours.zone)
    return any(
        wall.weekday() in window.days
        and window.begin <= wall.time()
        and (window.end is None or wall.time() < window.end)
        for window in grant.hours.schedule.windows
    )


def _holds(
    facts: types.Facts, device: types.Device, wanted: object, now: datetime
) -> bool:
    """Return whether a device and its owner's last proof are as a grant demands."""
    proofs = [p for p in facts.authentications if p.user_id == device.user_id]
    match wanted:
        case MaxAge(seconds=age):
            times = [p.proven_at for p in proofs if p.proven_at]
            return any((now - at).total_seconds() < age for at in times)
        case Strength(amr=amr, acr=acr):
            fit = [p for p in proofs if not acr or p.acr in acr]
            return any({*amr} <= {*p.amr} for p in fit)
        case _:
            return device.is_approved


def _is_kept(application: types.Application, health: Health) -> bool:
    """Return whether an application's own terms are met."""
    terms = application.strictness
    if terms.evidence == "strict" and not health.is_recorded:
        return False
    return terms.max_staleness is None or health.silent_for < terms.max_staleness


def _covers(
    application: types.Application,
    packet: Packet,
    resolved: types.Resolved,
    by_name: bool,
) -> bool:
    """Return whether an application is what the packet asks for, by name or not."""
    if any(packet.destination in network for network in NOBODYS):
        return False
    return any(
        _reaches(place, packet)
        for place in application.destinations
        if bool(place.host) == by_name
        and (not by_name or packet.destination in resolved.get(place.host, ()))
    )


def _reaches(destination: types.Destination, packet: Packet) -> bool:
    """Return whether address, protocol and port are a destination's."""
    if packet.destination not in destination.prefix:
        return False
    if packet.protocol in {TCP, UDP} and packet.port == 0:
        return False
    if destination.protocol == "any":
        return packet.protocol > 0
    if packet.protocol != NUMBERS[destination.protocol]:
        return False
    ports = destination.ports
    return ports is None or ports.first <= (packet.port or 0) <= ports.last

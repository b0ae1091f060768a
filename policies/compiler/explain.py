"""Why a packet passes, or every condition that keeps each grant from letting it. Pure.

Rules this module keeps:

* The verdict is that of `evaluate`: a packet passes when one grant fails nothing.
* A grant that does not help tells *every* condition it fails, not the first: who
  mends one of two would otherwise come back to ask again.
* The grant named first is the one the kernel's log names: of those that allow by a
  host name, else of those by prefix, the lowest id.
* What depends on a host name says so, whichever way it goes; what the name stands for
  is known only as far as the gateway has told.
* Machine ids only; words and names are made where they are shown.

A condition is a function from a `Case` to a `Failure` or None. A new one is a member
of `Condition`, a function, and a place in `CONDITIONS`; nothing else changes. What a
grant demands of a device or its owner comes last, each demand a failure of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_network
from typing import Final

from policies.compiler.compile import subjects_of_user
from policies.compiler.conditions import MaxAge, Requirement, Strength
from policies.compiler.evaluate import Packet, covers, spans
from policies.compiler.explanation import (
    BEGINNING,
    NUMBERS,
    Asker,
    Candidate,
    Case,
    Condition,
    Explanation,
    Failure,
    Holding,
    Policy,
    Question,
)
from policies.compiler.requirements import UNHELD, fulfilled_until
from policies.compiler.schedules import is_open, opens_at
from policies.compiler.strictness import ORDINARY
from policies.compiler.types import (
    Application,
    Authentication,
    Destination,
    Facts,
    Grant,
    IPAddress,
    Protocol,
    Snapshot,
    SnapshotGrant,
    Subject,
)


def explain(policy: Policy, asker: Asker, question: Question) -> Explanation:
    """Return the verdict of one gateway with all its reasons.

    Candidates are the asker's own grants and those on whatever covers the address.
    """
    known = {application.id: application for application in policy.applications}
    asked = tuple(_of_question(policy, question))
    holdings: Sequence[Holding | None] = asker.holdings or (None,)
    of_asker = {
        holding: (*asked, *_of_asker(asker, holding, question)) for holding in holdings
    }
    judged: list[tuple[Candidate, tuple[int, int]]] = []
    grants, device_ids = [], set()
    for grant in sorted(policy.grants, key=lambda grant: grant.id):
        application = known.get(grant.application_id)
        tried = [
            Candidate(
                grant=grant,
                device_id=holding.device_id if holding else None,
                failures=(
                    *of_asker[holding],
                    *_of_grant(
                        Case(
                            policy=policy,
                            asker=asker,
                            holding=holding,
                            grant=grant,
                            application=application,
                            question=question,
                        )
                    ),
                ),
            )
            for holding in holdings
        ]
        best = min(tried, key=lambda candidate: len(candidate.failures))
        if best.failures:
            judged.append((best, _distance(application, question)))
        else:
            grants.append((not _is_by_name(application, policy, question), grant))
            device_ids |= {c.device_id for c in tried if not c.failures}
    return Explanation(
        gateway_id=policy.gateway_id,
        grants=tuple(g for _, g in sorted(grants, key=lambda way: way[0])),
        device_ids=tuple(sorted(number for number in device_ids if number)),
        failures=min(of_asker.values(), key=len),
        candidates=tuple(candidate for candidate, _ in sorted(judged, key=_nearness)),
        hosts=_hosts(
            (g.application_id for g in policy.grants), known=known, question=question
        ),
        terms={
            g.application_id: known[g.application_id].strictness
            for _, g in grants
            if known[g.application_id].strictness != ORDINARY
        },
    )


def policy_of_facts(facts: Facts) -> Policy:
    """Return what a gateway with these facts decides by; they may be hypothetical."""
    return Policy(
        gateway_id=facts.gateway_id,
        pools=facts.pools,
        applications=facts.applications,
        served=frozenset(application.id for application in facts.applications),
        grants=facts.grants,
    )


def asker_of_facts(
    facts: Facts, user_id: int, *, device_id: int | None = None
) -> Asker:
    """Return a person as facts know them, with all devices or the one named."""
    subjects = subjects_of_user(facts, user_id)
    revoked = frozenset(facts.revoked_keys)
    return Asker(
        user_id=user_id,
        is_enabled=True,
        subjects=subjects,
        holdings=tuple(
            Holding(
                device_id=device.id,
                addresses=device.addresses,
                subjects=subjects,
                expires_at=device.expires_at,
                is_approved=device.is_approved,
                refusal=(
                    Failure(condition=Condition.DEVICE_REVOKED)
                    if device.public_key in revoked
                    else None
                ),
            )
            for device in sorted(facts.devices, key=lambda device: device.id)
            if device.user_id == user_id and device_id in {None, device.id}
        ),
        proof=next((p for p in facts.authentications if p.user_id == user_id), None),
    )


def policy_of_snapshot(snapshot: Snapshot, *, others: Iterable[Grant] = ()) -> Policy:
    """Return what a gateway decides by that enforces this snapshot.

    `others` are grants that existed; those the snapshot does not hold are explained
    as such.
    """
    held = tuple(map(_grant, snapshot.grants))
    ids = {grant.id for grant in held}
    missing = tuple(grant for grant in others if grant.id not in ids)
    return Policy(
        gateway_id=int(snapshot.audience.removeprefix("gw_")),
        pools=snapshot.pools,
        applications=snapshot.applications,
        served=frozenset(application.id for application in snapshot.applications),
        grants=(*held, *missing),
        absent=frozenset(grant.id for grant in missing),
    )


def holdings_in_snapshot(
    snapshot: Snapshot,
    known: frozenset[Subject],
    refusals: Mapping[int, Failure | None],
) -> tuple[Holding, ...]:
    """Return a person's devices as a snapshot lists them.

    `refusals` names the devices, each with the reason why it was no peer, where one
    is known from elsewhere. So are the subjects of such a device: `known`.
    """
    peers = {peer.device_id: peer for peer in snapshot.peers}
    found = []
    for device_id, refusal in sorted(refusals.items()):
        peer = peers.get(device_id)
        subjects = {m.subject for m in snapshot.subjects if device_id in m.device_ids}
        found.append(
            Holding(
                device_id=device_id,
                addresses=peer.addresses if peer else (),
                subjects=frozenset(subjects) if peer else known,
                expires_at=peer.expires_at if peer else BEGINNING,
                attested=tuple(
                    (part.requirement, holder.expires_at)
                    for part in snapshot.conditions
                    for holder in part.holders
                    if holder.device_id == device_id
                ),
                refusal=(
                    None
                    if peer
                    else refusal or Failure(condition=Condition.DEVICE_ABSENT)
                ),
            )
        )
    return tuple(found)


def reaches_address(application: Application, destination: IPAddress) -> bool:
    """Return whether an application has a prefix that holds the address."""
    return any(destination in found.prefix for found in application.destinations)


def _grant(grant: SnapshotGrant) -> Grant:
    """Return a grant of a snapshot; whatever is in one has begun."""
    return Grant(
        id=grant.id,
        subject=grant.subject,
        application_id=grant.application_id,
        not_before=BEGINNING,
        expires_at=grant.expires_at,
        hours=None,
        requires=grant.requires,
    )


def _of_question(policy: Policy, question: Question) -> Iterable[Failure]:
    """Return what is wrong whoever asks."""
    packet = _packet(question)
    everything = Destination(
        prefix=ip_network(question.destination), protocol=Protocol.ANY, ports=None
    )
    if not spans(everything, packet):
        yield Failure(condition=Condition.FORBIDDEN)
    if any(question.destination in pool for pool in policy.pools):
        yield Failure(condition=Condition.LATERAL)


def _of_asker(
    asker: Asker, holding: Holding | None, question: Question
) -> Iterable[Failure]:
    """Return what is wrong with the person or the device, whatever the grant."""
    if not asker.is_enabled:
        yield Failure(condition=Condition.USER_DISABLED)
    if holding is None:
        yield Failure(condition=Condition.NO_DEVICE)
    elif holding.refusal:
        yield holding.refusal
    else:
        if holding.expires_at <= question.at:
            yield Failure(condition=Condition.SESSION_ENDED, at=holding.expires_at)
        family = question.destination.version
        if all(address.version != family for address in holding.addresses):
            yield Failure(condition=Condition.NO_ADDRESS)


def _of_grant(case: Case) -> Iterable[Failure]:
    """Return every condition that a grant fails."""
    for check in CONDITIONS:
        failure = check(case)
        if failure is not None:
            yield failure
    yield from _requirements(case)


def _presence(case: Case) -> Failure | None:
    """Ask whether the gateway knew the grant at all."""
    if case.grant.id in case.policy.absent:
        return Failure(condition=Condition.GRANT_ABSENT)
    return None


def _membership(case: Case) -> Failure | None:
    """Ask whether the grant is for this device's owner."""
    held = case.holding.subjects if case.holding else case.asker.subjects
    # A snapshot lists the members of what it grants, and no others.
    if case.grant.id in case.policy.absent:
        held |= case.asker.subjects
    if case.grant.subject not in held:
        return Failure(condition=Condition.NOT_MEMBER)
    return None


def _beginning(case: Case) -> Failure | None:
    """Ask whether the grant has begun."""
    if case.question.at < case.grant.not_before:
        return Failure(condition=Condition.NOT_BEGUN, at=case.grant.not_before)
    return None


def _end(case: Case) -> Failure | None:
    """Ask whether the grant goes on."""
    if case.grant.expires_at <= case.question.at:
        return Failure(condition=Condition.ENDED, at=case.grant.expires_at)
    return None


def _hours(case: Case) -> Failure | None:
    """Ask whether the grant is in its hours."""
    hours, at = case.grant.hours, case.question.at
    if hours is None or is_open(hours, at):
        return None
    return Failure(condition=Condition.OUTSIDE_HOURS, at=opens_at(hours, at))


def _requirements(case: Case) -> Iterable[Failure]:
    """Ask for everything that the grant demands of the device or its owner."""
    # Without a device there is nothing to hold it; of a grant that is not in a
    # snapshot, and of a device that was no peer, a snapshot does not say.
    holding = case.holding
    if holding is None or case.grant.id in case.policy.absent:
        return
    if holding.attested is not None and holding.refusal is not None:
        return
    for wanted in case.grant.requires:
        until = _held_until(wanted, holding, case.asker.proof)
        if until <= case.question.at:
            yield Failure(
                condition=_condition(wanted),
                at=None if until == UNHELD else until,
                requirement=wanted,
                proof=case.asker.proof,
            )


def _held_until(
    wanted: Requirement, holding: Holding, proof: Authentication | None
) -> datetime:
    """Return when a device ceases to hold what is wanted, or `UNHELD`."""
    if holding.attested is not None:
        return dict(holding.attested).get(wanted, UNHELD)
    return fulfilled_until(wanted, proof, is_approved=holding.is_approved)


def _condition(wanted: Requirement) -> Condition:
    """Return what it is called that a requirement is not held."""
    if isinstance(wanted, MaxAge):
        return Condition.PROOF_TOO_OLD
    if isinstance(wanted, Strength):
        return Condition.PROOF_TOO_WEAK
    return Condition.NOT_APPROVED


def _lock(case: Case) -> Failure | None:
    """Ask whether the application is locked, which beats every grant."""
    if case.grant.application_id in case.policy.locked:
        return Failure(condition=Condition.APPLICATION_LOCKED)
    return None


def _service(case: Case) -> Failure | None:
    """Ask whether this gateway stands in front of the application."""
    # Of a grant that is not in a snapshot, its application need not be either.
    if case.grant.id in case.policy.absent:
        return None
    if case.grant.application_id not in case.policy.served:
        return Failure(condition=Condition.NOT_SERVED)
    return None


def _reach(case: Case) -> Failure | None:
    """Ask whether the application is what the packet goes to."""
    if case.application is None:
        return None
    question, resolved = case.question, case.policy.resolved
    packet = _packet(question)
    places = case.application.destinations
    if any(covers(p, packet, now=question.at, resolved=resolved) for p in places):
        return None
    if named := next((p for p in places if p.host and spans(p, packet)), None):
        return Failure(condition=Condition.NOT_RESOLVED, nearest=named)
    return _miss(_nearest(case.application, question), question)


def _miss(nearest: Destination | None, question: Question) -> Failure | None:
    """Return in what the nearest destination is not the one asked for."""
    if nearest is None or question.destination not in nearest.prefix:
        return Failure(condition=Condition.WRONG_DESTINATION, nearest=nearest)
    if not _speaks(nearest, question.protocol):
        return Failure(condition=Condition.WRONG_PROTOCOL, nearest=nearest)
    if _port_distance(nearest, question.port):
        return Failure(condition=Condition.WRONG_PORT, nearest=nearest)
    # It would be the right one, were the destination anybody's to grant.
    return None


CONDITIONS: Final[tuple[Callable[[Case], Failure | None], ...]] = (
    _presence,
    _membership,
    _beginning,
    _end,
    _hours,
    _lock,
    _service,
    _reach,
)
"""What each grant is asked. The order is that of the answer; all are asked."""


def _is_by_name(
    application: Application | None, policy: Policy, question: Question
) -> bool:
    """Return whether an application is reached by what a host name stands for."""
    packet = _packet(question)
    return application is not None and any(
        found.host and covers(found, packet, now=question.at, resolved=policy.resolved)
        for found in application.destinations
    )


def _hosts(
    granted: Iterable[int], *, known: Mapping[int, Application], question: Question
) -> tuple[str, ...]:
    """Return the host names that decide whether a packet passes."""
    packet = _packet(question)
    return tuple(
        sorted(
            {
                found.host
                for number in {*granted} & known.keys()
                for found in known[number].destinations
                if found.host and spans(found, packet)
            }
        )
    )


def _packet(question: Question) -> Packet:
    """Return a packet that asks the question; where it comes from is another's."""
    return Packet(
        source=question.destination,
        destination=question.destination,
        protocol=question.protocol,
        port=question.port,
    )


def _nearest(application: Application, question: Question) -> Destination | None:
    """Return the destination that comes closest; of equals the first in order."""
    return min(
        application.destinations,
        key=lambda found: (_steps(found, question), found.sort_key),
        default=None,
    )


def _distance(application: Application | None, question: Question) -> tuple[int, int]:
    """Return how far an application misses: first in kind, then in number."""
    nearest = _nearest(application, question) if application else None
    return _steps(nearest, question) if nearest else (5, 0)


def _steps(found: Destination, question: Question) -> tuple[int, int]:
    """Return how far a destination misses; a wrong port is nearer than a protocol."""
    if found.prefix.version != question.destination.version:
        return (4, 0)
    if question.destination not in found.prefix:
        number = int(question.destination)
        first, last = found.prefix.network_address, found.prefix.broadcast_address
        return (3, max(int(first) - number, number - int(last)))
    if not _speaks(found, question.protocol):
        return (2, _port_distance(found, question.port))
    return (1, _port_distance(found, question.port))


def _speaks(found: Destination, protocol: int) -> bool:
    """Return whether a destination takes this protocol."""
    return found.protocol is Protocol.ANY or NUMBERS[found.protocol] == protocol


def _port_distance(found: Destination, port: int | None) -> int:
    """Return how many ports lie between; none where there are no ports."""
    if found.ports is None or port is None:
        return 0
    return max(found.ports.first - port, port - found.ports.last, 0)


def _nearness(
    judged: tuple[Candidate, tuple[int, int]],
) -> tuple[int, tuple[int, int], int]:
    """Order candidates: fewest failures, then the nearest miss, then by id."""
    candidate, distance = judged
    return (len(candidate.failures), distance, candidate.grant.id)

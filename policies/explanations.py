"""May this person reach that, and why: from the tables, or from stored snapshots.

Not a gate: whoever calls has made sure that the viewer may ask about this person.

For now and for later the tables are judged, and a gateway that does not enforce them
yet says so. For a moment that is past the snapshots are, each gateway by the one it
had acknowledged. The number of queries does not grow with what there is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from peers.models import AddressPool, Device
from peers.selectors import enrolled_gateways
from policies.asked import (
    World,
    holding_of,
    is_near,
    read_world,
    refusal_of,
    stored_grant,
    subjects_of,
    unless_locked,
)
from policies.compiler.explain import (
    explain,
    holdings_in_snapshot,
    policy_of_snapshot,
    reaches_address,
)
from policies.compiler.explanation import Asker, Condition, Explanation, Failure, Policy
from policies.compiler.types import (
    NOTHING_RESOLVED,
    SubjectKind,
    network,
)
from policies.facts import grant_of
from policies.history import Position, Standing, names_at, standings_at
from policies.models import Publication, Resolution
from policies.resolutions import (
    ToldName,
    fresh_reports,
    resolved_by,
    told_names,
)
from portal.accounts.models import Group

if TYPE_CHECKING:
    from datetime import datetime

    from peers.models import Gateway
    from policies.compiler.explanation import Question
    from policies.compiler.types import Grant, Resolved
    from portal.accounts.models import User

NOWHERE: Final = 0
"""The gateway of what no gateway serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAnswer:
    """What one gateway says, and by which generation.

    `gateway` is None for what no gateway serves. `enforces` is what the gateway does
    by the generation in force where that is not yet the policy; else None. `problem`
    says why its snapshot cannot be read, or why its policy does not compile. `told`
    is what the host names that matter stand for at present.
    """

    gateway: Gateway | None
    explanation: Explanation | None
    position: Position | None
    is_acknowledged: bool
    pending: Position | None
    enforces: bool | None
    problem: str
    told: tuple[ToldName, ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Whether the packet passes here."""
        return self.explanation is not None and self.explanation.is_allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The whole answer; `names` says what each machine id was called."""

    person: User
    device: Device | None
    question: Question
    is_past: bool
    is_supposed: bool
    gateways: tuple[GatewayAnswer, ...]
    names: Mapping[str, str]

    @property
    def is_allowed(self) -> bool:
        """Whether any gateway lets it pass."""
        return any(found.is_allowed for found in self.gateways)


def answer(
    person: User,
    device: Device | None,
    question: Question,
    *,
    now: datetime,
    with_others: bool,
    is_supposed: bool = False,
) -> Answer:
    """Answer from the tables, or for a past moment from what was stored then.

    The best gateway comes first: one that allows, then one whose applications hold
    the address. Where any does, the others are left out. `with_others` is for those
    who may read all policy: it tells also of the grants of other people. What is
    supposed is in the tables of this transaction only; no gateway knows of it.
    """
    is_past = question.at < now
    world = read_world(person, device, question, with_others=with_others)
    answers = (
        _answers_then(person, world, question)
        if is_past
        else _answers_now(person, world, question, now, is_supposed=is_supposed)
    )
    return Answer(
        person=person,
        device=device,
        question=question,
        is_past=is_past,
        is_supposed=is_supposed,
        gateways=tuple(answers),
        names=_names(answers, world, question.at if is_past else None),
    )


def _answers_now(
    person: User,
    world: World,
    question: Question,
    now: datetime,
    *,
    is_supposed: bool,
) -> Sequence[GatewayAnswer]:
    pools = [
        network(text) for text in AddressPool.objects.values_list("prefix", flat=True)
    ]
    grants = [stored_grant(row) for row in world.grants]
    locked = frozenset(lock.application_id or 0 for lock in world.locks)
    asker = Asker(
        user_id=person.pk,
        is_enabled=person.is_active,
        subjects=subjects_of(person, world),
        holdings=tuple(
            holding_of(row, subjects_of(person, world), question.at)
            for row in world.devices
        ),
        proof=world.proof,
    )

    reports = fresh_reports(world.serving.keys(), now=now)

    def judge(gateway_id: int, served: frozenset[int]) -> Explanation:
        policy = Policy(
            gateway_id=gateway_id,
            resolved=resolved_by(reports.get(gateway_id)),
            pools=tuple(pools),
            applications=tuple(world.applications.values()),
            served=served,
            locked=locked,
            grants=tuple(
                grant
                for grant in grants
                if grant.application_id in served
                or is_near(world, grant.application_id, question)
            ),
        )
        holdings = tuple(
            unless_locked(holding, world, gateway_id) for holding in asker.holdings
        )
        return explain(policy, replace(asker, holdings=holdings), question)

    candidates = {grant.application_id for grant in grants}
    gateways = _relevant(
        {pk: served & candidates for pk, served in world.serving.items()},
        world,
        question,
    )
    if not gateways:
        return [_nowhere(judge(NOWHERE, frozenset()))]
    found = {pk: judge(pk, world.serving[pk]) for pk in gateways}
    if is_supposed:
        known = enrolled_gateways().filter(pk__in=found)
        return _ordered(
            replace(
                _published_nowhere(row, found[row.pk]),
                told=told_names(found[row.pk].hosts, [row], reports),
            )
            for row in known
        )
    return _ordered(
        _with_standing(person, world, question, found, reports=reports, now=now)
    )


def _relevant(
    serving: Mapping[int, Collection[int]], world: World, question: Question
) -> Collection[int]:
    """Return the gateways that stand before the address, else before anything."""
    near = [
        pk
        for pk, numbers in serving.items()
        if any(is_near(world, number, question) for number in numbers)
    ]
    return near or [pk for pk, numbers in serving.items() if numbers]


def _with_standing(
    person: User,
    world: World,
    question: Question,
    found: Mapping[int, Explanation],
    *,
    reports: Mapping[int, Resolution],
    now: datetime,
) -> Sequence[GatewayAnswer]:
    """Say beside each verdict what the gateway enforces at this moment."""
    standings = {
        standing.gateway.pk: standing
        for standing in standings_at(now, gateway_ids=found.keys())
    }
    publications = {
        row.gateway_id: row for row in Publication.objects.filter(gateway__in=found)
    }
    answers = []
    for gateway in enrolled_gateways().filter(pk__in=found):
        standing, publication = standings.get(gateway.pk), publications.get(gateway.pk)
        is_stale = publication is None or publication.stale_since is not None
        enforces = None
        if standing is None or not standing.is_acknowledged:
            enforces = False
        elif is_stale or standing.pending:
            held = _past(
                person,
                world,
                replace(question, at=now),
                standing,
                resolved=resolved_by(reports.get(gateway.pk)),
            )
            enforces = held.is_allowed if held else None
        answers.append(
            GatewayAnswer(
                gateway=gateway,
                explanation=found[gateway.pk],
                position=standing.position if standing else None,
                is_acknowledged=standing is not None and standing.is_acknowledged,
                pending=standing.pending if standing else None,
                enforces=enforces,
                problem=publication.failure if publication else "",
                told=told_names(found[gateway.pk].hosts, [gateway], reports),
            )
        )
    return answers


def _answers_then(
    person: User, world: World, question: Question
) -> Sequence[GatewayAnswer]:
    answers = [
        GatewayAnswer(
            gateway=standing.gateway,
            explanation=_past(person, world, question, standing),
            position=standing.position,
            is_acknowledged=standing.is_acknowledged,
            pending=standing.pending,
            enforces=None,
            problem=standing.problem,
        )
        for standing in standings_at(question.at)
    ]
    if not world.with_others:
        answers = [found for found in answers if _is_told(found.explanation)]
    near = [
        found
        for found in answers
        if found.explanation is None
        or found.is_allowed
        or any(
            _misses_near(candidate.failures)
            for candidate in found.explanation.candidates
        )
    ]
    return _ordered(near or answers) or [_nowhere(None)]


def _is_told(explanation: Explanation | None) -> bool:
    """Return whether a gateway's answer has anything of the person's own."""
    return explanation is not None and bool(
        explanation.grants or explanation.candidates
    )


def _past(
    person: User,
    world: World,
    question: Question,
    standing: Standing,
    *,
    resolved: Resolved = NOTHING_RESOLVED,
) -> Explanation | None:
    """Return what a gateway said by a stored snapshot.

    What host names stood for then is stored nowhere but in the log.
    """
    content = standing.content
    if content is None:
        return None
    served = world.serving.get(standing.gateway.pk, frozenset())
    held = {application.id for application in content.applications}
    subjects = subjects_of(person, world)
    policy = policy_of_snapshot(
        content,
        others=[
            stored_grant(row)
            for row in world.grants
            if row.application_id in served | held and grant_of(row).subject in subjects
        ],
    )
    holdings = holdings_in_snapshot(
        content,
        subjects,
        {row.pk: refusal_of(row, question.at) for row in world.devices},
    )
    # Who was a peer was not cut off yet, whatever the tables said by then.
    is_peer = any(holding.refusal is None for holding in holdings)
    gone = not person.is_active and (
        person.revoked_at is None or person.revoked_at <= question.at
    )
    asker = Asker(
        user_id=person.pk,
        is_enabled=is_peer or not gone,
        subjects=subjects,
        holdings=holdings,
    )
    policy = replace(policy, resolved=resolved)
    return explain(_narrowed(policy, asker, question, world), asker, question)


def _narrowed(policy: Policy, asker: Asker, question: Question, world: World) -> Policy:
    """Leave out the grants of others on what is somewhere else."""
    own = asker.subjects.union(*(holding.subjects for holding in asker.holdings))
    near = {
        application.id
        for application in policy.applications
        if world.with_others and reaches_address(application, question.destination)
    }
    return replace(
        policy,
        grants=tuple(
            grant
            for grant in policy.grants
            if grant.application_id in near or grant.subject in own
        ),
    )


def _ordered(answers: Iterable[GatewayAnswer]) -> Sequence[GatewayAnswer]:
    return sorted(answers, key=lambda found: not found.is_allowed)


def _nowhere(explanation: Explanation | None) -> GatewayAnswer:
    return _published_nowhere(None, explanation)


def _published_nowhere(
    gateway: Gateway | None, explanation: Explanation | None
) -> GatewayAnswer:
    return GatewayAnswer(
        gateway=gateway,
        explanation=explanation,
        position=None,
        is_acknowledged=False,
        pending=None,
        enforces=None,
        problem="",
    )


def _misses_near(failures: Iterable[Failure]) -> bool:
    return all(found.condition is not Condition.WRONG_DESTINATION for found in failures)


def _names(
    answers: Iterable[GatewayAnswer], world: World, at: datetime | None
) -> Mapping[str, str]:
    """Return what everything that is named in the answers was called."""
    told: list[Grant] = []
    for found in answers:
        if found.explanation is not None:
            told += found.explanation.grants
            told += (candidate.grant for candidate in found.explanation.candidates)
    numbers = {grant.application_id for grant in told}
    people = {g.subject.id for g in told if g.subject.kind is SubjectKind.USER}
    groups = {g.subject.id for g in told if g.subject.kind is SubjectKind.GROUP}
    names = {
        f"{prefix}_{pk}": name
        for prefix, found in (
            ("ap", names_at("application", numbers, at)),
            ("gt", names_at("grant", (grant.id for grant in told), at)),
            ("us", names_at("person", people, at)),
            ("dv", names_at("device", (row.pk for row in world.devices), at)),
        )
        for pk, name in found.items()
    }
    for group in Group.objects.filter(pk__in=groups):
        names[group.ref.id] = group.name
    return names

"""A reduced snapshot is the earlier one less what has ended. No database."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest

from policies.compiler.compile import compile_snapshot
from policies.compiler.conditions import (
    ApprovedDevice,
    Hours,
    Requirement,
    sorted_requirements,
)
from policies.compiler.strictness import ORDINARY, Evidence, Strictness
from policies.compiler.types import (
    NEVER,
    Application,
    Destination,
    Device,
    Facts,
    Grant,
    PortRange,
    Protocol,
    Snapshot,
    Subject,
    SubjectKind,
)
from policies.reduction import reduced_snapshot
from tests.policies.compiler.build import hours

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
TEAM = Subject(kind=SubjectKind.GROUP, id=4)
ALICE = Subject(kind=SubjectKind.USER, id=1)


def device(number: int, user_id: int) -> Device:
    return Device(
        id=number,
        user_id=user_id,
        public_key=base64.b64encode(bytes([number + 9]) * 31 + b"\0").decode(),
        addresses=(ip_address(f"100.64.0.{number}"),),
        expires_at=NEVER,
    )


def destination(prefix: str) -> Destination:
    return Destination(
        prefix=ip_network(prefix),
        protocol=Protocol.TCP,
        ports=PortRange(first=443, last=443),
    )


def grant(number: int, subject: Subject, application: int) -> Grant:
    return Grant(
        id=number,
        subject=subject,
        application_id=application,
        not_before=NOW,
        expires_at=NEVER,
        hours=None,
        requires=(),
    )


WIKI = Application(id=1, destinations=(destination("10.1.0.0/24"),))
CRM = Application(
    id=2, destinations=(destination("10.2.0.0/24"), destination("10.3.0.0/24"))
)
FACTS = Facts(
    deployment="peerage",
    gateway_id=1,
    listen_port=51820,
    pools=(ip_network("100.64.0.0/24"),),
    devices=(device(1, 1), device(2, 2)),
    memberships=((1, 4), (2, 4)),
    applications=(WIKI, CRM),
    grants=(grant(1, TEAM, 1), grant(2, ALICE, 2)),
    revoked_keys=(),
)
EARLIER = compile_snapshot(FACTS, epoch=1, generation=1, now=NOW)


def reduced(facts: Facts, *, now: datetime = NOW) -> Snapshot:
    return reduced_snapshot(EARLIER, facts, epoch=1, generation=2, now=now)


def test_nothing_ended_is_the_same_policy() -> None:
    assert reduced(FACTS) == replace(EARLIER, generation=2)


def test_nothing_new_appears() -> None:
    facts = replace(
        FACTS,
        devices=(*FACTS.devices, device(3, 1)),
        applications=(*FACTS.applications, Application(id=3, destinations=())),
        grants=(*FACTS.grants, grant(3, ALICE, 1)),
        memberships=(*FACTS.memberships, (3, 4)),
    )
    assert reduced(facts) == replace(EARLIER, generation=2)


def test_revoked_device_is_gone_and_its_key_named() -> None:
    key = FACTS.devices[0].public_key
    found = reduced(replace(FACTS, devices=FACTS.devices[1:], revoked_keys=(key,)))
    assert [peer.device_id for peer in found.peers] == [2]
    assert found.revoked_keys == (key,)
    assert all(1 not in members.device_ids for members in found.subjects)


def test_key_named_revoked_is_gone_whatever_the_devices_say() -> None:
    key = FACTS.devices[0].public_key
    found = reduced(replace(FACTS, revoked_keys=(key,)))
    assert [peer.device_id for peer in found.peers] == [2]


def test_device_with_another_key_is_gone() -> None:
    changed = replace(FACTS.devices[0], public_key=device(7, 1).public_key)
    found = reduced(replace(FACTS, devices=(changed, FACTS.devices[1])))
    assert [peer.device_id for peer in found.peers] == [2]


def test_who_left_the_group_keeps_only_their_own() -> None:
    found = reduced(replace(FACTS, memberships=((2, 4),)))
    assert {m.subject: m.device_ids for m in found.subjects} == {
        ALICE: (1,),
        TEAM: (2,),
    }


def test_ended_grant_takes_its_application_and_people_along() -> None:
    found = reduced(replace(FACTS, grants=FACTS.grants[:1], memberships=((2, 4),)))
    assert [item.id for item in found.grants] == [1]
    assert [item.id for item in found.applications] == [1]
    assert [peer.device_id for peer in found.peers] == [2]


def test_expired_grant_is_gone() -> None:
    soon = NOW + timedelta(hours=1)
    ending = replace(FACTS.grants[1], expires_at=soon)
    found = reduced(replace(FACTS, grants=(FACTS.grants[0], ending)), now=soon)
    assert [item.id for item in found.grants] == [1]


@pytest.mark.parametrize(
    ("applications", "expected"),
    [
        ((WIKI, replace(CRM, destinations=CRM.destinations[:1])), {1: 1, 2: 1}),
        ((WIKI, replace(CRM, destinations=())), {1: 1}),
        ((WIKI,), {1: 1}),
    ],
    ids=["one destination", "every destination", "the application"],
)
def test_removed_destination_is_gone(
    applications: tuple[Application, ...], expected: dict[int, int]
) -> None:
    found = reduced(replace(FACTS, applications=applications))
    assert {a.id: len(a.destinations) for a in found.applications} == expected
    assert {item.application_id for item in found.grants} == set(expected)


def demanding(facts: Facts, *wanted: Requirement, week: Hours | None = None) -> Facts:
    """Return facts whose second grant, Alice's, has conditions."""
    last = replace(facts.grants[1], requires=sorted_requirements(wanted), hours=week)
    return replace(facts, grants=(facts.grants[0], last))


def approved(facts: Facts, *, is_approved: bool = True) -> Facts:
    """Return facts whose first device, Alice's, is approved."""
    first = replace(facts.devices[0], is_approved=is_approved)
    return replace(facts, devices=(first, *facts.devices[1:]))


STRICT = approved(demanding(FACTS, ApprovedDevice()))


def reduced_from(before: Facts, after: Facts, now: datetime = NOW) -> Snapshot:
    earlier = compile_snapshot(before, epoch=1, generation=1, now=NOW)
    return reduced_snapshot(earlier, after, epoch=1, generation=2, now=now)


def test_terms_become_stricter_and_never_less_strict() -> None:
    quick = Strictness(max_staleness=120)
    lax = Strictness(evidence=Evidence.BEST_EFFORT)
    facts = replace(
        FACTS,
        applications=(replace(WIKI, strictness=quick), replace(CRM, strictness=lax)),
    )
    found = {a.id: a.strictness for a in reduced(facts).applications}
    assert found == {1: quick, 2: ORDINARY}


def test_what_is_held_still_stays() -> None:
    (part,) = reduced_from(STRICT, STRICT).conditions
    assert [holder.device_id for holder in part.holders] == [1]


def test_a_withdrawn_approval_is_gone_and_a_new_one_is_not_there() -> None:
    for before, after in (
        (STRICT, approved(STRICT, is_approved=False)),
        (approved(STRICT, is_approved=False), STRICT),
    ):
        (part,) = reduced_from(before, after).conditions
        assert part.holders == ()


def test_a_device_that_is_gone_holds_nothing() -> None:
    (part,) = reduced_from(
        STRICT, replace(STRICT, devices=STRICT.devices[1:])
    ).conditions
    assert part.holders == ()


def test_a_grant_that_demands_more_is_gone_with_what_it_demanded() -> None:
    found = reduced_from(FACTS, STRICT)
    assert [grant.id for grant in found.grants] == [1]
    assert found.conditions == ()


def test_hours_that_closed_end_a_grant_and_shorter_ones_shorten_it() -> None:
    open_now = demanding(FACTS, week=hours("mon 08:00-14:00"))
    shorter = demanding(FACTS, week=hours("mon 08:00-13:00"))
    assert [g.id for g in reduced_from(open_now, shorter).grants] == [1, 2]
    assert reduced_from(open_now, shorter).grants[1].expires_at == NOW + HOUR
    assert reduced_from(shorter, open_now).grants[1].expires_at == NOW + HOUR
    assert [g.id for g in reduced_from(open_now, shorter, NOW + HOUR).grants] == [1]

"""Applying a policy file: one transaction, through the services that pages use.

* What is read, judged and changed is read inside the transaction; a refusal changes
  nothing.
* The order is: applications, ends, grants. Gateways hear of all of it at once, when it
  commits.
* Every change is an event of its service; the file as a whole is one more, refused or
  applied.
* Applying a file again changes nothing.
* What was applied is kept as it was sent, also when only its comments are new.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import transaction

from audit.events import EventCode, Outcome
from audit.services import Json, record
from peers.models import Gateway
from policies import services
from policies.compiler.errors import CompilerError
from policies.compiler.strictness import ORDINARY
from policies.compiler.types import NEVER, SubjectKind
from policies.conditions import given_conditions
from policies.dialect.document import ALWAYS
from policies.dialect.errors import DialectError
from policies.errors import PolicyError
from policies.models import Application, Grant, Label, LabelGrant
from policies.policy_files.documents import PolicyFile, open_policy
from policies.policy_files.errors import BrakeError, FailedTestsError
from policies.policy_files.planning import Plan, Wanted, inputs, plan_policy
from policies.policy_files.state import read_state
from policies.policy_files.versions import (
    DENY_ALL,
    check_etag,
    is_newest,
    keep_version,
)
from policies.services.publishing import hold_gateways, hold_users
from portal.accounts.models import Group, User

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from audit.actor import Actor

REASON_LENGTH: Final = 1000
"""Of many problems the log keeps the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was read, and what was done."""

    file: PolicyFile
    plan: Plan


def apply_policy(
    source: bytes | str,
    *,
    gateways: Collection[str] = (),
    is_confirmed: bool = False,
    expected: str | None = None,
    actor: Actor,
    now: datetime,
) -> Applied:
    """Make the portal's policy what a file says; an empty file denies all.

    Without `is_confirmed` the brake holds: a file that takes something from more than
    `PEERAGE_POLICY_BRAKE_PERCENT` of those who reach anything is refused. `expected`
    is the ETag of the policy that the writer has seen.

    Raises:
        DialectError: the file is malformed or out of the dialect's subset.
        FailedTestsError: one of its tests fails.
        BrakeError: too many people would lose something.
        StaleFileError: the policy is not the expected one any more.
        PolicyError: the portal cannot do what it says.
    """
    digest = sha256(source.encode() if isinstance(source, str) else source).hexdigest()
    try:
        with transaction.atomic():
            done = _judged(
                source, gateways, is_confirmed=is_confirmed, expected=expected, now=now
            )
            text = _text(source)
            if not (done.plan.is_empty and is_newest(text)):
                _change(done.plan, actor, now)
                kept = keep_version(text, actor=actor, now=now)
                details = {
                    "sha256": digest,
                    "etag": kept.etag,
                    **_details(done.plan, is_confirmed=is_confirmed),
                }
                record(
                    EventCode.POLICY_APPLY,
                    actor=actor,
                    now=now,
                    target=kept.ref,
                    details=details,
                )
    except (CompilerError, DialectError, PolicyError) as exc:
        record(
            EventCode.POLICY_APPLY,
            actor=actor,
            now=now,
            outcome=Outcome.REFUSED,
            reason=str(exc)[:REASON_LENGTH],
            details={"sha256": digest},
        )
        raise
    return done


def supposed_plan(
    source: bytes | str, *, gateways: Collection[str], now: datetime
) -> Plan:
    """Return what a file would change; changes nothing and locks nothing.

    Neither its tests nor the brake stop it: somebody asks what would be.

    Raises:
        DialectError: the file is malformed or out of the dialect's subset.
        PolicyError: the portal cannot do what it says.
    """
    state = read_state(now=now)
    file = open_policy(source, state, now=now)
    return plan_policy(file.definition, state, gateways=gateways, now=now)


def suppose(plan: Plan, *, actor: Actor, now: datetime) -> None:
    """Do what a plan says, in a transaction that the caller takes back.

    Raises:
        PolicyError: the portal cannot do what it says.
    """
    _change(plan, actor, now)


def _judged(
    source: bytes | str,
    gateways: Collection[str],
    *,
    is_confirmed: bool,
    expected: str | None,
    now: datetime,
) -> Applied:
    """Return what is to be done, unless it must not be."""
    # Whoever applies at the same time waits here, and then sees what we did.
    # Labels before applications, as in their services; no key changes, so that rows
    # which name them can be made meanwhile.
    for rows in (Label.objects.all(), Application.objects.all()):
        held = rows.select_for_update(no_key=True).order_by("pk")
        [*held.values_list("pk")]
    state = read_state(now=now)
    if expected is not None:
        check_etag(expected, state, now=now)
    file = open_policy(source, state, now=now)
    _check_tests(file)
    plan = plan_policy(file.definition, state, gateways=gateways, now=now)
    if not is_confirmed:
        _check_brake(plan)
    return Applied(file=file, plan=plan)


def _text(source: bytes | str) -> str:
    """Return a file's text; the empty file has words for what it means."""
    text = source if isinstance(source, str) else source.decode()
    return text if text.strip() else DENY_ALL


def _details(plan: Plan, *, is_confirmed: bool) -> dict[str, Json]:
    """Return the size of a change, for the log."""
    return {
        "is_confirmed": is_confirmed,
        "applications_created": len(plan.created),
        "applications_changed": len(plan.changed),
        "grants_created": len(plan.granted),
        "grants_ended": len(plan.ended) + len(plan.labels_ended),
        "people_losing": len(plan.effect.losers),
    }


def _check_tests(file: PolicyFile) -> None:
    """Refuse a file that is not what its author claims."""
    if file.failed:
        told = "\n".join(
            f"test of {report.test.source}: {problem}"
            for report in file.failed
            for problem in report.problems
        )
        msg = f"{len(file.failed)} tests failed, nothing is applied\n{told}"
        raise FailedTestsError(msg, file.failed)


def _check_brake(plan: Plan) -> None:
    """Refuse to take something from many people at once."""
    percent = settings.PEERAGE_POLICY_BRAKE_PERCENT
    large = plan.braking(percent=percent)
    if large is not None:
        msg = (
            f"{len(large.losers)} of {len(large.holders)} people with access would lose"
            f" something, more than {percent} %"
        )
        raise BrakeError(msg)


def _change(plan: Plan, actor: Actor, now: datetime) -> None:
    """Do what a plan says."""
    hold_users(
        {
            wanted.subject.id
            for wanted, _ in plan.granted
            if wanted.subject.kind is SubjectKind.USER
        }
    )
    hold_gateways(None)
    rows = Application.objects.in_bulk()
    applications = {name: rows[pk] for name, pk in plan.state.applications.items()}
    _change_applications(plan, applications, actor, now)
    for grant in Grant.objects.filter(pk__in=[grant.id for grant in plan.ended]):
        services.end_grant(grant=grant, actor=actor, now=now)
    for found in LabelGrant.objects.filter(pk__in=[g.id for g in plan.labels_ended]):
        services.end_label_grant(grant=found, actor=actor, now=now)
    labels = {str(label): label for label in Label.objects.all()}
    for wanted, comment in plan.granted:
        terms = _terms(wanted, comment, actor, now)
        if wanted.application in labels:
            services.create_label_grant(label=labels[wanted.application], **terms)
        else:
            services.create_grant(application=applications[wanted.application], **terms)


def _terms(wanted: Wanted, comment: str, actor: Actor, now: datetime) -> dict[str, Any]:
    """Return what both kinds of grants are made with."""
    is_user = wanted.subject.kind is SubjectKind.USER
    number = wanted.subject.id
    return {
        "user": User.objects.get(pk=number) if is_user else None,
        "group": None if is_user else Group.objects.get(pk=number),
        "not_before": None if wanted.not_before == ALWAYS else wanted.not_before,
        "expires_at": None if wanted.expires_at == NEVER else wanted.expires_at,
        "conditions": given_conditions(wanted.conditions),
        "reason": comment,
        "actor": actor,
        "now": now,
    }


def _change_applications(
    plan: Plan, applications: dict[str, Application], actor: Actor, now: datetime
) -> None:
    """Describe what is new and what has changed; add the new ones to `applications`."""
    for wanted in plan.changed:
        found = applications[wanted.name]
        services.update_application(
            application=found,
            name=found.name,
            description=found.description,
            destinations=inputs(wanted),
            gateways=found.gateways.all(),
            terms=wanted.terms,
            actor=actor,
            now=now,
        )
    served_by = [*Gateway.objects.filter(pk__in=plan.served_by)]
    for wanted in plan.created:
        applications[wanted.name] = services.create_application(
            name=wanted.name,
            destinations=inputs(wanted),
            gateways=served_by,
            terms=wanted.terms or ORDINARY,
            actor=actor,
            now=now,
        )

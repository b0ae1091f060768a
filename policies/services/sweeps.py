"""What time alone changes: due snapshots, silent agents, tokens past their use.

Each is safe to run twice and at once in several processes. Security does not wait
for them: the kernel ends grants by itself, and a snapshot never holds an ended one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.services import record
from peers.models import (
    EnrolmentChallenge,
    Gateway,
    GatewayEnrolmentToken,
    GatewayState,
)
from policies.models import AgentState, Snapshot
from policies.notices import latest_number
from policies.services.publishing import publish_due

LOST_AFTER: Final = timedelta(seconds=90)
"""An agent asks anew at least every 25 seconds; three silences are no accident."""
KEEP_TOKENS: Final = timedelta(days=30)


def republish_due_snapshots(*, now: datetime) -> list[Snapshot]:
    """Publish where a grant began or ended, or where a publisher died half-way."""
    due = (
        Q(publication__isnull=True)
        | Q(publication__snapshot__isnull=True)
        | Q(publication__next_change_at__lte=now)
        | Q(publication__stale_since__isnull=False)
        | Q(publication__notices__lt=latest_number())
    )
    return publish_due(due, cause="sweep", actor=SYSTEM, now=now)


def report_lost_agents(*, now: datetime) -> list[Gateway]:
    """Report each agent that has gone silent, once, until it has spoken again."""
    lost: list[Gateway] = []
    silent = Gateway.objects.filter(state=GatewayState.ENROLLED).annotate(
        heard_at=Coalesce("seen_at", "enrolled_at")
    )
    for gateway in silent.filter(heard_at__lt=now - LOST_AFTER):
        AgentState.objects.get_or_create(gateway=gateway)
        with transaction.atomic():
            told = (
                AgentState.objects.filter(gateway=gateway)
                .exclude(lost_since=gateway.heard_at)
                .update(lost_since=gateway.heard_at)
            )
            if told:
                lost.append(gateway)
                record(
                    EventCode.AGENT_LOST,
                    actor=SYSTEM,
                    now=now,
                    outcome=Outcome.ALERT,
                    gateway=gateway.ref,
                    details={"heard_at": gateway.heard_at.isoformat()},
                )
    return lost


def report_agents_back(*, now: datetime) -> list[Gateway]:
    """Report each agent that was lost and has spoken since, once."""
    back: list[Gateway] = []
    spoken = AgentState.objects.filter(
        lost_since__isnull=False,
        gateway__state=GatewayState.ENROLLED,
        gateway__seen_at__gt=F("lost_since"),
    )
    for state in spoken.select_related("gateway"):
        with transaction.atomic():
            told = AgentState.objects.filter(
                pk=state.pk, lost_since=state.lost_since
            ).update(lost_since=None)
            if told:
                back.append(state.gateway)
                record(
                    EventCode.AGENT_BACK,
                    actor=SYSTEM,
                    now=now,
                    gateway=state.gateway.ref,
                    details={
                        "lost_since": _text(state.lost_since),
                        "heard_at": _text(state.gateway.seen_at),
                    },
                )
    return back


def _text(moment: datetime | None) -> str:
    assert moment is not None  # noqa: S101 -- the query says so
    return moment.isoformat()


def clean_up(*, now: datetime) -> int:
    """Delete challenges past their end and enrolment tokens nobody can use."""
    challenges, _ = EnrolmentChallenge.objects.filter(expires_at__lt=now).delete()
    tokens, _ = GatewayEnrolmentToken.objects.filter(
        expires_at__lt=now - KEEP_TOKENS
    ).delete()
    return challenges + tokens

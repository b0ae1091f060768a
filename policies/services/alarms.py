"""Facts of this app that raise alarms; rules and alarms are those of `audit.alarms`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import prefetch_related_objects

from audit.alarms.findings import Evidence, Finding, SeenFlow, Subjects
from audit.alarms.judging import late_revocation
from audit.alarms.models import Alarm
from audit.alarms.parameters import REVOCATION_SECONDS
from audit.alarms.services import raise_findings, tuning
from audit.alarms.watching import judge_sightings, watch
from peers.models import GatewayState
from policies.models import RevocationTarget, TunnelSighting

LATEST: Final = timedelta(days=30)
"""A revocation that was not confirmed for so long has had its alarm."""
BATCH: Final = 500


def watch_revocations(*, now: datetime) -> list[Alarm]:
    """Raise an alarm for each gateway that did not confirm a revocation in time."""
    found = tuning()
    late = (
        RevocationTarget.objects.filter(
            enforced_at__isnull=True,
            revocation__requested_at__range=(
                now - LATEST,
                now - found.seconds(REVOCATION_SECONDS),
            ),
        )
        .exclude(gateway__state=GatewayState.RETIRED)
        .select_related("revocation__user", "gateway")
        .order_by("-revocation__requested_at")
    )
    findings = []
    for target in late[:BATCH]:
        finding = late_revocation(
            key=f"rv_{target.revocation_id} {target.gateway.ref.id}",
            revocation=Evidence(
                kind="revocation",
                reference=str(target.revocation_id),
                at=target.revocation.requested_at,
                text=f"revocation of {target.revocation.user}",
            ),
            person=target.revocation.user.ref,
            gateway=target.gateway.ref,
            tuning=found,
            now=now,
        )
        if finding is not None:
            findings.append(finding)
    return raise_findings(findings, now=now)


def watch_sightings(*, now: datetime) -> int:
    """Judge which devices shook hands after a long silence; return how many rows."""
    return watch("sightings", TunnelSighting, _judge, now=now)


def _judge(rows: Sequence[TunnelSighting], now: datetime) -> Iterable[Finding]:
    prefetch_related_objects(rows, "device__owner", "gateway")
    return judge_sightings(
        [
            SeenFlow(
                reference="",
                at=min(row.seen_at, now),
                is_denied=False,
                subjects=Subjects(
                    person=row.device.owner.ref,
                    device=row.device.ref,
                    gateway=row.gateway.ref,
                ),
            )
            for row in rows
        ]
    )

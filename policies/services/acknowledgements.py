"""What gateways did with what they were given; revocations close here.

A generation is in force when the gateway applied it *and* what its kernel then held
has the digest that the compiler expects. Anything less is a failure that is logged.
What is expected is a function of what was signed. It is computed with a small snapshot,
and of a large one when it is first asked for: nobody waits for it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from audit.events import EventCode, Outcome
from audit.services import record
from policies.compiler.envelope import open_envelope
from policies.compiler.errors import CompilerError
from policies.compiler.holdings import expected_holdings
from policies.compiler.snapshot import parse_snapshot
from policies.errors import AcknowledgementError
from policies.models import Acknowledgement, RevocationTarget, Snapshot
from policies.services.refusals import refuse_gateway_request
from policies.services.revocations import close_target

if TYPE_CHECKING:
    from audit.actor import Actor
    from peers.models import Gateway
    from policies.reports import AcknowledgementReport


def record_acknowledgement(
    *, gateway: Gateway, report: AcknowledgementReport, actor: Actor, now: datetime
) -> Acknowledgement:
    """Record what a gateway reports; close the revocations it enforces.

    A report that was sent twice is recorded once.

    Raises:
        AcknowledgementError: that generation was never issued to this gateway.
    """
    snapshot = (
        Snapshot.objects.defer("envelope")
        .filter(gateway=gateway, epoch=report.epoch, generation=report.generation)
        .first()
    )
    if snapshot is None:
        msg = f"generation {report.epoch}.{report.generation} was never issued to it"
        refuse_gateway_request(
            gateway=gateway, channel="acks", reason=msg, actor=actor, now=now
        )
        raise AcknowledgementError(msg)
    failure = _failure(snapshot, report)
    with transaction.atomic():
        known = Acknowledgement.objects.filter(
            gateway=gateway,
            epoch=report.epoch,
            generation=report.generation,
            received_at=report.received_at,
            applied_at=report.applied_at,
            observed_digest=report.observed_digest,
            error=report.error,
        ).first()
        if known is not None:
            return known
        return _record(gateway, report, failure, actor, now)


def expected_digest(snapshot: Snapshot) -> str:
    """Return the digest of what a kernel holds when this snapshot is in force.

    A function of the signed bytes alone, so it does not matter who is first to keep it.

    Raises:
        CompilerError: the bytes are no snapshot, as this version reads them.
    """
    if not snapshot.holdings_digest:
        envelope = open_envelope(snapshot.envelope.encode())
        snapshot.holdings_digest = expected_holdings(parse_snapshot(envelope.payload))
        snapshot.save(update_fields=["holdings_digest"])
    return snapshot.holdings_digest


def _record(
    gateway: Gateway,
    report: AcknowledgementReport,
    failure: str,
    actor: Actor,
    now: datetime,
) -> Acknowledgement:
    acknowledgement = Acknowledgement.objects.create(
        gateway=gateway,
        epoch=report.epoch,
        generation=report.generation,
        received_at=report.received_at,
        applied_at=report.applied_at,
        recorded_at=now,
        in_force=not failure,
        observed_digest=report.observed_digest,
        flows_cut=report.flows_cut,
        timings=dict(report.timings),
        error=report.error,
    )
    record(
        EventCode.GATEWAY_APPLY_FAILED if failure else EventCode.GATEWAY_APPLY,
        actor=actor,
        now=now,
        outcome=Outcome.FAILED if failure else Outcome.DONE,
        gateway=gateway.ref,
        reason=failure,
        details={
            "epoch": report.epoch,
            "generation": report.generation,
            "applied_at": _text(report.applied_at),
            "observed_digest": report.observed_digest,
            "flows_cut": report.flows_cut,
            # Events hold no floats.
            "total_us": round(report.timings["total_ms"] * 1000),
            "agent_version": report.agent_version,
            "boot_id": report.boot_id,
        },
    )
    if not failure:
        _close_revocations(acknowledgement, gateway, actor, now)
    return acknowledgement


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _failure(snapshot: Snapshot, report: AcknowledgementReport) -> str:
    if report.error:
        return report.error
    if report.applied_at is None:
        return "not applied, and no reason given"
    try:
        expected = expected_digest(snapshot)
    except CompilerError as exc:
        # As after an upgrade that reads this format no longer.
        return f"what it should hold cannot be told: {exc}"
    if report.observed_digest != expected:
        return "the kernel holds something else than the snapshot says"
    return ""


def _close_revocations(
    acknowledgement: Acknowledgement, gateway: Gateway, actor: Actor, now: datetime
) -> None:
    # Generations count up over all epochs, so a later one covers an earlier one.
    waiting = RevocationTarget.objects.filter(
        gateway=gateway,
        generation__lte=acknowledgement.generation,
        enforced_at__isnull=True,
    ).select_related("revocation__user")
    for target in waiting.order_by("pk"):
        close_target(
            target,
            gateway=gateway,
            received_at=acknowledgement.received_at,
            applied_at=acknowledgement.applied_at or now,
            flows_cut=acknowledgement.flows_cut,
            timings=acknowledgement.timings,
            by={"generation": acknowledgement.generation},
            actor=actor,
            now=now,
        )

"""The page that shows, gateway by gateway, when a revocation was enforced."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.shortcuts import render
from django.views.decorators.http import require_safe

from policies import selectors as policies_selectors
from policies.stages import Stage, histogram, stages
from portal.accounts.access import person, reader_required
from portal.console.pages import page, paged

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpResponse

    from audit.http import PortalRequest
    from policies.models import Revocation, RevocationTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRow:
    """A gateway's part in a revocation."""

    target: RevocationTarget
    milliseconds: int | None
    stages: tuple[Stage, ...]
    closes_by: datetime
    is_overdue: bool


@require_safe
@reader_required
def revocation(request: PortalRequest, revocation_id: int) -> HttpResponse:
    found = policies_selectors.get_revocation_for(person(request), revocation_id)
    return page(
        request,
        "revocation_detail.html",
        title=f"Revocation of {found.user}",
        **_progress(found, request.received_at),
    )


@require_safe
@reader_required
def progress(request: PortalRequest, revocation_id: int) -> HttpResponse:
    """Answer a poll of the page; the last answer no longer polls."""
    found = policies_selectors.get_revocation_for(person(request), revocation_id)
    context = _progress(found, request.received_at)
    return render(request, "console/_revocation_progress.html", context)


@require_safe
@reader_required
def revocations(request: PortalRequest) -> HttpResponse:
    rows = policies_selectors.list_revocations_for(person(request))
    times = policies_selectors.times_of_revocations(person(request))
    bars = histogram(times)
    return page(
        request,
        "revocation_list.html",
        title="Revocations",
        pages=paged(request, rows),
        bars=bars,
        most=max((bar.count for bar in bars), default=0),
        measured=len(times),
    )


def _progress(revocation: Revocation, now: datetime) -> dict[str, Any]:
    rows = [_row(revocation, target, now) for target in revocation.targets.all()]
    slowest = max((row.milliseconds or 0 for row in rows), default=None)
    return {
        "revocation": revocation,
        "rows": rows,
        "devices": revocation.devices.all(),
        "flows_cut": sum(row.target.flows_cut or 0 for row in rows),
        "enforced": sum(row.milliseconds is not None for row in rows),
        "is_done": all(row.milliseconds is not None for row in rows),
        "slowest": slowest,
    }


def _row(revocation: Revocation, target: RevocationTarget, now: datetime) -> TargetRow:
    # A gateway that hears nothing goes on until the last lease it can hold ends;
    # that lease was signed before the revocation was committed (DESIGN §7).
    closes_by = (revocation.committed_at or revocation.requested_at) + timedelta(
        seconds=settings.PEERAGE_SNAPSHOT_LIFETIME_SECONDS
    )
    milliseconds = None
    if target.enforced_at is not None:
        milliseconds = round(
            (target.enforced_at - revocation.requested_at) / timedelta(milliseconds=1)
        )
    return TargetRow(
        target=target,
        milliseconds=milliseconds,
        stages=tuple(
            stage for stage in stages(revocation, target) if stage.after_ms is not None
        ),
        closes_by=closes_by,
        is_overdue=now >= closes_by,
    )

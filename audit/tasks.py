"""Jobs of the log."""

from __future__ import annotations

from datetime import UTC, datetime

from celery import shared_task

from audit import refusals


@shared_task(name="audit.report_refusals")
def report_refusals() -> None:
    """Record how many refusals were only counted in the minutes that are over."""
    refusals.report(now=datetime.now(UTC))  # noqa: TID251 -- a task is an edge

"""When jobs run. A job that waited for longer than its period was overtaken."""

from __future__ import annotations

from typing import Any, Final

PERIODS: Final = {
    "policies.republish_due_snapshots": 5.0,
    "policies.watch_for_alarms": 5.0,
    "alarms.watch": 5.0,
    "alarms.deliver": 5.0,
    "policies.report_lost_agents": 15.0,
    "audit.report_refusals": 60.0,
    "policies.tend_requests": 60.0,
    "policies.tend_reviews": 60.0,
    "policies.clean_up": 600.0,
    "alarms.clean_up": 600.0,
}
"""Seconds between two runs of a task."""


def beat() -> dict[str, dict[str, Any]]:
    """Return the schedule as Celery takes it."""
    return {
        task: {"task": task, "schedule": period, "options": {"expires": period}}
        for task, period in PERIODS.items()
    }

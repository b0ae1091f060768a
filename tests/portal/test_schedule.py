"""Every job on the schedule exists, and every job that exists is on it."""

from __future__ import annotations

from portal.celery import app
from portal.schedule import PERIODS, beat

OURS = ("audit.", "alarms.", "peers.", "policies.", "portal.")


def test_the_schedule_names_every_job_there_is() -> None:
    app.loader.import_default_modules()
    jobs = {name for name in app.tasks if name.startswith(OURS)}
    assert jobs == set(PERIODS)


def test_a_job_that_was_overtaken_does_not_run() -> None:
    for entry in beat().values():
        assert entry["options"]["expires"] == entry["schedule"]

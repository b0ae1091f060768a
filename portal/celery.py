"""Jobs: what may wait (DESIGN §3). Revocation is none of them.

With Redis configured, any number of workers and one beat; without, `runportal` runs
both inside the portal's process over `memory://`. A job lost with its process is
found again by the next beat, because every job looks at the database for what is due.
"""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import task_postrun, task_prerun
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("peerage")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@task_prerun.connect(dispatch_uid="portal.celery.prerun")
@task_postrun.connect(dispatch_uid="portal.celery.postrun")
def keep_connections_fresh(**_kwargs: object) -> None:
    """Close what the database closed; a worker thread lives for ever."""
    close_old_connections()

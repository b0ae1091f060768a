"""Jobs: what may wait (DESIGN §3). Revocation is none of them.

With Redis configured, any number of workers and one beat; without, `runportal` runs
both inside the portal's process over `memory://`. A job lost with its process is
found again by the next beat, because every job looks at the database for what is due.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("peerage")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

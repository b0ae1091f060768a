"""The Django project and composition root."""

from __future__ import annotations

# Here, so that a task that is sent from anywhere goes to this app's broker.
from portal.celery import app as celery_app

__all__ = ["celery_app"]

"""Routes of a gateway's enrolment."""

from __future__ import annotations

urlpatterns: list = []

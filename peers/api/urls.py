"""Routes of the people's API."""

from __future__ import annotations

urlpatterns: list = []

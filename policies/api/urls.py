"""Routes of an enrolled gateway."""

from __future__ import annotations

urlpatterns: list = []

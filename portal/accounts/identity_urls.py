"""Routes of the command line's device grant."""

from __future__ import annotations

urlpatterns: list = []

"""Routes of the administrators' API."""

from __future__ import annotations

urlpatterns: list = []

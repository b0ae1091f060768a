"""Routes of signing in and out."""

from __future__ import annotations

urlpatterns: list = []

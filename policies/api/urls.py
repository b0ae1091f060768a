"""Routes of an enrolled gateway."""

from __future__ import annotations

from django.urls import path

from policies.api import views

urlpatterns = [
    path("snapshot", views.snapshot, name="gateway-snapshot"),
    path("notices", views.notices, name="gateway-notices"),
    path("acks", views.acks, name="gateway-acks"),
    path("names", views.names, name="gateway-names"),
    path("revoked", views.revoked, name="gateway-revoked"),
    path("evidence", views.evidence, name="gateway-evidence"),
]

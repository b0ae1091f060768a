"""Routes of an enrolled gateway."""

from __future__ import annotations

from django.urls import path

from policies.api import notice_views, polls, views, witness_views

urlpatterns = [
    path("snapshot", polls.snapshot, name="gateway-snapshot"),
    path("notices", notice_views.notices, name="gateway-notices"),
    path("acks", views.acks, name="gateway-acks"),
    path("names", views.names, name="gateway-names"),
    path("revoked", views.revoked, name="gateway-revoked"),
    path("witness", witness_views.witness, name="gateway-witness"),
    path("evidence", views.evidence, name="gateway-evidence"),
]

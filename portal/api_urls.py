"""Routes of the administrators' API."""

from __future__ import annotations

from django.urls import path

from portal import api

urlpatterns = [
    path(
        "users/<int:user_id>/revoke/",
        api.RevokeUserView.as_view(),
        name="api-user-revoke",
    ),
    path(
        "revocations/<int:revocation_id>/",
        api.RevocationView.as_view(),
        name="api-revocation",
    ),
]

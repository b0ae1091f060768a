"""Routes of locks."""

from __future__ import annotations

from django.urls import path

from policies.api import lock_views as views

urlpatterns = [
    path("locks/", views.LockListView.as_view(), name="api-locks"),
    path(
        "locks/<int:lock_id>/lift/", views.LockLiftView.as_view(), name="api-lock-lift"
    ),
]

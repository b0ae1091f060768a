"""Routes of access requests."""

from __future__ import annotations

from django.urls import path

from policies.api import request_views as views

urlpatterns = [
    path("requests/", views.RequestListView.as_view(), name="api-requests"),
    path(
        "requests/applications/",
        views.RequestableView.as_view(),
        name="api-requestable",
    ),
    path("requests/<int:request_id>/", views.RequestView.as_view(), name="api-request"),
    path(
        "requests/<int:request_id>/cancel/",
        views.RequestCancelView.as_view(),
        name="api-request-cancel",
    ),
    path(
        "requests/<int:request_id>/approve/",
        views.RequestApproveView.as_view(),
        name="api-request-approve",
    ),
    path(
        "requests/<int:request_id>/refuse/",
        views.RequestRefuseView.as_view(),
        name="api-request-refuse",
    ),
    path(
        "requests/<int:request_id>/end/",
        views.RequestEndView.as_view(),
        name="api-request-end",
    ),
]

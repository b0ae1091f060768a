"""Routes of the people's API."""

from __future__ import annotations

from django.urls import path

from peers.api import views

urlpatterns = [
    path("challenges/", views.ChallengesView.as_view(), name="api-challenges"),
    path("devices/", views.DevicesView.as_view(), name="api-devices"),
    path(
        "devices/<int:device_id>/config/",
        views.DeviceConfigView.as_view(),
        name="api-device-config",
    ),
    path(
        "devices/<int:device_id>/revoke/",
        views.DeviceRevokeView.as_view(),
        name="api-device-revoke",
    ),
    path("me/", views.MeView.as_view(), name="api-me"),
]

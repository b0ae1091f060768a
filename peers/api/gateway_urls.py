"""Routes of a gateway's enrolment and of its keys."""

from __future__ import annotations

from django.urls import path

from peers.api import gateway_views

urlpatterns = [
    path("enroll", gateway_views.enroll, name="gateway-enroll"),
    path("key", gateway_views.key, name="gateway-key"),
]

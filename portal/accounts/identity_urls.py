"""Routes of the command line's device grant, under the names allauth looks for."""

from __future__ import annotations

from allauth.idp.oidc import views as oidc_views
from django.urls import include, path

from portal.accounts import views

_oidc = (
    [
        path("o/device", views.device_authorization, name="device_authorization"),
        path("o/api/device/code", views.device_code, name="device_code"),
        path("o/api/token", views.token, name="token"),
        path("o/api/revoke", oidc_views.revoke, name="revoke"),
    ],
    "oidc",
)

urlpatterns = [
    path("identity/", include(([path("", include(_oidc))], "idp"))),
]

"""Where everything is."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from portal import metrics, views
from portal.accounts.api.oauth import oauth_token
from portal.accounts.views import admin_sign_in

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", views.healthz, name="healthz"),
    path("healthz/log", views.log_health, name="log_health"),
    path("metrics", metrics.metrics, name="metrics"),
    path("accounts/", include("portal.accounts.urls")),
    path("", include("portal.accounts.identity_urls")),
    path("admin/login/", admin_sign_in),
    path("admin/", admin.site.urls),
    path("api/v1/", include("peers.api.urls")),
    path("api/v1/", include("policies.api.request_urls")),
    path("api/v1/", include("policies.api.lock_urls")),
    path("api/v1/", include("portal.api_urls")),
    path("api/v2/", include("policies.api.tailnet_urls")),
    path("api/v2/oauth/token", oauth_token, name="api-oauth-token"),
    path("api/gateway/v1/", include("peers.api.gateway_urls")),
    path("api/gateway/v1/", include("policies.api.urls")),
    path("", include("portal.console.urls")),
]

"""Routes of the ACL API, under the paths its clients know."""

from __future__ import annotations

from django.urls import path

from policies.api import tailnet_views as views

urlpatterns = [
    path("tailnet/<str:tailnet>/acl", views.AclView.as_view(), name="api-acl"),
    path(
        "tailnet/<str:tailnet>/acl/validate",
        views.ValidateView.as_view(),
        name="api-acl-validate",
    ),
    path(
        "tailnet/<str:tailnet>/acl/preview",
        views.PreviewView.as_view(),
        name="api-acl-preview",
    ),
]

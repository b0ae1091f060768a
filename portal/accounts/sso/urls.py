"""Routes to the identity provider and back."""

from __future__ import annotations

from django.urls import path

from portal.accounts.sso import views

urlpatterns = [
    path("login/", views.login, name="sso_login"),
    path("login/callback/", views.callback, name="sso_callback"),
]

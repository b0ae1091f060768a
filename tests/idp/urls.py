"""Routes of the identity provider."""

from __future__ import annotations

from django.urls import include, path

from tests.idp import views

urlpatterns = [
    path("", views.home),
    path("login/", views.sign_in, name="account_login"),
    path("login/again/", views.sign_in, name="account_reauthenticate"),
    path("logout/", views.sign_out, name="account_logout"),
    path("identity/o/authorize", views.authorize),
    path("", include("allauth.idp.urls")),
]

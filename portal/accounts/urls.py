"""Routes of signing in and out.

allauth's own list is not included: sign-up, passwords, e-mail addresses and the
linking of accounts have no place here.
"""

from __future__ import annotations

from allauth.account.views import logout
from allauth.socialaccount.views import login_cancelled, login_error
from django.urls import URLPattern, URLResolver, include, path

from portal.accounts import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("login/", views.sign_in, name="account_login"),
    path("confirm/", views.confirm, name="account_confirm"),
    path("logout/", logout, name="account_logout"),
    path("sso/", include("portal.accounts.sso.urls")),
    path("cancelled/", login_cancelled, name="socialaccount_login_cancelled"),
    path("error/", login_error, name="socialaccount_login_error"),
    path("sessions/", include("allauth.usersessions.urls")),
]

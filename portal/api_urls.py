"""Routes of the API of administrators and readers."""

from __future__ import annotations

from django.urls import path

from portal import api, api_alarms, api_connections, api_effects, api_questions

urlpatterns = [
    path(
        "users/<int:user_id>/revoke/",
        api.RevokeUserView.as_view(),
        name="api-user-revoke",
    ),
    path(
        "revocations/<int:revocation_id>/",
        api.RevocationView.as_view(),
        name="api-revocation",
    ),
    path(
        "connections/",
        api_connections.ConnectionsView.as_view(),
        name="api-connections",
    ),
    path(
        "connections/<int:connection_id>/",
        api_connections.ConnectionView.as_view(),
        name="api-connection",
    ),
    path("alarms/", api_alarms.AlarmsView.as_view(), name="api-alarms"),
    path("alarms/<int:alarm_id>/", api_alarms.AlarmView.as_view(), name="api-alarm"),
    path("holders/", api_connections.HoldersView.as_view(), name="api-holders"),
    path("effect/", api_effects.EffectView.as_view(), name="api-effect"),
    path("explain/", api_questions.ExplainView.as_view(), name="api-explain"),
    path(
        "reach/applications/<int:application_id>/",
        api_questions.WhoReachesView.as_view(),
        name="api-reach-application",
    ),
    path(
        "reach/people/<int:user_id>/",
        api_questions.WhatReachesView.as_view(),
        name="api-reach-person",
    ),
    path(
        "reach/changes/",
        api_questions.ReachChangesView.as_view(),
        name="api-reach-changes",
    ),
]

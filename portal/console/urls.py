"""Routes of the pages."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from portal.console import (
    access,
    alarm_channels,
    alarms,
    applications,
    connections,
    credentials,
    devices,
    events,
    evidence,
    explain,
    gateways,
    grants,
    holders,
    labels,
    locks,
    reachability,
    receipts,
    recoveries,
    requests,
    retention,
    reviews,
    revocations,
    searches,
    streams,
    timelines,
    usage,
    users,
    witnesses,
)

app_name = "console"

OWN = [
    path("", RedirectView.as_view(pattern_name="console:devices"), name="home"),
    path("devices/", devices.my_devices, name="devices"),
    path("devices/add/", devices.add_device, name="add_device"),
    path("devices/<int:device_id>/", devices.device, name="device"),
    path(
        "devices/<int:device_id>/rename/", devices.rename_device, name="rename_device"
    ),
    path(
        "devices/<int:device_id>/revoke/", devices.revoke_device, name="revoke_device"
    ),
    path("access/", access.my_access, name="access"),
    path("access/explain/", explain.explain_mine, name="explain_mine"),
]
REQUESTS = [
    path("requests/", requests.my_requests, name="requests"),
    path("requests/new/", requests.requestable, name="requestable"),
    path("requests/new/<int:application_id>/", requests.ask, name="ask"),
    path("requests/inbox/", requests.inbox, name="inbox"),
    path("requests/<int:request_id>/", requests.access_request, name="request"),
    path(
        "requests/<int:request_id>/cancel/",
        requests.cancel_request,
        name="cancel_request",
    ),
    path(
        "requests/<int:request_id>/approve/",
        requests.approve_request,
        name="approve_request",
    ),
    path(
        "requests/<int:request_id>/refuse/",
        requests.refuse_request,
        name="refuse_request",
    ),
    path("requests/<int:request_id>/end/", requests.end_request, name="end_request"),
    path("manage/requests/", requests.manage_requests, name="manage_requests"),
    path(
        "manage/applications/<int:application_id>/requests/",
        requests.edit_request_rules,
        name="edit_request_rules",
    ),
]
PEOPLE = [
    path("manage/devices/", devices.manage_devices, name="manage_devices"),
    path(
        "manage/devices/<int:device_id>/approve/",
        devices.approve_device,
        name="approve_device",
    ),
    path(
        "manage/devices/<int:device_id>/withdraw/",
        devices.withdraw_approval,
        name="withdraw_approval",
    ),
    path("manage/users/", users.manage_users, name="manage_users"),
    path("manage/users/suggest/", users.suggest_users, name="suggest_users"),
    path("manage/users/revoke/", users.revoke_users, name="revoke_users"),
    path("manage/users/<int:user_id>/", users.user, name="user"),
    path("manage/users/<int:user_id>/revoke/", users.revoke_user, name="revoke_user"),
    path(
        "manage/users/<int:user_id>/reactivate/",
        users.reactivate_user,
        name="reactivate_user",
    ),
    path("manage/revocations/", revocations.revocations, name="revocations"),
    path(
        "manage/revocations/<int:revocation_id>/",
        revocations.revocation,
        name="revocation",
    ),
    path(
        "manage/revocations/<int:revocation_id>/progress/",
        revocations.progress,
        name="revocation_progress",
    ),
]
POLICY = [
    path("manage/applications/", applications.applications, name="applications"),
    path(
        "manage/applications/add/", applications.add_application, name="add_application"
    ),
    path(
        "manage/applications/<int:application_id>/",
        applications.application,
        name="application",
    ),
    path(
        "manage/applications/<int:application_id>/edit/",
        applications.edit_application,
        name="edit_application",
    ),
    path(
        "manage/applications/<int:application_id>/delete/",
        applications.delete_application,
        name="delete_application",
    ),
    path("manage/labels/", labels.labels, name="labels"),
    path("manage/labels/add/", labels.add_label, name="add_label"),
    path("manage/labels/<int:label_id>/", labels.label, name="label"),
    path(
        "manage/labels/<int:label_id>/delete/", labels.delete_label, name="delete_label"
    ),
    path(
        "manage/labels/grants/<int:label_grant_id>/end/",
        labels.end_label_grant,
        name="end_label_grant",
    ),
    path("manage/grants/", grants.grants, name="grants"),
    path("manage/grants/add/", grants.add_grant, name="add_grant"),
    path("manage/grants/<int:grant_id>/end/", grants.end_grant, name="end_grant"),
    path("manage/locks/", locks.locks, name="locks"),
    path("manage/locks/add/", locks.choose_lock, name="choose_lock"),
    path(
        "manage/locks/add/<slug:kind>/<int:target_id>/",
        locks.add_lock,
        name="add_lock",
    ),
    path("manage/locks/<int:lock_id>/lift/", locks.lift_lock, name="lift_lock"),
]
QUESTIONS = [
    path("manage/explain/", explain.explain, name="explain"),
    path("manage/explain/policy/", explain.suppose, name="explain_suppose"),
    path("manage/reach/applications/", reachability.who, name="reach"),
    path("manage/reach/people/", reachability.what, name="reach_what"),
    path("manage/reach/changes/", reachability.changes, name="reach_changes"),
]
GATEWAYS = [
    path("manage/gateways/", gateways.gateways, name="gateways"),
    path("manage/gateways/add/", gateways.add_gateway, name="add_gateway"),
    path("manage/gateways/recovery/", recoveries.recovery, name="recovery"),
    path("manage/gateways/recovery/begin/", recoveries.recover, name="recover"),
    path("manage/gateways/<int:gateway_id>/", gateways.gateway, name="gateway"),
    path(
        "manage/gateways/<int:gateway_id>/edit/",
        gateways.edit_gateway,
        name="edit_gateway",
    ),
    path(
        "manage/gateways/<int:gateway_id>/token/",
        gateways.issue_token,
        name="issue_token",
    ),
    path(
        "manage/gateways/<int:gateway_id>/retire/",
        gateways.retire_gateway,
        name="retire_gateway",
    ),
    path(
        "manage/gateways/<int:gateway_id>/release/",
        gateways.release_gateway,
        name="release_gateway",
    ),
]
CREDENTIALS = [
    path("manage/credentials/", credentials.credentials, name="credentials"),
    path("manage/credentials/add/", credentials.add_credential, name="add_credential"),
    path(
        "manage/credentials/<int:credential_id>/revoke/",
        credentials.revoke_credential,
        name="revoke_credential",
    ),
]
AUDIT = [
    path("audit/connections/", connections.connections, name="connections"),
    path("audit/connections/export/", connections.export, name="export_connections"),
    path(
        "audit/connections/<int:connection_id>/",
        connections.connection,
        name="connection",
    ),
    path("activity/", timelines.activity, name="activity"),
    path(
        "audit/connections/<int:connection_id>/receipt/",
        receipts.receipt,
        name="receipt",
    ),
    path(
        "audit/connections/<int:connection_id>/receipt/download/",
        receipts.download_receipt,
        name="download_receipt",
    ),
    path("audit/searches/", searches.searches, name="searches"),
    path("audit/searches/add/<slug:log>/", searches.add_search, name="add_search"),
    path(
        "audit/searches/<int:search_id>/remove/",
        searches.remove_search,
        name="remove_search",
    ),
    path("audit/addresses/", holders.holders, name="holders"),
    path("audit/timeline/<slug:about>/<str:ref>/", timelines.timeline, name="timeline"),
    path(
        "audit/used/applications/<int:application_id>/",
        usage.used_application,
        name="used_application",
    ),
    path("audit/used/people/<int:user_id>/", usage.used_person, name="used_person"),
    path("audit/events/", events.events, name="events"),
    path("audit/events/export/", events.export, name="export_events"),
    path("audit/retention/", retention.retention, name="retention"),
    path("audit/witnesses/", witnesses.witnesses, name="witnesses"),
    path("audit/events/codes/", events.codes, name="event_codes"),
    path("audit/events/<uuid:uid>/", events.event, name="event"),
]
REVIEWS = [
    path("reviews/", reviews.reviews, name="reviews"),
    path("reviews/<int:campaign_id>/", reviews.review, name="review"),
    path(
        "reviews/<int:campaign_id>/result/", reviews.review_result, name="review_result"
    ),
    path("manage/reviews/start/", reviews.start_review, name="start_review"),
    path(
        "manage/reviews/<int:campaign_id>/finish/",
        reviews.finish_review,
        name="finish_review",
    ),
    path(
        "manage/reviews/<int:campaign_id>/call-off/",
        reviews.call_off_review,
        name="call_off_review",
    ),
]
STREAMS = [
    path("audit/evidence/", evidence.evidence, name="evidence"),
    path("audit/streams/", streams.streams, name="streams"),
    path("audit/streams/add/", streams.add_stream, name="add_stream"),
    path("audit/streams/<int:stream_id>/", streams.stream, name="stream"),
    path(
        "audit/streams/<int:stream_id>/edit/", streams.edit_stream, name="edit_stream"
    ),
    path(
        "audit/streams/<int:stream_id>/stop/",
        streams.disable_stream,
        name="disable_stream",
    ),
    path(
        "audit/streams/<int:stream_id>/start/",
        streams.enable_stream,
        name="enable_stream",
    ),
    path(
        "audit/streams/<int:stream_id>/test/", streams.test_stream, name="test_stream"
    ),
    path(
        "audit/streams/<int:stream_id>/secret/",
        streams.renew_stream_secret,
        name="renew_stream_secret",
    ),
]

ALARMS = [
    path("audit/alarms/", alarms.alarms, name="alarms"),
    path("audit/alarms/count/", alarms.alarm_count, name="alarm_count"),
    path("audit/alarms/rules/", alarms.alarm_rules, name="alarm_rules"),
    path("audit/alarms/channels/", alarm_channels.channels, name="alarm_channels"),
    path(
        "audit/alarms/channels/add/",
        alarm_channels.add_channel,
        name="add_alarm_channel",
    ),
    path(
        "audit/alarms/channels/<int:channel_id>/",
        alarm_channels.channel,
        name="alarm_channel",
    ),
    path(
        "audit/alarms/channels/<int:channel_id>/edit/",
        alarm_channels.edit_channel,
        name="edit_alarm_channel",
    ),
    path(
        "audit/alarms/channels/<int:channel_id>/delete/",
        alarm_channels.delete_channel,
        name="delete_alarm_channel",
    ),
    path(
        "audit/alarms/channels/<int:channel_id>/test/",
        alarm_channels.test_channel,
        name="test_alarm_channel",
    ),
    path(
        "audit/alarms/channels/<int:channel_id>/secret/",
        alarm_channels.renew_channel_secret,
        name="renew_alarm_channel_secret",
    ),
    path("audit/alarms/<int:alarm_id>/", alarms.alarm, name="alarm"),
    path(
        "audit/alarms/<int:alarm_id>/acknowledge/",
        alarms.acknowledge_alarm,
        name="acknowledge_alarm",
    ),
    path(
        "audit/alarms/<int:alarm_id>/assign/", alarms.assign_alarm, name="assign_alarm"
    ),
    path(
        "audit/alarms/<int:alarm_id>/verdict/", alarms.judge_alarm, name="judge_alarm"
    ),
]

urlpatterns = [
    *OWN,
    *REQUESTS,
    *PEOPLE,
    *POLICY,
    *QUESTIONS,
    *GATEWAYS,
    *CREDENTIALS,
    *AUDIT,
    *REVIEWS,
    *STREAMS,
    *ALARMS,
]

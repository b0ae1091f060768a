"""Pages of the channels that alarms go out on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from audit.alarms import channels as alarm_channels
from audit.alarms import selectors
from audit.alarms.errors import InvalidChannelError
from audit.alarms.models import ChannelKind
from audit.alarms.rules import RULES, RuleId
from audit.events import EventCode
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.console.alarm_forms import ChangeChannelForm, ChannelForm
from portal.console.forms import ReasonForm
from portal.console.pages import page, paged, posted
from portal.console.refusals import is_accepted

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.alarms.models import AlarmChannel
    from audit.http import PortalRequest

LATEST: Final = 50


@require_safe
@reader_required
def channels(request: PortalRequest) -> HttpResponse:
    return page(
        request,
        "alarm_channel_list.html",
        title="Alarm channels",
        pages=paged(request, selectors.list_channels_for(person(request))),
    )


@require_safe
@reader_required
def channel(request: PortalRequest, channel_id: int) -> HttpResponse:
    found = selectors.get_channel_for(person(request), channel_id)
    return page(
        request,
        "alarm_channel_detail.html",
        title=found.name,
        channel=found,
        rules=[RULES[RuleId(rule)].title for rule in sorted(found.rule_set)],
        deliveries=found.deliveries.select_related("alarm")[:LATEST],
        is_webhook=found.kind == ChannelKind.WEBHOOK,
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def add_channel(request: PortalRequest) -> HttpResponse:
    form = ChannelForm(posted(request))
    if request.method == "POST" and is_accepted(
        request, form, EventCode.ALARM_CHANNEL_CREATE
    ):
        try:
            made, secret = alarm_channels.create_channel(
                wanted=form.wanted(), actor=request.actor, now=request.received_at
            )
        except InvalidChannelError as exc:
            form.add_error(None, str(exc))
        else:
            if secret:
                return _secret(request, made, secret)
            messages.success(request, f"{made} is made. Send a test.")
            return redirect("console:alarm_channel", channel_id=made.pk)
    return page(
        request, "alarm_channel_form.html", title="Add an alarm channel", form=form
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def edit_channel(request: PortalRequest, channel_id: int) -> HttpResponse:
    found = selectors.get_channel_to_change_for(person(request), channel_id)
    initial = {
        "name": found.name,
        "address": found.address if found.kind == ChannelKind.MAIL else "",
        "least_severity": found.least_severity,
        "rules": sorted(found.rule_set),
        "enabled": found.enabled,
    }
    form = ChangeChannelForm(posted(request), initial=initial)
    if request.method == "POST" and is_accepted(
        request, form, EventCode.ALARM_CHANNEL_UPDATE
    ):
        try:
            alarm_channels.update_channel(
                channel=found,
                wanted=form.wanted_of(found),
                actor=request.actor,
                now=request.received_at,
            )
        except InvalidChannelError as exc:
            form.add_error(None, str(exc))
        else:
            messages.success(request, "The channel is changed.")
            return redirect("console:alarm_channel", channel_id=found.pk)
    return page(
        request,
        "alarm_channel_form.html",
        title=f"Change {found.name}",
        form=form,
        channel=found,
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def delete_channel(request: PortalRequest, channel_id: int) -> HttpResponse:
    found = selectors.get_channel_to_change_for(person(request), channel_id)
    form = ReasonForm(posted(request))
    if request.method == "POST" and is_accepted(
        request, form, EventCode.ALARM_CHANNEL_DELETE
    ):
        alarm_channels.delete_channel(
            channel=found,
            reason=form.cleaned_data["reason"],
            actor=request.actor,
            now=request.received_at,
        )
        messages.success(request, f"{found.name} is deleted.")
        return redirect("console:alarm_channels")
    return page(
        request,
        "alarm_channel_confirm_delete.html",
        title=f"Delete {found.name}",
        channel=found,
        form=form,
        waiting=found.deliveries.filter(state="waiting").count(),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def test_channel(request: PortalRequest, channel_id: int) -> HttpResponse:
    found = selectors.get_channel_to_change_for(person(request), channel_id)
    if request.method == "POST":
        alarm_channels.test_channel(
            channel=found, actor=request.actor, now=request.received_at
        )
        messages.success(
            request, "A test is on its way; it appears below within seconds."
        )
        return redirect("console:alarm_channel", channel_id=found.pk)
    return page(
        request, "alarm_channel_test.html", title=f"Test {found.name}", channel=found
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def renew_channel_secret(request: PortalRequest, channel_id: int) -> HttpResponse:
    found = selectors.get_channel_to_change_for(person(request), channel_id)
    if found.kind != ChannelKind.WEBHOOK:
        messages.error(request, "Only a webhook has a secret.")
        return redirect("console:alarm_channel", channel_id=found.pk)
    if request.method == "POST":
        secret = alarm_channels.renew_secret(
            channel=found, actor=request.actor, now=request.received_at
        )
        return _secret(request, found, secret)
    return page(
        request,
        "alarm_channel_confirm_renew.html",
        title=f"Renew the secret of {found.name}",
        channel=found,
    )


def _secret(request: PortalRequest, channel: AlarmChannel, secret: str) -> HttpResponse:
    # The POST itself is answered: the secret is shown here and never again.
    return page(
        request,
        "alarm_channel_secret.html",
        title=f"The secret of {channel.name}",
        channel=channel,
        secret=secret,
    )

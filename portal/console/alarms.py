"""Pages of alarms: the inbox, one alarm with its evidence, and what is done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.contrib import messages
from django.http import JsonResponse
from django.shortcuts import redirect
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_http_methods, require_safe

from audit.actor import Ref
from audit.alarms import selectors, services
from audit.alarms.errors import AlarmError
from audit.alarms.models import AlarmState, AlarmVerdict
from audit.alarms.parameters import QUIET_MINUTES
from audit.events import EventCode
from audit.services import record
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.console.alarm_forms import AlarmFilterForm, AssignForm, VerdictForm
from portal.console.pages import page, paged, posted
from portal.console.refusals import is_accepted

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest

NOBODY: Final = Ref(id="")


@require_safe
@reader_required
def alarms(request: PortalRequest) -> HttpResponse:
    form = AlarmFilterForm(request.GET)
    wanted = form.wanted(person(request))
    since, ran_at = selectors.watched_since()
    return page(
        request,
        "alarm_list.html",
        title="Alarms",
        form=form,
        pages=paged(request, selectors.list_alarms_for(person(request), wanted)),
        since=since,
        ran_at=ran_at,
    )


@require_safe
@reader_required
def alarm(request: PortalRequest, alarm_id: int) -> HttpResponse:
    found = selectors.get_alarm_for(person(request), alarm_id)
    record(
        EventCode.AUDIT_QUERY,
        actor=request.actor,
        now=request.received_at,
        target=found.ref,
        details={"log": "alarms"},
    )
    evidence = selectors.shown_evidence(found)
    return page(
        request,
        "alarm_detail.html",
        title=found.sentence,
        alarm=found,
        evidence=evidence,
        more=max(found.count - len(evidence), 0),
        is_closed=found.state == AlarmState.CLOSED,
        deliveries=found.deliveries.select_related("channel")[:20],
    )


@require_safe
@reader_required
def alarm_rules(request: PortalRequest) -> HttpResponse:
    tuning = services.tuning()
    records = selectors.rule_records(tuning.off)
    return page(
        request,
        "alarm_rules.html",
        title="Rules of alarms",
        rows=[
            {
                "record": each,
                "parameters": [
                    {"of": parameter, "value": tuning.number(parameter)}
                    for parameter in each.rule.parameters
                ],
            }
            for each in records
        ],
        quiet={"of": QUIET_MINUTES, "value": tuning.number(QUIET_MINUTES)},
        mail=bool(settings.EMAIL_HOST),
    )


@require_safe
@reader_required
def alarm_count(request: PortalRequest) -> HttpResponse:
    selectors.list_alarms_for(person(request), selectors.AlarmFilter())
    answer = JsonResponse({"open": selectors.open_count()})
    add_never_cache_headers(answer)
    return answer


@require_http_methods(["GET", "POST"])
@administrator_required
def acknowledge_alarm(request: PortalRequest, alarm_id: int) -> HttpResponse:
    found = selectors.get_alarm_to_change_for(person(request), alarm_id)
    if request.method == "POST":
        try:
            services.acknowledge_alarm(
                alarm=found, actor=request.actor, now=request.received_at
            )
        except AlarmError as exc:
            messages.error(request, f"Nothing was changed: {exc}.")
        return redirect("console:alarm", alarm_id=found.pk)
    return page(
        request, "alarm_acknowledge.html", title="Acknowledge an alarm", alarm=found
    )


@require_http_methods(["GET", "POST"])
@administrator_required
def assign_alarm(request: PortalRequest, alarm_id: int) -> HttpResponse:
    found = selectors.get_alarm_to_change_for(person(request), alarm_id)
    current = found.assignee_id.removeprefix("us_")
    form = AssignForm(posted(request), initial={"assignee": current or None})
    if request.method == "POST" and is_accepted(request, form, EventCode.ALARM_ASSIGN):
        chosen = form.cleaned_data["assignee"]
        try:
            services.assign_alarm(
                alarm=found,
                assignee=NOBODY if chosen is None else chosen.ref,
                actor=request.actor,
                now=request.received_at,
            )
        except AlarmError as exc:
            messages.error(request, f"Nothing was changed: {exc}.")
        return redirect("console:alarm", alarm_id=found.pk)
    return page(
        request, "alarm_assign.html", title="Assign an alarm", alarm=found, form=form
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def judge_alarm(request: PortalRequest, alarm_id: int) -> HttpResponse:
    found = selectors.get_alarm_to_change_for(person(request), alarm_id)
    form = VerdictForm(posted(request))
    if request.method == "POST" and is_accepted(request, form, EventCode.ALARM_CLOSE):
        try:
            services.close_alarm(
                alarm=found,
                verdict=AlarmVerdict(form.cleaned_data["verdict"]),
                note=form.cleaned_data["note"],
                actor=request.actor,
                now=request.received_at,
            )
        except AlarmError as exc:
            form.add_error(None, str(exc))
        else:
            messages.success(request, "The alarm is closed.")
            return redirect("console:alarm", alarm_id=found.pk)
    return page(
        request,
        "alarm_confirm_judge.html",
        title="Give a verdict",
        alarm=found,
        form=form,
    )

"""Pages of streams: where copies of the log go, and how far each is behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from audit.events import EventCode
from audit.streams import selectors as streams_selectors
from audit.streams import services as streams_services
from audit.streams.checks import SIGNED
from audit.streams.errors import InvalidStreamError
from audit.streams.models import StreamKind
from portal.accounts.access import (
    administrator_required,
    reader_required,
    recent_authentication_required,
)
from portal.console.forms import ReasonForm
from portal.console.pages import page, paged, posted
from portal.console.refusals import is_accepted
from portal.console.stream_forms import NewStreamForm, StreamSettingsForm, initial_of

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest
    from audit.streams.models import Stream


@require_safe
@reader_required
def streams(request: PortalRequest) -> HttpResponse:
    pages = paged(request, streams_selectors.list_streams())
    return page(
        request,
        "stream_list.html",
        title="Streams",
        pages=pages,
        statuses=streams_selectors.statuses(pages.object_list),
    )


@require_safe
@reader_required
def stream(request: PortalRequest, stream_id: int) -> HttpResponse:
    found = streams_selectors.get_stream(stream_id)
    standing = streams_selectors.status(found)
    return page(
        request,
        "stream_detail.html",
        title=found.name,
        stream=found,
        standing=standing,
        ages=[(lag, lag.age(request.received_at)) for lag in standing.lags],
        is_signed=found.kind in SIGNED,
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def add_stream(request: PortalRequest) -> HttpResponse:
    form = NewStreamForm(posted(request))
    if request.method == "POST" and is_accepted(request, form, EventCode.STREAM_CREATE):
        try:
            made, secret = streams_services.create_stream(
                wanted=form.wanted(StreamKind(form.cleaned_data["kind"])),
                secret=form.cleaned_data["secret"],
                from_beginning=form.cleaned_data["begin"] == "first",
                actor=request.actor,
                now=request.received_at,
            )
        except InvalidStreamError as exc:
            form.add_error(None, str(exc))
        else:
            if secret:
                return _secret(request, made, secret)
            messages.success(request, f"{made.name} is made. Send it a test event.")
            return redirect("console:stream", stream_id=made.pk)
    return page(request, "stream_form.html", title="Add a stream", form=form)


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def edit_stream(request: PortalRequest, stream_id: int) -> HttpResponse:
    found = streams_selectors.get_stream(stream_id)
    form = StreamSettingsForm(posted(request), initial=initial_of(found))
    if request.method == "POST" and is_accepted(request, form, EventCode.STREAM_UPDATE):
        try:
            streams_services.update_stream(
                stream=found,
                wanted=form.wanted(StreamKind(found.kind)),
                secret=form.cleaned_data["secret"],
                actor=request.actor,
                now=request.received_at,
            )
        except InvalidStreamError as exc:
            form.add_error(None, str(exc))
        else:
            messages.success(request, f"{found.name} is changed.")
            return redirect("console:stream", stream_id=found.pk)
    return page(
        request,
        "stream_form.html",
        title=f"Change {found.name}",
        form=form,
        stream=found,
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def disable_stream(request: PortalRequest, stream_id: int) -> HttpResponse:
    found = streams_selectors.get_stream(stream_id)
    if not found.enabled:
        messages.info(request, f"{found.name} is stopped already.")
        return redirect("console:stream", stream_id=found.pk)
    form = ReasonForm(posted(request))
    if request.method == "POST" and is_accepted(
        request, form, EventCode.STREAM_DISABLE
    ):
        streams_services.disable_stream(
            stream=found,
            reason=form.cleaned_data["reason"],
            actor=request.actor,
            now=request.received_at,
        )
        messages.success(request, f"{found.name} is stopped.")
        return redirect("console:stream", stream_id=found.pk)
    return page(
        request,
        "stream_confirm_disable.html",
        title=f"Stop {found.name}",
        stream=found,
        form=form,
    )


@require_POST
@administrator_required
@recent_authentication_required()
def enable_stream(request: PortalRequest, stream_id: int) -> HttpResponse:
    found = streams_selectors.get_stream(stream_id)
    streams_services.enable_stream(
        stream=found, actor=request.actor, now=request.received_at
    )
    messages.success(request, f"{found.name} goes on from where it stopped.")
    return redirect("console:stream", stream_id=found.pk)


@require_POST
@administrator_required
@recent_authentication_required()
def test_stream(request: PortalRequest, stream_id: int) -> HttpResponse:
    found = streams_selectors.get_stream(stream_id)
    failure = streams_services.send_test_event(
        stream=found, actor=request.actor, now=request.received_at
    )
    if failure:
        messages.error(request, f"The test failed: {failure}")
    else:
        messages.success(request, f"{found.name} took the test event.")
    return redirect("console:stream", stream_id=found.pk)


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def renew_stream_secret(request: PortalRequest, stream_id: int) -> HttpResponse:
    found = streams_selectors.get_stream(stream_id)
    if found.kind not in SIGNED:
        messages.info(request, "The secret of this stream is made by its receiver.")
        return redirect("console:stream", stream_id=found.pk)
    if request.method == "POST":
        renewed, secret = streams_services.renew_secret(
            stream=found, actor=request.actor, now=request.received_at
        )
        return _secret(request, renewed, secret)
    return page(
        request,
        "stream_confirm_renew.html",
        title=f"Renew the secret of {found.name}",
        stream=found,
    )


def _secret(request: PortalRequest, made: Stream, secret: str) -> HttpResponse:
    """Answer the POST itself: the secret is shown here and never again."""
    return page(
        request,
        "stream_secret.html",
        title=f"The secret of {made.name}",
        stream=made,
        secret=secret,
        deployment=settings.PEERAGE_DEPLOYMENT,
    )

"""The API of access requests: the same gate and the same services as the pages.

Only a person in their browser: no token has a scope for this.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from peers.api.problems import problem
from peers.api.views import PeersView
from policies import request_selectors, services
from policies.api.identifiers import identifier
from policies.api.request_serializers import (
    NoteInput,
    RequestInput,
    application_output,
    request_output,
)
from policies.durations import duration_of
from policies.errors import PolicyError, RequestConflictError, ReviewRefusedError
from policies.models import AccessRequest, RequestState
from portal.accounts.api.permissions import HasRecentProof, InBrowser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import QuerySet
    from rest_framework.permissions import BasePermission
    from rest_framework.request import Request

PAGE_SIZE: Final = 100


class RequestsView(PeersView):
    """A view of requests, which answers refusals as problems."""

    permission_classes: Sequence[type[BasePermission]] = (InBrowser,)

    def handle_exception(self, exc: Exception) -> Response:
        """Answer a refusal of the services as a problem."""
        if not isinstance(exc, PolicyError):
            return super().handle_exception(exc)
        match exc:
            case RequestConflictError():
                told = HTTPStatus.CONFLICT
            case ReviewRefusedError():
                told = HTTPStatus.FORBIDDEN
            case _:
                told = HTTPStatus.BAD_REQUEST
        # The base class only says Response; any response is passed on.
        return cast("Response", problem(told, str(exc)))

    def shown(self, request: AccessRequest) -> dict[str, Any]:
        """Return a request as it is now."""
        return request_output(_read(self.visible().filter(pk=request.pk))[0])

    def visible(self) -> QuerySet[AccessRequest]:
        """Return what the gate shows this person."""
        return request_selectors.list_requests_for(self.person)


class RequestListView(RequestsView):
    """The requests that one may see, and a new one."""

    def get(self, request: Request) -> Response:
        """List the newest, of one state, before an id."""
        rows = self.visible()
        if state := request.query_params.get("state"):
            if state not in RequestState.values:
                raise ValidationError({"state": ["is none there is"]})
            rows = rows.filter(state=state)
        if before := request.query_params.get("before"):
            rows = rows.filter(pk__lt=identifier(before, "before"))
        found = _read(rows)[:PAGE_SIZE]
        return Response({"requests": [request_output(row) for row in found]})

    def post(self, request: Request) -> Response:
        """Ask for an application."""
        form = RequestInput(data=request.data)
        form.is_valid(raise_exception=True)
        sent = form.validated_data
        application = request_selectors.get_requestable_for(
            self.person, sent["application"], now=self.now
        )
        made = services.request_access(
            application=application,
            requester=self.person,
            reason=sent["reason"],
            duration=duration_of(sent["duration_seconds"]),
            actor=self.actor,
            now=self.now,
        )
        return Response(self.shown(made), status=status.HTTP_201_CREATED)


class RequestableView(RequestsView):
    """What one may ask for."""

    def get(self, _request: Request) -> Response:
        """List it by name."""
        rows = request_selectors.list_requestable_for(self.person, now=self.now)
        return Response({"applications": [application_output(row) for row in rows]})


class RequestView(RequestsView):
    """One request."""

    def get(self, _request: Request, request_id: int) -> Response:
        """Return it with its answers."""
        found = request_selectors.get_request_for(self.person, request_id)
        return Response(self.shown(found))


class RequestCancelView(RequestsView):
    """Taking a request back."""

    def post(self, _request: Request, request_id: int) -> Response:
        """Take back what nobody has answered."""
        found = request_selectors.get_request_to_cancel_for(self.person, request_id)
        done = services.cancel_request(request=found, actor=self.actor, now=self.now)
        return Response(self.shown(done))


class RequestEndView(RequestsView):
    """The early end of what was granted."""

    def post(self, _request: Request, request_id: int) -> Response:
        """End it now."""
        found = request_selectors.get_request_to_end_for(self.person, request_id)
        done = services.end_requested_access(
            request=found, actor=self.actor, now=self.now
        )
        return Response(self.shown(done))


class ReviewView(RequestsView):
    """An answer."""

    service: Callable[..., AccessRequest]

    def post(self, request: Request, request_id: int) -> Response:
        """Answer."""
        found = request_selectors.get_request_to_review_for(self.person, request_id)
        form = NoteInput(data=request.data)
        form.is_valid(raise_exception=True)
        done = type(self).service(
            request=found,
            reviewer=self.person,
            note=form.validated_data["note"],
            actor=self.actor,
            now=self.now,
        )
        return Response(self.shown(done))


class RequestApproveView(ReviewView):
    """An approval; it gives, so it wants a recent proof."""

    permission_classes = (InBrowser, HasRecentProof)
    service = services.approve_request


class RequestRefuseView(ReviewView):
    """A refusal."""

    service = services.refuse_request


def _read(rows: QuerySet[AccessRequest]) -> QuerySet[AccessRequest]:
    return rows.prefetch_related("reviews__reviewer")

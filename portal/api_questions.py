"""The API's questions about policy: why, who, what, and what changed.

A person asks about themself, with a token too; everything else is for readers in
their browser. Whom somebody may not know of is not there (404).
"""

from __future__ import annotations

from dataclasses import fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import ValidationError as FormError
from django.http import Http404
from rest_framework import serializers
from rest_framework.exceptions import (
    NotAuthenticated,
    PermissionDenied,
    ValidationError,
)
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.services import NOBODY
from peers.api.serializers import ClosedInput, TextField
from peers.selectors import get_device_for
from policies.dialect.errors import DialectError
from policies.dialect.hujson import MAX_BYTES
from policies.errors import PolicyError
from policies.explanations import answer
from policies.policy_files.supposing import answer_supposing
from policies.reachability import (
    ChangeRow,
    Changes,
    Reach,
    ReachRow,
    what_changed,
    what_reaches,
    who_reaches,
)
from policies.selectors import get_application_for
from policies.services.inquiries import record_inquiry
from policies.wording import answer_output, question_text
from portal.accounts.actors import actor_of
from portal.accounts.models import User
from portal.accounts.selectors import find_user, get_user_for
from portal.console.questions import (
    AtForm,
    ChangesForm,
    DestinationForm,
    find_device,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from django import forms
    from rest_framework.request import Request

    from audit.actor import Ref
    from audit.http import PortalRequest
    from peers.models import Device


class QuestionView(APIView):
    """A view that knows who asks, and that records what they asked."""

    @property
    def person(self) -> User:
        """Who asks."""
        if not isinstance(self.request.user, User):
            raise NotAuthenticated
        return self.request.user

    @property
    def now(self) -> datetime:
        """When the request came."""
        return self.http.received_at

    def reader(self) -> User:
        """Return who asks, when they may ask about others: no token may."""
        if self.request.auth is not None or not self.person.is_reader:
            raise PermissionDenied
        return self.person

    def record(
        self,
        question: str,
        details: dict[str, str],
        *,
        person: Ref = NOBODY,
        device: Ref = NOBODY,
        application: Ref = NOBODY,
    ) -> None:
        """Record the question before its answer leaves."""
        record_inquiry(
            question=question,
            details=details,
            person=person,
            device=device,
            application=application,
            actor=actor_of(self.person, self.http),
            now=self.now,
        )

    @property
    def http(self) -> PortalRequest:
        """The wrapped request, with the middleware's marks."""
        return cast("PortalRequest", self.request._request)  # noqa: SLF001 -- the wrapped one has the middleware's marks


class PortField(serializers.Field[str, object, str, Any]):
    """A port as a number or as text; the form says which there are."""

    def to_internal_value(self, data: object) -> str:
        """Return it as text."""
        if isinstance(data, bool) or not isinstance(data, int | str):
            msg = "must be a number"
            raise serializers.ValidationError(msg)
        return str(data)

    def to_representation(self, value: str) -> str:
        """Return it unchanged."""
        return value


class PolicyField(TextField):
    """The text of a policy file."""

    length = MAX_BYTES


class SupposedInput(ClosedInput):
    """A question, and the policy file that is supposed to have been applied."""

    policy = PolicyField()
    gateways = serializers.ListField(child=TextField(), required=False, default=list)
    user = TextField(required=False, default="")
    device = TextField(required=False, default="")
    destination = TextField()
    protocol = TextField(required=False, default="")
    port = PortField(required=False, default="")
    at = TextField(required=False, default="")


class ExplainView(QuestionView):
    """May this pass, and why: `?user=&device=&destination=&protocol=&port=&at=`."""

    def get(self, request: Request) -> Response:
        """Answer about oneself, or for a reader about anybody."""
        person, device = self._whom(request.query_params)
        form = DestinationForm(request.query_params, now=self.now)
        question = _checked(form)["question"]
        self.record(
            "explain",
            {"destination": question_text(question), "at": f"{question.at:%FT%TZ}"},
            person=person.ref,
            device=NOBODY if device is None else device.ref,
        )
        found = answer(
            person,
            device,
            question,
            now=self.now,
            with_others=request.auth is None and self.person.is_reader,
        )
        return Response(answer_output(found))

    def post(self, request: Request) -> Response:
        """Answer a reader as if a policy file had been applied; it is not."""
        self.reader()
        given = SupposedInput(data=request.data)
        given.is_valid(raise_exception=True)
        data = given.validated_data
        person, device = self._whom(data)
        question = _checked(DestinationForm(data, now=self.now))["question"]
        self.record(
            "explain",
            {
                "destination": question_text(question),
                "at": f"{question.at:%FT%TZ}",
                "policy_sha256": sha256(data["policy"].encode()).hexdigest(),
            },
            person=person.ref,
            device=NOBODY if device is None else device.ref,
        )
        try:
            found = answer_supposing(
                data["policy"],
                person,
                device,
                question,
                gateways=data["gateways"],
                actor=actor_of(self.person, self.http),
                now=self.now,
            )
        except (DialectError, PolicyError) as exc:
            raise ValidationError({"policy": str(exc).splitlines()}) from exc
        return Response(answer_output(found))

    def _whom(self, asked: Mapping[str, str]) -> tuple[User, Device | None]:
        device = self._device(asked.get("device", ""))
        text = asked.get("user", "")
        if not text:
            return (self.person if device is None else device.owner), device
        found = find_user(text)
        is_token = self.request.auth is not None
        if found is None or (is_token and found != self.person):
            raise Http404
        person = get_user_for(self.person, found.pk)
        if device is not None and device.owner_id != person.pk:
            raise ValidationError({"device": [f"it does not belong to {text}"]})
        return person, device

    def _device(self, text: str) -> Device | None:
        if not text:
            return None
        try:
            number = find_device(text).pk
        except FormError as exc:
            raise Http404 from exc
        device = get_device_for(self.person, number)
        if self.request.auth is not None and device.owner_id != self.person.pk:
            raise Http404
        return device


class WhoReachesView(QuestionView):
    """Who can reach an application: `?at=`."""

    def get(self, request: Request, application_id: int) -> Response:
        """Answer for now, or for a past moment."""
        application = get_application_for(self.reader(), application_id)
        at = _checked(AtForm(request.query_params, now=self.now))["at"]
        self.record("who", {"at": f"{at:%FT%TZ}"}, application=application.ref)
        found = who_reaches(application, at, now=self.now)
        return Response({"at": at, **_reach_output(found)})


class WhatReachesView(QuestionView):
    """What a person can reach: `?at=`."""

    def get(self, request: Request, user_id: int) -> Response:
        """Answer for now, or for a past moment."""
        person = get_user_for(self.reader(), user_id)
        at = _checked(AtForm(request.query_params, now=self.now))["at"]
        self.record("what", {"at": f"{at:%FT%TZ}"}, person=person.ref)
        found = what_reaches(person, at, now=self.now)
        return Response({"at": at, **_reach_output(found)})


class ReachChangesView(QuestionView):
    """What changed between two moments: `?since=&until=`."""

    def get(self, request: Request) -> Response:
        """Answer from the snapshots that were in force."""
        self.reader()
        data = _checked(ChangesForm(request.query_params, now=self.now))
        since, until = data["since"], data["until"]
        moments = {"since": f"{since:%FT%TZ}", "until": f"{until:%FT%TZ}"}
        self.record("changes", moments)
        found = what_changed(since, until)
        return Response(
            {
                "since": since,
                "until": until,
                **_reach_output(found),
            }
        )


def _checked(form: forms.Form) -> dict[str, Any]:
    if not form.is_valid():
        raise ValidationError(
            {name: [*map(str, told)] for name, told in form.errors.items()}
        )
    return form.cleaned_data


def _reach_output(found: Reach | Changes) -> dict[str, Any]:
    """Return rows, by which generations, and what is to be read with care."""
    return {
        "notes": found.notes,
        "sources": found.sources,
        "rows": _rows(found.rows),
    }


def _rows(rows: Iterable[ReachRow | ChangeRow]) -> list[dict[str, Any]]:
    """Return rows with machine ids beside the names."""
    return [
        {
            field.name: _plain(field.name, getattr(row, field.name))
            for field in fields(row)
        }
        for row in rows
    ]


def _plain(name: str, value: object) -> object:
    prefix = {"person_id": "us", "application_id": "ap"}.get(name)
    return value if prefix is None or value is None else f"{prefix}_{value}"

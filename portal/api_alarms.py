"""The API's alarms, to look at: for readers in their browser, and for programs.

A program shows a credential with the scope `alarms:read`; it changes nothing, because
a verdict is a person's. Each reading of one alarm is recorded, like the page's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.alarms import selectors
from audit.alarms.payloads import PARTIES
from audit.events import EventCode
from audit.services import record
from portal.accounts.api.machines import CredentialAuthentication, HasScope
from portal.accounts.credentials import Caller
from portal.accounts.models import Scope, User
from portal.console.alarm_forms import AlarmFilterForm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.contrib.auth.models import AnonymousUser
    from rest_framework.request import Request

    from audit.alarms.models import Alarm
    from audit.http import PortalRequest

PAGE: Final = 100
PARAMETERS: Final = frozenset({"state", "severity", "rule", "mine", "before"})


class ShownCredential(CredentialAuthentication):
    """A credential where one is shown; else somebody else may know the caller."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Caller] | None:  # type: ignore[override]
        """Return the program, or None when no credential is shown."""
        if "Authorization" not in request.headers:
            return None
        return super().authenticate(request)


class ReadsAlarms(HasScope):
    """A reader in their browser, or a program with the scope."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether the caller may read alarms."""
        if isinstance(request.user, User):
            return request.user.is_reader
        return super().has_permission(request, view)


class AlarmView(APIView):
    """One alarm with its evidence."""

    authentication_classes = (ShownCredential, SessionAuthentication)
    permission_classes = (ReadsAlarms,)
    scopes: ClassVar[Mapping[str, Scope]] = {"GET": Scope.ALARMS_READ}

    @property
    def viewer(self) -> User:
        """Who reads: a person, or whoever answers for the program."""
        if isinstance(self.request.auth, Caller):
            return self.request.auth.credential.creator
        if not isinstance(self.request.user, User):
            raise PermissionDenied
        return self.request.user

    def get(self, _request: Request, alarm_id: int) -> Response:
        """Answer with the alarm; record that it was read."""
        found = selectors.get_alarm_for(self.viewer, alarm_id)
        http = cast("PortalRequest", self.request._request)  # noqa: SLF001 -- the wrapped one has the middleware's marks
        record(
            EventCode.AUDIT_QUERY,
            actor=http.actor,
            now=http.received_at,
            target=found.ref,
            details={"log": "alarms"},
        )
        evidence = [
            {
                "kind": piece.kind,
                "reference": piece.reference,
                "at": piece.at,
                "text": piece.text,
            }
            for piece in found.evidence.all()
        ]
        return Response({**alarm_output(found), "evidence": evidence})


class AlarmsView(AlarmView):
    """The alarms that a filter finds, newest first."""

    def get(self, request: Request) -> Response:  # type: ignore[override]
        """Answer at most a hundred; `before` goes on below an id."""
        unknown = sorted(set(request.query_params) - PARAMETERS)
        form = AlarmFilterForm(request.query_params)
        if unknown or not form.is_valid():
            wrong = {name: [*map(str, told)] for name, told in form.errors.items()}
            told = {name: ["unknown parameter"] for name in unknown}
            raise ValidationError({**wrong, **told})
        rows = selectors.list_alarms_for(self.viewer, form.wanted(self.viewer))
        before = request.query_params.get("before", "")
        if before:
            if not before.isascii() or not before.isdecimal() or len(before) > 18:  # noqa: PLR2004 -- below 2^63
                raise ValidationError({"before": ["an id of an alarm"]})
            rows = rows.filter(pk__lt=int(before))
        found = list(rows.order_by("-pk")[: PAGE + 1])
        return Response(
            {
                "rows": [alarm_output(alarm) for alarm in found[:PAGE]],
                "before": found[PAGE - 1].pk if len(found) > PAGE else None,
            }
        )


def alarm_output(alarm: Alarm) -> dict[str, Any]:
    """Return an alarm as programs read it."""
    return {
        "id": alarm.pk,
        "rule": alarm.rule,
        "title": alarm.rule_type.title,
        "severity": alarm.severity_word,
        "state": alarm.state,
        "sentence": alarm.sentence,
        "runbook": alarm.rule_type.runbook,
        "count": alarm.count,
        "first_seen_at": alarm.first_seen_at,
        "last_seen_at": alarm.last_seen_at,
        "acknowledged_at": alarm.acknowledged_at,
        "closed_at": alarm.closed_at,
        "verdict": alarm.verdict,
        "note": alarm.note,
        "assignee": alarm.assignee_id,
        **{
            party: {
                "id": getattr(alarm, f"{party}_id"),
                "label": getattr(alarm, f"{party}_label"),
            }
            for party in PARTIES
            if getattr(alarm, f"{party}_id")
        },
    }

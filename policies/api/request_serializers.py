"""What the API of access requests takes and gives. Rules are the services' rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from peers.api.serializers import ClosedInput, TextField
from policies.durations import SECOND

if TYPE_CHECKING:
    from policies.models import AccessRequest, Application


class NumberField(serializers.Field[int, object, int, Any]):
    """A JSON number without a fraction, however large; texts and truths are none."""

    def to_internal_value(self, data: object) -> int:
        """Refuse what is no whole number."""
        if isinstance(data, bool) or not isinstance(data, int):
            msg = "must be a whole number"
            raise serializers.ValidationError(msg)
        return data

    def to_representation(self, value: int) -> int:
        """Return it unchanged."""
        return value


class RequestInput(ClosedInput):
    """What is asked for, why, and for how many seconds."""

    application = NumberField()
    reason = TextField()
    duration_seconds = NumberField()


class NoteInput(ClosedInput):
    """A word with an answer."""

    note = TextField(required=False, default="")


def application_output(application: Application) -> dict[str, Any]:
    """Return an application as those who may ask for it see it."""
    return {
        "id": application.pk,
        "name": application.name,
        "description": application.description,
        "needs_two_approvals": application.needs_two_approvals,
    }


def request_output(request: AccessRequest) -> dict[str, Any]:
    """Return a request with its answers."""
    grant = request.grant
    return {
        "id": request.pk,
        "requester": {"id": request.requester.ref.id, "name": str(request.requester)},
        "application": {"id": request.application_id, "name": request.application.name},
        "reason": request.reason,
        "duration_seconds": request.duration // SECOND,
        "state": request.state,
        "requested_at": request.requested_at,
        "answer_by": request.answer_by,
        "decided_at": request.decided_at,
        "grant": grant.ref.id if grant else None,
        "expires_at": grant.expires_at if grant else None,
        "ended_at": grant.ended_at if grant else None,
        "reviews": [
            {
                "reviewer": review.reviewer.ref.id,
                "is_approval": review.is_approval,
                "note": review.note,
                "at": review.at,
            }
            for review in request.reviews.all()
        ],
    }

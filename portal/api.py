"""The administrators' API; the shape of all errors, problem documents (RFC 9457)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from rest_framework import status
from rest_framework.exceptions import NotAuthenticated, ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.views import exception_handler as drf_exception_handler

from policies.selectors import get_revocation_for
from policies.stages import stages
from portal import revocation
from portal.accounts import selectors
from portal.accounts.api.permissions import HasRecentProof, IsAdministrator
from portal.accounts.models import User

if TYPE_CHECKING:
    from rest_framework.request import Request

    from audit.http import PortalRequest
    from policies.models import Revocation, RevocationTarget

MILLISECOND: Final = timedelta(milliseconds=1)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Return the framework's answer to an exception as a problem document."""
    response = drf_exception_handler(exc, context)
    if response is None:
        return None
    response.data = {
        "type": "about:blank",
        "title": response.status_text,
        "status": response.status_code,
        "detail": _detail(response.data),
    }
    response.content_type = "application/problem+json"
    return response


class RevokeUserView(APIView):
    """The end of a person's access, everywhere at once."""

    permission_classes = (IsAdministrator, HasRecentProof)

    def post(self, request: Request, user_id: int) -> Response:
        """Revoke; the answer says where to watch it being enforced."""
        user = selectors.get_user_for(_person(request), user_id)
        reason = request.data.get("reason") if isinstance(request.data, dict) else None
        if not isinstance(reason, str) or not reason.strip():
            raise ValidationError({"detail": "a reason is needed"})
        http = _http(request)
        done = revocation.revoke_user(
            user=user,
            reason=reason,
            actor=http.actor,
            requested_at=http.received_at,
            now=http.received_at,
        )
        return Response(_revocation_output(done), status=status.HTTP_202_ACCEPTED)


class RevocationView(APIView):
    """How far a revocation has come."""

    permission_classes = (IsAdministrator,)

    def get(self, request: Request, revocation_id: int) -> Response:
        """Return it with every gateway's part."""
        found = get_revocation_for(_person(request), revocation_id)
        return Response(_revocation_output(found))


def _detail(data: object) -> str:
    """Return in one line what the framework says, field by field."""
    if not isinstance(data, dict):
        return str(data)
    if "detail" in data:
        return str(data["detail"])
    return "; ".join(
        f"{field}: {' '.join(map(str, told))}" for field, told in data.items()
    )


def _revocation_output(done: Revocation) -> dict[str, Any]:
    targets = [*done.targets.select_related("gateway").order_by("gateway__name")]
    return {
        "revocation": done.pk,
        "user": done.user.ref.id,
        "requested_at": done.requested_at,
        "committed_at": done.committed_at,
        "reason": done.reason,
        "devices": [device.ref.id for device in done.devices.order_by("pk")],
        "sessions_ended": done.sessions_ended,
        "tokens_revoked": done.tokens_revoked,
        "is_enforced": all(target.enforced_at for target in targets),
        "gateways": [_target_output(done, target) for target in targets],
    }


def _target_output(done: Revocation, target: RevocationTarget) -> dict[str, Any]:
    after = None
    if target.enforced_at is not None:
        after = round((target.enforced_at - done.requested_at) / MILLISECOND)
    return {
        "gateway": target.gateway.ref.id,
        "name": target.gateway.name,
        "generation": target.generation,
        "notified_at": target.notified_at,
        "received_at": target.received_at,
        "enforced_at": target.enforced_at,
        "enforced_after_ms": after,
        "reported_at": target.reported_at,
        "flows_cut": target.flows_cut,
        "timings": target.timings,
        "stages_ms": {s.name: s.after_ms for s in stages(done, target)},
    }


def _person(request: Request) -> User:
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user


def _http(request: Request) -> PortalRequest:
    return cast("PortalRequest", request._request)  # noqa: SLF001 -- the wrapped one has the middleware's marks

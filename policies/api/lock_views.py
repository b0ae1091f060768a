"""The API of locks: the same gate and the same services as the pages.

Readers list them; administrators lock and lift with a recent proof. Only a person in
their browser: no token has a scope for this.
"""

from __future__ import annotations

import re
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from peers.api.problems import problem
from peers.api.views import PeersView
from policies import lock_selectors, services
from policies.api.identifiers import identifier
from policies.api.lock_serializers import LockInput, lock_output
from policies.errors import PolicyError
from policies.whatif import UnconfirmedError, carry_out
from portal.accounts.api.permissions import HasRecentProof, InBrowser, IsAdministrator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rest_framework.permissions import BasePermission
    from rest_framework.request import Request

    from policies.models import Lockable

PAGE_SIZE: Final = 100
STATES: Final = ("in_force", "ended", "all")
KINDS: Final = {
    "us": "user",
    "dv": "device",
    "gr": "group",
    "ap": "application",
    "gw": "gateway",
}
MACHINE_ID: Final = re.compile(r"(us|dv|gr|ap|gw)_([1-9][0-9]{0,17})", re.ASCII)


class LocksView(PeersView):
    """A view of locks, which answers refusals as problems."""

    def handle_exception(self, exc: Exception) -> Response:
        """Answer a refusal of the service as a problem."""
        if not isinstance(exc, PolicyError):
            return super().handle_exception(exc)
        is_held = isinstance(exc, UnconfirmedError)
        told = HTTPStatus.CONFLICT if is_held else HTTPStatus.BAD_REQUEST
        # The base class only says Response; any response is passed on.
        return cast("Response", problem(told, str(exc)))


class LockListView(LocksView):
    """The locks there are, and a new one."""

    def get_permissions(self) -> Sequence[BasePermission]:
        """Let readers read; the gate knows who they are."""
        if self.request.method == "POST":
            return (IsAdministrator(), HasRecentProof())
        return (InBrowser(),)

    def get(self, request: Request) -> Response:
        """List the newest, of one state, before an id."""
        state = request.query_params.get("state", "in_force")
        if state not in STATES:
            raise ValidationError({"state": ["is none there is"]})
        rows = lock_selectors.list_locks_in_state_for(self.person, state, now=self.now)
        if before := request.query_params.get("before"):
            rows = rows.filter(pk__lt=identifier(before, "before"))
        locks = [lock_output(row, now=self.now) for row in rows[:PAGE_SIZE]]
        return Response({"locks": locks})

    def post(self, request: Request) -> Response:
        """Lock."""
        form = LockInput(data=request.data)
        form.is_valid(raise_exception=True)
        sent = form.validated_data
        target = self.target(sent["target"])
        made = carry_out(
            partial(
                services.create_lock,
                target=target,
                message=sent["message"],
                expires_at=sent["expires_at"],
                actor=self.actor,
                now=self.now,
            ),
            title=f"Lock {target}",
            digest=None,
            is_confirmed=sent["confirm"],
            actor=self.actor,
            now=self.now,
        )
        told = lock_output(made, now=self.now)
        return Response(told, status=status.HTTP_201_CREATED)

    def target(self, text: str) -> Lockable:
        """Return what a machine id names."""
        found = MACHINE_ID.fullmatch(text)
        if found is None:
            raise ValidationError({"target": ["is no machine id such as us_7"]})
        kind, number = KINDS[found[1]], int(found[2])
        return lock_selectors.get_lockable_for(self.person, kind, number)


class LockLiftView(LocksView):
    """The end of a lock."""

    permission_classes = (InBrowser, HasRecentProof)

    def post(self, request: Request, lock_id: int) -> Response:
        """Lift it now; one that was lifted before stays as it is."""
        found = lock_selectors.get_lock_to_change_for(self.person, lock_id)
        if request.data:
            raise ValidationError({"detail": "lifting takes nothing"})
        done = services.lift_lock(lock=found, actor=self.actor, now=self.now)
        return Response(lock_output(done, now=self.now))

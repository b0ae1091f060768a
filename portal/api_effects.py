"""The API's dry run: what a change would do, without making it.

For administrators in their browser, as are the pages that make such changes. A change
is named by a word and the machine ids of what it is about.
"""

from __future__ import annotations

import re
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from django.http import Http404
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from peers import services as peers_services
from peers.api.problems import problem
from peers.api.serializers import ClosedInput, MomentField, TextField
from peers.api.views import PeersView
from peers.models import Gateway
from peers.selectors import get_gateway_to_change_for
from policies import lock_selectors, request_selectors, selectors, services
from policies.effect_output import outlook_output
from policies.errors import PolicyError
from policies.models import Application
from policies.services.inquiries import record_inquiry
from policies.whatif import outlook
from portal.accounts.api.permissions import IsAdministrator
from portal.accounts.models import Group, User
from portal.console.forms import parse_destination

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rest_framework.request import Request

    from policies.models import Lockable

KINDS: Final = {
    "us": "user",
    "dv": "device",
    "gr": "group",
    "ap": "application",
    "gw": "gateway",
}
MACHINE_ID: Final = re.compile(r"([a-z]{2})_([1-9][0-9]{0,17})", re.ASCII)
CHANGES: Final = (
    "grant.create",
    "grant.end",
    "application.update",
    "lock.create",
    "lock.lift",
    "request.approve",
    "gateway.retire",
)

NEEDS: Final = {
    "grant.create": ("subject", "expires_at"),
    "application.update": ("destinations", "gateways"),
}
"""What a change needs besides its target."""


class EffectInput(ClosedInput):
    """A change, what it is about, and what it needs besides."""

    change = serializers.ChoiceField(choices=CHANGES)
    target = TextField()
    subject = TextField(required=False, default="")
    expires_at = MomentField(required=False, allow_null=True, default=None)
    destinations = serializers.ListField(child=TextField(), required=False)
    gateways = serializers.ListField(child=TextField(), required=False)


class EffectView(PeersView):
    """What a change would do now."""

    permission_classes = (IsAdministrator,)

    def handle_exception(self, exc: Exception) -> Response:
        """Answer a refusal of the service as a problem."""
        if not isinstance(exc, PolicyError):
            return super().handle_exception(exc)
        # The base class only says Response; any response is passed on.
        return cast("Response", problem(HTTPStatus.BAD_REQUEST, str(exc)))

    def post(self, request: Request) -> Response:
        """Try it, take it back, and say what it did."""
        form = EffectInput(data=request.data)
        form.is_valid(raise_exception=True)
        sent = form.validated_data
        change = self.change(sent)
        found = outlook(change, is_asked=False, now=self.now)
        record_inquiry(
            question="effect",
            details={"change": sent["change"], "target": sent["target"]},
            actor=self.actor,
            now=self.now,
        )
        return Response(outlook_output(found))

    def change(self, sent: dict[str, Any]) -> Callable[[], object]:
        """Return the call of the service that makes a change."""
        changes: dict[str, Callable[..., Callable[[], object]]] = {
            "grant.create": self.grant_create,
            "grant.end": self.grant_end,
            "application.update": self.application_update,
            "lock.create": self.lock_create,
            "lock.lift": self.lock_lift,
            "request.approve": self.request_approve,
            "gateway.retire": self.gateway_retire,
        }
        needed = {
            name: sent[name] for name in NEEDS.get(sent["change"], ()) if name in sent
        }
        return changes[sent["change"]](sent["target"], **needed)

    def grant_create(
        self, target: str, *, subject: str, expires_at: datetime | None
    ) -> Callable[[], object]:
        """Return a grant of an application to a user or a group."""
        who, application = self.thing(subject, "subject"), self.thing(target)
        if not isinstance(who, User | Group):
            raise ValidationError({"subject": ["is no user and no group"]})
        if not isinstance(application, Application):
            raise ValidationError({"target": ["is no application"]})
        return partial(
            services.create_grant,
            application=application,
            user=who if isinstance(who, User) else None,
            group=who if isinstance(who, Group) else None,
            expires_at=expires_at,
            actor=self.actor,
            now=self.now,
        )

    def grant_end(self, target: str) -> Callable[[], object]:
        """Return the end of a grant."""
        grant = selectors.get_grant_to_change_for(self.person, number(target, "gt"))
        return partial(services.end_grant, grant=grant, actor=self.actor, now=self.now)

    def application_update(
        self,
        target: str,
        *,
        destinations: list[str] | None = None,
        gateways: list[str] | None = None,
    ) -> Callable[[], object]:
        """Return an application with other destinations or gateways."""
        found = selectors.get_application_to_change_for(
            self.person, number(target, "ap")
        )
        lines = [*map(str, found.destinations.all())]
        if destinations is not None:
            lines = destinations
        served = [*found.gateways.all()]
        return partial(
            services.update_application,
            application=found,
            name=found.name,
            description=found.description,
            destinations=[
                *map(parse_destination, lines if destinations is None else destinations)
            ],
            gateways=served if gateways is None else [*map(self.gateway, gateways)],
            actor=self.actor,
            now=self.now,
        )

    def lock_create(self, target: str) -> Callable[[], object]:
        """Return a lock; what it says does not matter to what it does."""
        return partial(
            services.create_lock,
            target=self.thing(target),
            message="to be said",
            actor=self.actor,
            now=self.now,
        )

    def lock_lift(self, target: str) -> Callable[[], object]:
        """Return the end of a lock."""
        lock = lock_selectors.get_lock_to_change_for(self.person, number(target, "lk"))
        return partial(services.lift_lock, lock=lock, actor=self.actor, now=self.now)

    def request_approve(self, target: str) -> Callable[[], object]:
        """Return an approval."""
        return partial(
            services.approve_request,
            request=request_selectors.get_request_to_review_for(
                self.person, number(target, "rq")
            ),
            reviewer=self.person,
            actor=self.actor,
            now=self.now,
        )

    def gateway_retire(self, target: str) -> Callable[[], object]:
        """Return the retirement of a gateway."""
        return partial(
            peers_services.retire_gateway,
            gateway=get_gateway_to_change_for(self.person, number(target, "gw")),
            actor=self.actor,
            now=self.now,
        )

    def gateway(self, text: str) -> Gateway:
        """Return the gateway that a machine id names."""
        found = self.thing(text, "gateways")
        if not isinstance(found, Gateway):
            raise ValidationError({"gateways": [f"{text} is no gateway"]})
        return found

    def thing(self, text: str, field: str = "target") -> Lockable:
        """Return what a machine id names."""
        match = MACHINE_ID.fullmatch(text)
        if match is None or match[1] not in KINDS:
            raise ValidationError({field: [f"{text!r} is no machine id such as us_7"]})
        return lock_selectors.get_lockable_for(
            self.person, KINDS[match[1]], int(match[2])
        )


def number(text: str, kind: str) -> int:
    """Return the number in the machine id of one kind; any other one is not there."""
    match = MACHINE_ID.fullmatch(text)
    if match is None or match[1] != kind:
        raise Http404
    return int(match[2])

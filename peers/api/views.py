"""The people's API: challenges, devices, me.

Who speaks is decided by the framework's settings (session with CSRF, or a bearer
token with the scope `devices`). The configuration's text comes from the layer above,
named in `settings.PEERAGE_CLIENT_CONFIG`.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.utils.module_loading import import_string
from rest_framework import status
from rest_framework.exceptions import NotAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from peers import selectors, services
from peers.api.problems import refusal
from peers.api.serializers import (
    EnrolmentInput,
    RevocationInput,
    device_output,
    person_output,
)
from peers.errors import PeerError
from peers.possession import public_key_of
from portal.accounts.actors import actor_of
from portal.accounts.models import User
from portal.accounts.sessions import sign_in_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rest_framework.request import Request

    from audit.actor import Actor
    from audit.http import PortalRequest
    from peers.models import Device


class PeersView(APIView):
    """A view that knows the person, the moment and how to refuse."""

    @property
    def person(self) -> User:
        """Who asks."""
        if not isinstance(self.request.user, User):
            raise NotAuthenticated
        return self.request.user

    @property
    def actor(self) -> Actor:
        """Who acts; a bearer token is not seen by the middleware."""
        return actor_of(self.person, self._portal_request)

    @property
    def now(self) -> datetime:
        """When the request came."""
        return self._portal_request.received_at

    def issue(self, device: Device) -> str:
        """Return the configuration of a device, from the layer that knows policy."""
        text: Callable[..., str] = import_string(settings.PEERAGE_CLIENT_CONFIG)
        services.record_config_issued(device=device, actor=self.actor, now=self.now)
        return text(device, now=self.now)

    @property
    def _portal_request(self) -> PortalRequest:
        return cast("PortalRequest", self.request._request)  # noqa: SLF001 -- the wrapped one has the middleware's marks

    def handle_exception(self, exc: Exception) -> Response:
        """Answer a refusal of the services as a problem."""
        if isinstance(exc, PeerError):
            # The base class only says Response; any response is passed on.
            return cast("Response", refusal(exc))
        return super().handle_exception(exc)

    def finalize_response(
        self,
        request: Request,
        response: Response,
        *args: Any,  # noqa: ANN401 -- the framework's signature
        **kwargs: Any,  # noqa: ANN401 -- the framework's signature
    ) -> Response:
        """Keep every answer out of caches."""
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "no-store"
        return final


class ChallengesView(PeersView):
    """Challenges for possession proofs."""

    def post(self, _request: Request) -> Response:
        """Make a challenge for one enrolment."""
        challenge = services.create_challenge(user=self.person, now=self.now)
        return Response(
            {
                "challenge": str(challenge.pk),
                "public_key": public_key_of(bytes(challenge.ephemeral_key)),
                "nonce": base64.b64encode(bytes(challenge.nonce)).decode(),
            },
            status=status.HTTP_201_CREATED,
        )


class DevicesView(PeersView):
    """My devices."""

    def get(self, _request: Request) -> Response:
        """List my devices."""
        devices = selectors.list_devices_for(self.person)
        return Response({"devices": [device_output(device) for device in devices]})

    def post(self, request: Request) -> Response:
        """Enrol a device."""
        form = EnrolmentInput(data=request.data)
        form.is_valid(raise_exception=True)
        sent = form.validated_data
        enrolled = services.enroll_device(
            user=self.person,
            name=sent["name"],
            platform=sent["platform"],
            public_key=sent["public_key"],
            challenge_id=sent["challenge"],
            proof=sent["proof"],
            actor=self.actor,
            now=self.now,
            # A session beside a bearer token is not what the request is judged by.
            sign_in=sign_in_of(self._portal_request) if request.auth is None else "",
        )
        device = selectors.get_own_device_for(self.person, enrolled.pk)
        answer = {"device": device_output(device), "config": self.issue(device)}
        return Response(answer, status=status.HTTP_201_CREATED)


class DeviceConfigView(PeersView):
    """The configuration of one of my devices."""

    def get(self, _request: Request, device_id: int) -> Response:
        """Return it, without its private key."""
        device = selectors.get_own_device_for(self.person, device_id)
        return Response({"config": self.issue(device)})


class DeviceRevokeView(PeersView):
    """The end of a device."""

    def post(self, request: Request, device_id: int) -> Response:
        """Revoke a device; a token reaches its owner's own, whatever their role."""
        gate = (
            selectors.get_device_to_change_for
            if request.auth is None
            else selectors.get_own_device_for
        )
        device = gate(self.person, device_id)
        form = RevocationInput(data=request.data)
        form.is_valid(raise_exception=True)
        services.revoke_device(
            device=device,
            reason=form.validated_data["reason"],
            actor=self.actor,
            now=self.now,
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class MeView(PeersView):
    """Who I am to the portal."""

    def get(self, _request: Request) -> Response:
        """Return me."""
        return Response(person_output(self.person))

"""The request as the middleware hands it on, typed here so that all may say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor


class PortalRequest(HttpRequest):
    """A request with its id, its moment and its acting party."""

    request_id: str
    client_address: str
    received_at: datetime
    actor: Actor

"""What the layers below ask of this one. They find it by name in the settings.

An import the other way round would turn the arrow between the apps (STYLE 2); the
moment is read here because a device's configuration is asked for without one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from policies import selectors

if TYPE_CHECKING:
    from peers.models import Device


def client_config(device: Device) -> str:
    """Return the wg-quick(8) text of a device as of now, without its private key."""
    return selectors.client_config(device, now=datetime.now(UTC))  # noqa: TID251 -- the edge

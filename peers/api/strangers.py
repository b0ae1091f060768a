"""Places whose requests are refused all the time, and gateways that are known there.

Whoever sends requests that no gateway signed is refused by looking at the database,
each time. Once a place has had more than `REFUSED_A_MINUTE` refused, what comes from
there waits apart from the gateways (`policies.connections`), unless the key that the
gateway used last signed it: behind one address, or a proxy that is not named in
PEERAGE_TRUSTED_PROXIES, honest gateways and strangers look the same. Kept in memory, by
each process for itself; a process that began just now suspects nobody. No limit here
is a limit on gateways.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from audit.refusals import place_of
from peers.api.signatures import (
    parse_signature,
    parse_signature_input,
    signature_base,
)
from peers.errors import GatewayRequestError
from peers.services.signing_keys import is_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from audit.http import PortalRequest
    from peers.models import Gateway

REFUSED_A_MINUTE: Final = 60
MOST_PLACES: Final = 10_000


class Strangers:
    """What was refused in this minute, by place, and the keys of who was not."""

    def __init__(self) -> None:
        """Nobody was refused."""
        self._lock = threading.Lock()
        self._minute = 0
        self._refused: dict[str, int] = {}
        self._keys: dict[int, bytes] = {}

    def refused(self, request: PortalRequest) -> None:
        """Count a request that nobody known has signed."""
        place = place_of(request.actor.address)
        with self._lock:
            self._begin(request)
            # Of more places than these, the others share one count.
            if place not in self._refused and len(self._refused) >= MOST_PLACES:
                place = ""
            self._refused[place] = self._refused.get(place, 0) + 1

    def accepted(self, gateway: Gateway) -> None:
        """Remember the key of a gateway, by which it is told from strangers."""
        self._keys[gateway.pk] = bytes(gateway.signing_key or b"")

    def is_suspect(
        self,
        request: PortalRequest,
        components: Callable[[PortalRequest], Sequence[tuple[str, str]]],
    ) -> bool:
        """Return whether a request waits apart; touches no database."""
        place = place_of(request.actor.address)
        with self._lock:
            self._begin(request)
            is_full = len(self._refused) >= MOST_PLACES
            known_as = "" if is_full and place not in self._refused else place
            is_often = self._refused.get(known_as, 0) > REFUSED_A_MINUTE
        return is_often and not self._is_known(request, components)

    def _begin(self, request: PortalRequest) -> None:
        minute = int(request.received_at.timestamp()) // 60
        if minute != self._minute:
            self._minute = minute
            self._refused.clear()

    def _is_known(
        self,
        request: PortalRequest,
        components: Callable[[PortalRequest], Sequence[tuple[str, str]]],
    ) -> bool:
        try:
            announced = parse_signature_input(
                request.headers.get("Signature-Input", "")
            )
            signature = parse_signature(request.headers.get("Signature", ""))
            signed = signature_base(components(request), announced.params)
        except GatewayRequestError:
            return False
        key = self._keys.get(announced.gateway_id)
        return key is not None and is_signed(key, signature, signed)


strangers: Final = Strangers()

"""Codes of the reference that mean nothing yet, and why: no other may take them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SECOND_FACTORS: Final = "second factors are the identity provider's; ID001 has `amr`"
ROTATION: Final = "device keys do not rotate yet; another key is another device"
SESSIONS: Final = (
    "the portal keeps handshakes as sightings, it makes no sessions of them"
)

RESERVED: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "ID003": ("mfa.verify", SECOND_FACTORS),
        "ID004": ("mfa.factor.add", SECOND_FACTORS),
        "ID005": ("mfa.factor.remove", SECOND_FACTORS),
        "ID012": ("role.revoke", "a role is replaced; ID011 says both"),
        "ID013": ("session.step_up.deny", "a stale sign-in is asked for a fresh one"),
        "DV003": ("device.enroll.deny", "nobody waits to be let in; DV001W refuses"),
        "DV008": ("device.config.reuse", "a configuration has no one-time link"),
        "DV010": ("device.suspend", "a lock on the device does it: RQ009"),
        "DV011": ("device.resume", "lifting the lock does it: RQ010"),
        "DV014": (
            "device.dormant",
            "the alarm on a dormant device that wakes tells it",
        ),
        "KY002": ("key.rotation.request", ROTATION),
        "KY003": ("key.rotation.stage", ROTATION),
        "KY004": ("key.rotation.cutover", ROTATION),
        "KY005": ("key.rotation.complete", ROTATION),
        "KY006": ("key.rotation.overdue", ROTATION),
        "KY007": ("key.retire", ROTATION),
        "KY008": ("key.retired.use", ROTATION),
        "KY009": ("key.shared.suspect", "SE004 tells of a key that roams too much"),
        "KY011": ("psk.rotate", "peers hold no preshared key"),
        "PL005": ("grant.update", "a grant never changes; it ends and another begins"),
        "PL007": ("policy.compile", "what was compiled is published at once: PL009"),
        "SE001": ("tunnel.session.start", SESSIONS),
        "SE002": ("tunnel.endpoint.change", SESSIONS),
        "SE003": ("tunnel.session.end", SESSIONS),
        "FL001": ("flow.start", "the log of connections holds it"),
        "FL002": ("flow.end", "the log of connections holds it"),
        "FL003": ("flow.denied", "the log of connections holds it"),
    }
)

"""Why a connection was denied, or how it ended, in words for people.

The codes are the gateway's log prefixes (`policies.compiler.fixed`) and the ends that
its agent tells; what was on its way to a device begins with `inbound_`. Codes stay in
the exports; pages show both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SENTENCES: Final[Mapping[str, str]] = {
    "no_grant": "No grant lets this person reach this destination.",
    "lateral": "Devices do not reach each other.",
    "input": "Devices do not reach the gateway itself.",
    "no_device": (
        "The device had lost its access: it was revoked or its session had ended."
        " Packets that were on their way then are still counted here."
    ),
    "not_live": "The gateway was closed: it had not heard from the portal in time.",
    "withheld": (
        "No grant let it pass while an application there was closed by its own terms:"
        " the gateway had not heard from the portal in its time, or could not record"
        " connections."
    ),
    "spoofed": "The source address is a device's, but the packet came from elsewhere.",
    "invalid": "The packet fits no connection that the gateway knows.",
    "mid_stream": (
        "The packet continues a connection that the gateway does not know,"
        " for example one that was cut."
    ),
    "crowded": (
        "The device opened very many connections within seconds;"
        " it may open new ones again after ten."
    ),
    "unknown": "The gateway gave no reason.",
    "inbound_no_device": (
        "An application's packet to a device that had lost its access: a late"
        " answer to a connection that was cut. The person sent nothing."
    ),
    "inbound_not_live": (
        "An application's packet to this device while the gateway was closed."
        " The person sent nothing."
    ),
    "inbound_unsolicited": (
        "A packet to this device that answers no connection of it."
        " The person sent nothing."
    ),
    "unsolicited": "A packet to a device that answers no connection of it.",
    "closed": "It ended by itself.",
    "revoked": "The gateway cut it, because the access behind it had ended.",
    "restart": (
        "It ended while nobody was watching, or its end was lost;"
        " its bytes are not known."
    ),
}


def explained(code: str) -> str:
    """Return the sentence of a code; one that is not ours is shown as it is."""
    return SENTENCES.get(code, code)

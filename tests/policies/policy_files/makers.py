"""A policy file for the cast: engineering reaches the wiki."""

from __future__ import annotations

import json
from typing import Final

HOSTS: Final = {"wiki": "10.1.0.0/24", "git": "10.2.0.5"}


WINDOW: Final = {"days": ["mon"], "from": "08:00", "until": "18:00"}
DEMANDS: Final[dict[str, object]] = {
    "schedule": {"timeZone": "Europe/Berlin", "windows": [WINDOW]},
    "maxAuthAge": "8h",
    "amr": ["mfa"],
    "requireApproval": True,
}
"""Every condition there is. NOW is a Monday, 13:00 in Berlin."""


def conditional(src: str, dst: str) -> dict[str, object]:
    """Return one entry of `grants` with every condition."""
    return {**grant(src, dst), **DEMANDS}


def grant(src: str, dst: str, ip: str = "tcp:443", **more: object) -> dict[str, object]:
    """Return one entry of `grants`."""
    return {"src": [src], "dst": [dst], "ip": [ip], **more}


def source(*grants: dict[str, object], **sections: object) -> str:
    """Return the text of a policy file."""
    return json.dumps({"hosts": HOSTS, "grants": list(grants), **sections})

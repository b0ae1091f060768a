"""Calls of the people's API, as a browser or a command line makes them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from django.test import Client
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

    from tests.peers.makers import Machine


def post(client: Client, path: str, body: object = None) -> Answer:
    """Post JSON."""
    return client.post(path, json.dumps(body or {}), content_type="application/json")


def enrolment(client: Client, machine: Machine, **changed: object) -> dict[str, Any]:
    """Ask for a challenge; return what a machine then posts to enrol."""
    challenge = post(client, "/api/v1/challenges/").json()
    return {
        "name": "laptop",
        "platform": "linux",
        "public_key": machine.public_key,
        "challenge": challenge["challenge"],
        "proof": machine.answer(
            challenge_id=UUID(challenge["challenge"]),
            portal_key=challenge["public_key"],
            nonce=base64.b64decode(challenge["nonce"]),
        ),
        **changed,
    }

"""What the portal's answers hold, read without believing any of it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from gateway.errors import PortalAnswerError

MAX_DETAIL: Final = 200
VERSION: Final = r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}"
"""Numbers with points between."""


def parse_json(body: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        PortalAnswerError: it is something else.
    """
    try:
        document = json.loads(body)
    except ValueError as exc:
        raise PortalAnswerError("the portal's answer is not JSON") from exc
    if not isinstance(document, dict):
        raise PortalAnswerError("the portal's answer is not a JSON object")
    return document


def envelope_in(document: Mapping[str, Any], name: str) -> bytes | None:
    """Return an envelope that an answer holds, or None for none.

    Raises:
        PortalAnswerError: there is something else.
    """
    envelope = document.get(name)
    if not isinstance(envelope, dict | None):
        raise PortalAnswerError(f"{name} is not an envelope")
    return None if envelope is None else json.dumps(envelope).encode()


def agent_versions(told: object) -> tuple[str, str] | None:
    """Return the version of the portal's agent and the oldest it can serve, if told.

    It is not signed, and only shown: what is no version is as if nothing was told.
    """
    if not isinstance(told, dict):
        return None
    current, least = (str(told.get(name)) for name in ("version", "least"))
    known = re.fullmatch(VERSION, current) and re.fullmatch(VERSION, least)
    return (current, least) if known else None


def http_date(text: str) -> datetime | None:
    """Return the time of a `Date` field (RFC 9110 §6.6.1), None if it holds none."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def problem_detail(body: bytes) -> str:
    """Return what a problem document says (RFC 9457), shortened and printable."""
    try:
        document = json.loads(body)
        text = str(document.get("detail") or document.get("title") or "no reason")
    except (ValueError, AttributeError):
        text = "no reason given"
    return "".join(c for c in text if c.isprintable())[:MAX_DETAIL]

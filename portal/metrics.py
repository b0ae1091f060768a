"""The portal's figures for Prometheus: how the logs are sealed, witnessed, and housed.

`GET /metrics` with `Authorization: Bearer` and `PEERAGE_METRICS_TOKEN`; without that
setting there is no such page. Gateways publish their own figures (ADR-0025).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.http import Http404, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit import room
from audit.log_states import log_states
from audit.witness_states import witnessing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from audit.http import PortalRequest
    from audit.log_states import LogState

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Line = tuple[str, float]


@never_cache
@require_safe
def metrics(request: PortalRequest) -> HttpResponse:
    """Return the figures to who has the token.

    Raises:
        Http404: no token is set, or another one was sent.
    """
    token = settings.PEERAGE_METRICS_TOKEN
    sent = request.headers.get("Authorization", "")
    wanted = f"Bearer {token}"
    if not token or not secrets.compare_digest(sent.encode(), wanted.encode()):
        raise Http404
    text = "".join(_text(request.received_at))
    return HttpResponse(text, content_type=CONTENT_TYPE)


def _text(now: datetime) -> Iterator[str]:
    states = log_states(now)
    yield from _figure(
        "peerage_log_checkpoint_age_seconds",
        "Seconds since a log was signed last.",
        [
            (_log(state), age.total_seconds())
            for state in states
            if (age := state.age(now)) is not None
        ],
    )
    yield from _figure(
        "peerage_log_leaves",
        "Leaves that the last checkpoint of a log covers.",
        [(_log(state), state.size) for state in states],
    )
    yield from _figure(
        "peerage_log_outbox_rows",
        "Events that wait for the sealer.",
        [(_log(state), state.waiting) for state in states],
    )
    yield from _figure(
        "peerage_log_sealer_refuses",
        "1 while the sealer refuses to sign a log.",
        [(_log(state), float(bool(state.refusal))) for state in states],
    )
    yield from _witness_figures()
    yield from _room_figures()


def _witness_figures() -> Iterator[str]:
    found = witnessing()
    yield from _figure(
        "peerage_log_witness_behind_leaves",
        "Leaves of a log that a witness has not signed yet.",
        [
            (f'witness="{_quoted(witness.name)}",log="{mark.log.value}"', mark.behind)
            for witness in found.witnesses
            for mark in witness.marks
        ],
    )
    yield from _figure(
        "peerage_log_quorum",
        "1 if enough witnesses of the policy file have signed a log.",
        [
            (f'log="{quorum.log.value}"', float(quorum.size is not None))
            for quorum in found.quorums
        ],
    )


def _room_figures() -> Iterator[str]:
    found = room.look()
    if found is None:
        return
    for name, text, value in (
        ("free", "Bytes free on the disk of the log.", found.free),
        ("reserve", "Bytes below which nothing is granted.", found.reserve),
        ("ballast", "Bytes that can be given back.", found.ballast),
    ):
        yield from _figure(f"peerage_room_{name}_bytes", text, [("", value)])


def _figure(name: str, text: str, lines: Sequence[Line]) -> Iterator[str]:
    if not lines:
        return
    yield f"# HELP {name} {text}\n# TYPE {name} gauge\n"
    for labels, value in lines:
        yield f"{name}{{{labels}}} {value}\n" if labels else f"{name} {value}\n"


def _log(state: LogState) -> str:
    return f'log="{state.log.value}"'


def _quoted(text: str) -> str:
    """Return a label's value (the text format of Prometheus, version 0.0.4)."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

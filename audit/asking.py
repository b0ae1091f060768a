"""Asking witnesses that stand alone for their signatures (C2SP tlog-witness).

Runs beside the sealer: a witness that does not answer holds up nothing.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import Error, close_old_connections, connections

from audit import outbound, witnesses
from audit.actor import SYSTEM, Ref
from audit.errors import AuditError, WitnessRefusedError
from audit.models import Cosignature, Log
from audit.tlog.cosignature import WitnessKey, parse_witness_key
from audit.tlog.note import NoteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

logger = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 10.0
SIZE: Final = re.compile(rb"(0|[1-9][0-9]{0,17})\n")
HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8"}
CONVICTING: Final = {HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY}


def run(stop: Event) -> None:
    """Ask every witness again and again until told to stop."""
    while not stop.wait(PERIOD_SECONDS):
        try:
            ask_all(now=datetime.now(UTC))  # noqa: TID251 -- a process is an edge
        except (Error, NoteError):
            logger.exception("the witnesses were not asked")
        close_old_connections()
    connections.close_all()


def configured() -> Iterator[tuple[WitnessKey, str]]:
    """Return the witnesses of PEERAGE_WITNESSES: `NAME+ID+KEY@URL`, any number.

    Raises:
        NoteError: one of them is no such thing.
    """
    for text in settings.PEERAGE_WITNESSES:
        key, separator, url = text.partition("@")
        if not separator:
            raise NoteError(f"{text!r} is not NAME+ID+KEY@URL")
        yield parse_witness_key(key), url.rstrip("/")


def ask_all(*, now: datetime) -> int:
    """Ask each witness about each log; return how many signatures came."""
    came = 0
    for key, url in configured():
        for log in Log:
            try:
                came += ask(log, key=key, url=url, now=now)
            except AuditError as exc:
                logger.warning(
                    "no signature of %s under the %s log: %s", key.name, log.value, exc
                )
    return came


def ask(log: Log, *, key: WitnessKey, url: str, now: datetime) -> bool:
    """Return whether a witness signed something new.

    Raises:
        AuditError: it could not be asked, or does not sign; a witness that saw
            another history is an alert.
    """
    mine = Cosignature.objects.filter(log=log, witness=key.name).order_by("-size")
    old = mine.values_list("size", flat=True).first() or 0
    answer, size = _asked(log, url, old, now)
    if answer is not None and answer.status == HTTPStatus.CONFLICT:
        # It knows a later head than its last signature here, or an earlier one.
        told = SIZE.fullmatch(answer.body)
        answer, size = _asked(log, url, int(told[1]) if told else 0, now)
    if answer is None:
        return False
    if answer.status in CONVICTING or answer.status == HTTPStatus.CONFLICT:
        reason = answer.body.decode(errors="replace").strip()
        witness = Ref(id=key.name, label=url)
        witnesses.record_refusal(
            log=log, reason=reason, witness=witness, actor=SYSTEM, now=now
        )
        raise WitnessRefusedError(reason)
    if not answer.is_success:
        raise AuditError(f"{url} answered {answer.status}")
    witnesses.take_cosignature(
        log=log,
        size=size,
        key=str(key),
        line=answer.body.decode(errors="replace"),
        name=key.name,
        actor=SYSTEM,
        now=now,
    )
    return True


def _asked(
    log: Log, url: str, old: int, now: datetime
) -> tuple[outbound.Answer | None, int]:
    """Send what is new since `old`; None if nothing is."""
    shown = witnesses.shown(log, old=old, now=now)
    if shown is None:
        return None, 0
    answer = outbound.post(f"{url}/add-checkpoint", shown.request, headers=HEADERS)
    return answer, shown.size

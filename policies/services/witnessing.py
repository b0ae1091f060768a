"""What a gateway says as a witness of the logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit import witnesses
from audit.errors import WitnessRefusedError
from policies.errors import AcknowledgementError

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor
    from peers.models import Gateway
    from policies.witnessing import Told


def hear_witness(*, told: Told, gateway: Gateway, actor: Actor, now: datetime) -> None:
    """Keep a gateway's signature under a checkpoint, or record its refusal.

    Raises:
        AcknowledgementError: the signature is not its own, or of nothing shown.
    """
    ref = gateway.ref
    if told.refused:
        witnesses.record_refusal(
            log=told.log, reason=told.refused, witness=ref, actor=actor, now=now
        )
        return
    try:
        witnesses.take_cosignature(
            log=told.log,
            size=told.size,
            key=told.key,
            line=told.line,
            name=ref.id,
            actor=actor,
            now=now,
        )
    except WitnessRefusedError as exc:
        raise AcknowledgementError(str(exc)) from exc

"""A gateway asks for what is newer than what it has, and waits for it.

It waits without a thread and without a connection: authentication and reading run in a
pool, and in between there is nothing but an entry in the notifier. A client that goes
away cancels the wait.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET

from peers.api.authentication import gateway_actor, require_free
from peers.api.problems import refusal
from peers.errors import PeerError
from peers.selectors import free_gateways
from policies import agents, notifier, selectors, services
from policies.api.exchange import (
    json_answer,
    patience,
    policy_problem,
    standing_of,
)
from policies.connections import Together, in_first_pool, in_pool
from policies.deltas import LEAST_WHOLE, changed_envelope
from policies.errors import PolicyError, SnapshotError
from policies.leases import signed_lease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audit.http import PortalRequest
    from peers.models import Gateway
    from policies.models import GatewayRecovery, Snapshot
    from policies.notifier import Position
    from policies.positions import Standing

_DELTAS: Final = threading.BoundedSemaphore(1)


class Asked(NamedTuple):
    """Who waits for what is after what it has; the last time it is told, anyway."""

    gateway: Gateway
    standing: Standing
    recovery: GatewayRecovery | None
    is_last: bool = False


class Reply(NamedTuple):
    """What is answered; the envelope of a snapshot, if there is a newer one."""

    lease: bytes
    envelope: str | None
    more: bytes

    @property
    def is_long(self) -> bool:
        """Whether it may be worth to say only what changed."""
        return self.envelope is not None and len(self.envelope) >= LEAST_WHOLE


@csrf_exempt
@never_cache
@require_GET
async def snapshot(request: HttpRequest) -> HttpResponse:
    """Return the snapshot beyond `after`, at once or when there is one, and a lease."""
    try:
        asked = await in_pool(_begin)(cast("PortalRequest", request))
        told = await notifier.wait_for_newer(
            asked.gateway.pk,
            asked.standing.position,
            look=partial(_look, asked),
            # Who is being recovered is told how that goes.
            seconds=patience() if asked.recovery is None else 0,
        )
        # Not among those who are answered together: it would hold them all up.
        may_shorten = told.is_long and asked.standing.takes_delta
        changed = await in_first_pool(_changed)(asked, told) if may_shorten else None
        return _written(told, changed)
    except PeerError as exc:
        return refusal(exc)
    except PolicyError as exc:
        return policy_problem(exc)


def _begin(request: PortalRequest) -> Asked:
    gateway, standing = standing_of(request, "snapshot")
    actor, now = gateway_actor(gateway, request), request.received_at
    published = selectors.published(gateway)
    if published is None:
        # Its first poll since it enrolled.
        services.publish_snapshots(
            gateway_ids=[gateway.pk], cause="gateway.first_poll", actor=actor, now=now
        )
        published = selectors.published(gateway)
    recovery = services.note_standing(
        gateway=gateway, standing=standing, published=published, actor=actor, now=now
    )
    return Asked(gateway, standing, recovery)


async def _look(asked: Asked, *, is_last: bool) -> Reply | None:
    return await _answers(asked._replace(is_last=is_last))


def _answer_all(asked: Sequence[Asked]) -> list[Reply | Exception | None]:
    """Answer everybody whom one change has woken, with one look at the database."""
    now = datetime.now(UTC)  # noqa: TID251 -- the lease begins when it is given
    beyond: dict[int, Position] = {}
    for one in asked:
        after = one.standing.position
        beyond[one.gateway.pk] = min(after, beyond.get(one.gateway.pk, after))
    free = free_gateways(beyond)
    current = selectors.current_snapshots(beyond)
    answers: list[Reply | Exception | None] = []
    for one in asked:
        try:
            # It was authenticated before it waited; what came to light since counts.
            require_free(one.gateway, among=free)
            answers.append(_answer(one, current.get(one.gateway.pk), now))
        except (PeerError, PolicyError) as exc:
            answers.append(exc)
    return answers


_answers: Final = Together(_answer_all)


def _answer(asked: Asked, current: Snapshot | None, now: datetime) -> Reply | None:
    """Return what is told; None as long as it is to wait."""
    is_newer = (
        current is not None
        and (current.epoch, current.generation) > asked.standing.position
    )
    if not (is_newer or asked.is_last):
        return None
    if current is None:
        msg = "there is no policy for this gateway that compiles"
        raise SnapshotError(msg)
    return Reply(
        lease=signed_lease(current, now=now),
        envelope=current.envelope if is_newer else None,
        more=b"" if asked.recovery is None else _recovering(asked.recovery),
    )


def _changed(asked: Asked, told: Reply) -> bytes | None:
    """Return what changed since the snapshot that is held, if it may (ADR-0022)."""
    standing = asked.standing
    if standing.holds is None or told.envelope is None:
        return None
    # Who comes while others are being worked out gets the whole, which is at hand.
    if not _DELTAS.acquire(blocking=False):
        return None
    try:
        before = selectors.envelope_of(asked.gateway, standing.holds)
        return changed_envelope(before, told.envelope) if before else None
    finally:
        _DELTAS.release()


def _written(told: Reply, changed: bytes | None) -> HttpResponse:
    if changed is not None:
        news = b'null,"delta":' + changed
    else:
        # The stored envelope is JSON already, and may be megabytes.
        news = b"null" if told.envelope is None else told.envelope.encode()
    more = b',"agent":' + agents.TOLD + told.more
    return json_answer(b'{"lease":' + told.lease + b',"snapshot":' + news + more + b"}")


def _recovering(recovery: GatewayRecovery) -> bytes:
    """Return what a gateway that is ahead is told besides (ADR-0021)."""
    if recovery.step:
        return b',"epoch":' + recovery.step.encode()
    is_asked = recovery.asked_at and not recovery.shown_at and not recovery.is_left_out
    return b',"ask":"revoked"' if is_asked else b""

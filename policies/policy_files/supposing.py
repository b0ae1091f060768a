"""An explanation by a policy file that is not in force: applied, asked, taken back.

So the answer is the one that would be given after `apply`, whatever a file can say.
Nothing stays of it: no row, no event, no notice to a gateway. What a file would change
takes long to find out and is found out before anything is locked: no revocation waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction

from policies.compiler.errors import CompilerError
from policies.errors import PolicyError
from policies.explanations import Answer, answer
from policies.policy_files.applying import suppose, supposed_plan
from policies.trials import versions

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from audit.actor import Actor
    from peers.models import Device
    from policies.compiler.explanation import Question
    from policies.policy_files.planning import Plan
    from portal.accounts.models import User

PATIENT_ATTEMPTS: Final = 3
"""Overtaken more often, it is planned in the transaction."""


def answer_supposing(
    source: bytes | str,
    person: User,
    device: Device | None,
    question: Question,
    *,
    gateways: Collection[str] = (),
    actor: Actor,
    now: datetime,
) -> Answer:
    """Answer a reader's question as if a policy file had been applied.

    Raises:
        DialectError: the file is malformed or out of the dialect's subset.
        PolicyError: the portal cannot do what it says, or the question is about the
            past, in which no other policy was in force.
    """
    if question.at < now:
        msg = "what is past was by the policy of then; suppose one for now or later"
        raise PolicyError(msg)

    def told(plan: Plan) -> Answer:
        try:
            suppose(plan, actor=actor, now=now)
        except CompilerError as exc:
            raise PolicyError(str(exc)) from exc
        return answer(
            person, device, question, now=now, with_others=True, is_supposed=True
        )

    for is_last in (*[False] * PATIENT_ATTEMPTS, True):
        began = versions()
        plan = _plan(source, gateways, now)
        with transaction.atomic():
            if versions() != began:
                # Somebody changes policies all the time.
                if not is_last:
                    continue
                plan = _plan(source, gateways, now)
            found = told(plan)
            transaction.set_rollback(True)
        break
    return found


def _plan(source: bytes | str, gateways: Collection[str], now: datetime) -> Plan:
    try:
        return supposed_plan(source, gateways=gateways, now=now)
    except CompilerError as exc:
        raise PolicyError(str(exc)) from exc

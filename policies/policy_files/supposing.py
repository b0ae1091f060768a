"""An explanation by a policy file that is not in force: applied, asked, taken back.

So the answer is the one that would be given after `apply`, whatever a file can say.
Nothing stays of it: no row, no event, no notice to a gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from policies.compiler.errors import CompilerError
from policies.errors import PolicyError
from policies.explanations import Answer, answer
from policies.policy_files.applying import suppose_policy

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from audit.actor import Actor
    from peers.models import Device
    from policies.compiler.explanation import Question
    from portal.accounts.models import User


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
    with transaction.atomic():
        try:
            suppose_policy(source, gateways=gateways, actor=actor, now=now)
        except CompilerError as exc:
            raise PolicyError(str(exc)) from exc
        found = answer(
            person, device, question, now=now, with_others=True, is_supposed=True
        )
        transaction.set_rollback(True)
    return found

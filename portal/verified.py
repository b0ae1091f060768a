"""What the verifier says of the log, for an evidence pack.

It reads all of both logs, a million leaves a minute or so. Where a page would wait too
long for that, the pack tells which verification was recorded last instead (`AU004`),
and how to run one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from audit.events import EventCode
from audit.leaves import moment
from audit.models import AuditEvent, SealerState
from audit.tlog.note import parse_verifier_key
from audit.tlog.policy import PolicyError, trusting
from audit.verification import verify_log
from audit.witness_states import named_policy

if TYPE_CHECKING:
    from datetime import datetime

    from audit.tlog.policy import Policy

PAGE_LEAVES: Final = 50_000
"""Leaves of both logs that are verified while somebody waits for a page."""
OWN_KEYS: Final = "the logs' keys as the database has them, and no witness"
POLICY_FILE: Final = "the policy file of this deployment"


def verification(*, most: int | None, now: datetime) -> bytes:
    """Return the verifier's report on both logs as JSON.

    With `most` leaves at most it is run; where the logs are longer, the answer says
    what was recorded last. Run it outside a transaction: on SQLite everybody who writes
    would wait for it.
    """
    leaves = sum(SealerState.objects.values_list("size", flat=True))
    if most is not None and leaves > most:
        told: dict[str, Any] = {
            "verified_at": None,
            "why_not": f"{leaves} leaves are too many for a page: run"
            " manage.py evidence_pack, or manage.py verify_log",
            "last": _last(),
        }
    else:
        policy, believed = _policy()
        report = verify_log(policy)
        told = {
            "verified_at": moment(now),
            "believed": believed,
            "report": json.loads(report.as_json()),
            "last": _last(),
        }
    return json.dumps(told, ensure_ascii=True, indent=1).encode()


def _policy() -> tuple[Policy, str]:
    """Return whom to believe, and what that is in words."""
    problem = ""
    try:
        if (named := named_policy()) is not None:
            return named, POLICY_FILE
    except PolicyError as exc:
        problem = f" (the policy file is not read: {exc})"
    keys = SealerState.objects.exclude(key="").values_list("key", flat=True)
    return trusting(*map(parse_verifier_key, keys)), OWN_KEYS + problem


def _last() -> dict[str, Any] | None:
    """Return the verification that was recorded last."""
    found = AuditEvent.objects.filter(code=EventCode.AUDIT_VERIFY).first()
    if found is None:
        return None
    return {
        "at": moment(found.at),
        "event": str(found.uid),
        "code": str(found),
        "faults": found.details.get("faults"),
        "by": found.actor_label,
    }

"""The history of policy files, and which text stands for the policy now (ADR-0015).

* A file is kept as it was sent, in the transaction that applies it.
* The policy's text is the newest file while applying it again would change nothing;
  otherwise somebody changed the policy elsewhere, and the export speaks.
* A portal is untouched while it never had a file, an application or a grant.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction

from policies.compiler.errors import CompilerError
from policies.dialect.errors import DialectError
from policies.dialect.formatting import fmt
from policies.errors import PolicyError
from policies.models import Application, Grant, LabelGrant, PolicyVersion
from policies.policy_files.documents import export_policy, open_policy
from policies.policy_files.errors import StaleFileError
from policies.policy_files.planning import grants_of_file, is_applied
from policies.policy_files.state import read_state

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor
    from policies.policy_files.state import State

DENY_ALL: Final = """{
	// What is not granted is denied: nobody reaches anything.
	"grants": [],
}
"""
"""The policy that an empty file stands for, with a word to its reader."""

UNTOUCHED: Final = "ts-default"
"""The ETag that holds only while there never was any policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentPolicy:
    """The text that stands for the policy now; `number` is None for an export."""

    text: str
    etag: str
    number: int | None = None


def current_policy(state: State, *, now: datetime) -> CurrentPolicy:
    """Return the newest file if it is what is in force, else the exported policy.

    Raises:
        DialectError: the policy cannot be said in a file.
    """
    newest = PolicyVersion.objects.first()
    if newest is not None and _is_in_force(newest.text, state, now):
        return CurrentPolicy(text=newest.text, etag=newest.etag, number=newest.number)
    text = DENY_ALL if is_untouched() else export_policy(state, now=now)
    return CurrentPolicy(text=text, etag=etag_of(text))


def is_untouched() -> bool:
    """Return whether the portal never had a policy of any kind."""
    return not (
        PolicyVersion.objects.exists()
        or Application.objects.exists()
        or Grant.objects.exists()
        or LabelGrant.objects.exists()
    )


def etag_of(text: str) -> str:
    """Return the hash that GitOps tools compute of their file.

    Raises:
        SyntaxRefusedError: the text is not HuJSON.
    """
    return sha256(fmt(text).encode()).hexdigest()


def keep_version(text: str, *, actor: Actor, now: datetime) -> PolicyVersion:
    """Keep a file that was applied just now.

    Raises:
        StaleFileError: somebody else applied one at the same moment.
    """
    newest = PolicyVersion.objects.first()
    try:
        with transaction.atomic():
            return PolicyVersion.objects.create(
                number=newest.number + 1 if newest else 1,
                text=text,
                etag=etag_of(text),
                applied_at=now,
                actor_kind=actor.kind.value,
                actor_id=actor.id[:64],
                actor_label=actor.label[:255],
            )
    except IntegrityError as exc:
        msg = "somebody else applied a policy file at the same moment"
        raise StaleFileError(msg) from exc


def is_newest(text: str) -> bool:
    """Return whether this very text was applied last."""
    newest = PolicyVersion.objects.first()
    return newest is not None and newest.text == text


def grants_of_newest(*, now: datetime) -> frozenset[int]:
    """Return which open grants the file that was applied last makes, by id.

    Ended, they would come again with the next file. Where the newest file cannot be
    applied any more, nobody can say which: then it is all that a file may make.
    """
    newest = PolicyVersion.objects.first()
    if newest is None:
        return frozenset()
    state = read_state(now=now)
    try:
        found = open_policy(newest.text, state, now=now)
        return grants_of_file(found.definition, state, now=now)
    except (CompilerError, DialectError, PolicyError):
        every = {grant.id for grant in state.policy.grants}
        return frozenset(every - state.requested)


def check_etag(expected: str, state: State, *, now: datetime) -> None:
    """Refuse when the policy is not the one that a writer has seen.

    Raises:
        StaleFileError: it is another one by now.
    """
    if expected == UNTOUCHED:
        if not is_untouched():
            msg = "the policy is not the untouched default any more"
            raise StaleFileError(msg)
        return
    if current_policy(state, now=now).etag != expected:
        msg = "the policy was changed since it was read; read it again"
        raise StaleFileError(msg)


def _is_in_force(text: str, state: State, now: datetime) -> bool:
    try:
        found = open_policy(text, state, now=now)
        return is_applied(found.definition, state, now=now)
    except (DialectError, PolicyError):
        # It names what is gone by now, or could not be applied any more.
        return False

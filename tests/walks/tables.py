"""What counts as a change of state, and what changes without an event, and why.

A table of the database counts unless it stands here; so does each of its columns. A
table that is new and is written without an event makes a walk red: either an event is
missing, or a line with the reason.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.apps import apps
from django.db import connection
from django.db.models import Model

THE_LOG: Final = "it is the log"
SESSION: Final = (
    "a session is how a request is known; signing in and out are ID001, ID002"
)
FRAMEWORK: Final = "the framework's own; nothing of ours writes it in operation"
SEEN: Final = "when and how something was last seen, not what it is"
LEARNT: Final = "what rules read from the log; what they find is AL001"
PUBLISHED: Final = (
    "follows from changes that have events; PL009 says what was published"
)
EVIDENCE: Final = "evidence of a gateway, kept as it came; it is told of, not decided"

NO_EVENT: Final = {
    "audit.AuditEvent": THE_LOG,
    "audit.FlowEvent": THE_LOG,
    "audit.Connection": "made of the events of the log of connections",
    "audit.Outbox": THE_LOG,
    "audit.SealedLeaf": THE_LOG,
    "audit.SealedTile": THE_LOG,
    "audit.SealedCheckpoint": THE_LOG,
    "audit.SealerState": THE_LOG,
    "audit.SealerRefusal": THE_LOG,
    "audit.Cosignature": THE_LOG,
    "audit.IdentitySalt": "random; made when the log first speaks of somebody",
    "audit.ErasedMention": "part of forgetting somebody: ID016 says which and how many",
    "audit.RefusalCount": "counts what is then told as AU010",
    "streams.StreamCursor": "how far a receiver has got; that it stops is AU033",
    "alarms.AlarmEvidence": LEARNT,
    "alarms.Watch": LEARNT,
    "alarms.Acquaintance": LEARNT,
    "alarms.DeviceActivity": LEARNT,
    "sessions.Session": SESSION,
    "usersessions.UserSession": SESSION,
    "contenttypes.ContentType": FRAMEWORK,
    "auth.Permission": FRAMEWORK,
    "account.EmailAddress": FRAMEWORK,
    "socialaccount.SocialAccount": "allauth's copy of the claims behind ID001",
    "peers.EnrolmentChallenge": "a question that nobody may answer after five minutes",
    "peers.GatewayChannel": "the last number of a gateway's requests, against replays",
    "policies.Publication": PUBLISHED,
    "policies.AgentState": SEEN,
    "policies.EvidenceTotals": EVIDENCE,
    "policies.TunnelSighting": EVIDENCE,
}
NO_EVENT_COLUMNS: Final[dict[str, dict[str, str]]] = {
    "accounts.User": {"last_login": SEEN, "authenticated_at": SEEN},
    "accounts.ApiCredential": {"last_used_at": SEEN, "last_used_address": SEEN},
    "peers.Gateway": {"seen_at": SEEN},
}

WRITING: Final = re.compile(
    r"\s*(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE|DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?)"
    r"\s+\"?(\w+)\"?",
    re.IGNORECASE,
)


def domain() -> dict[str, type[Model]]:
    """Return the tables that count, by their name in the database."""
    return {
        model._meta.db_table: model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.label not in NO_EVENT and not model._meta.proxy
    }


def columns(model: type[Model]) -> list[str]:
    """Return the columns of a table that count."""
    spared = NO_EVENT_COLUMNS.get(model._meta.label, {})
    fields = model._meta.concrete_fields
    return [field.attname for field in fields if field.attname not in spared]


def fingerprint(model: type[Model]) -> tuple[int, str]:
    """Return how many rows a table has, and a digest of what counts in them."""
    rows = model._default_manager.order_by("pk").values_list(*columns(model))
    found = [*map(repr, rows)]
    return len(found), hashlib.sha256("\n".join(found).encode()).hexdigest()


class Ledger:
    """The state of all tables that count, and what was written since."""

    def __init__(self) -> None:
        """Take the state as it is now."""
        self.tables = domain()
        self.before = {name: fingerprint(model) for name, model in self.tables.items()}

    @contextmanager
    def watching(self) -> Iterator[set[str]]:
        """Yield a set that holds, afterwards, the labels of the tables that differ.

        Only tables that some statement wrote are read again.
        """
        written: set[str] = set()
        changed: set[str] = set()

        def look(execute: Any, sql: str, *args: Any) -> Any:  # noqa: ANN401 -- Django's signature
            if found := WRITING.match(sql):
                written.add(found[1])
            return execute(sql, *args)

        with connection.execute_wrapper(look):
            yield changed
        changed |= {
            model._meta.label
            for name, model in self.tables.items()
            if name in written and fingerprint(model) != self.before[name]
        }


def unknown(labels: Collection[str]) -> list[str]:
    """Return those that no table there is has for a name."""
    models = apps.get_models(include_auto_created=True)
    return sorted(set(labels) - {model._meta.label for model in models})

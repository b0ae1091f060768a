"""The log itself: who reads it, what it could not hold (AU)."""

from __future__ import annotations

from typing import Final

from audit.catalogue.codes import EventCode
from audit.catalogue.kinds import (
    FLAG,
    MOMENT,
    TABLE,
    TEXT,
    TEXTS,
    WHOLE,
    EventType,
    Severity,
    kind,
    maybe,
    personal,
)

EXPORT: Final = {
    "log": TEXT,
    "filter": personal(TABLE),
    "format": TEXT,
    "columns": TEXTS,
}
HOLD: Final = {
    "hold": TEXT,
    "whose": TEXT,
    "since": maybe(MOMENT),
    "until": maybe(MOMENT),
}
PRUNE: Final = {
    "prune": TEXT,
    "log": TEXT,
    "from": WHOLE,
    "to": WHOLE,
    "root": TEXT,
    "frontier": TEXTS,
    "proposed_by": TEXT,
}
SEARCH: Final = {
    "log": TEXT,
    "query": personal(TEXT),
    "shared": FLAG,
    "owner": personal(TEXT),
}

LOGS: Final[tuple[EventType, ...]] = (
    kind(
        EventCode.AUDIT_QUERY,
        "audit.query",
        "{actor_label} read the log",
        means="Somebody searched events or connections; `filter` is what they asked.",
        done=Severity.INFO,
        fields={"log": TEXT, "filter": personal(TABLE)},
    ),
    kind(
        EventCode.AUDIT_EXPORT,
        "audit.export",
        "{actor_label} took a copy of the log",
        means="What the filter finds left the portal as a file.",
        remedy="Nobody asked for a copy: ask the reader.",
        done=Severity.NOTICE,
        fields=EXPORT,
    ),
    kind(
        EventCode.AUDIT_VERIFY,
        "audit.verify",
        "The log was verified",
        means="`manage.py verify_log` compared the log with itself; as an alert, it"
        " found something, of which `first` tells the beginning.",
        remedy="Stop pruning, keep a copy of the database, and verify an export"
        " elsewhere with the witnesses' checkpoints.",
        done=Severity.INFO,
        alert=Severity.ALERT,
        fields={"faults": WHOLE, "first": personal(TEXTS)},
    ),
    kind(
        EventCode.AUDIT_PRUNE,
        "audit.retention.purge",
        "The leaves {target_label} may be deleted: two people want it",
        means="Rows older than the retention go for good. `root` and `frontier` stand"
        " for them from now on; this leaf proves that they may be missing. Said again"
        " (`again`), because the leaf that said it is pruned itself.",
        remedy="Nobody announced it: withdraw is too late once the leaf is sealed; keep"
        " a copy of the database at once, and ask both who are named.",
        done=Severity.ALERT,
        fields={
            **PRUNE,
            "approved_by": TEXT,
            "tree_size": WHOLE,
            "retention_days": WHOLE,
            "again": FLAG,
        },
    ),
    kind(
        EventCode.PRUNE_PROPOSE,
        "audit.prune.propose",
        "{actor_label} proposed to prune {target_label}",
        means="Nothing goes before another administrator approves it.",
        remedy="Nobody announced it: withdraw it.",
        done=Severity.WARNING,
        fields=PRUNE,
    ),
    kind(
        EventCode.PRUNE_WITHDRAW,
        "audit.prune.withdraw",
        "{actor_label} withdrew the prune of {target_label}",
        means="What was proposed was not approved, and nothing went.",
        done=Severity.NOTICE,
        fields=PRUNE,
    ),
    kind(
        EventCode.PRUNE_COMPLETE,
        "audit.prune.complete",
        "{target_label} are pruned",
        means="The rows are gone; hashes, checkpoints and the frontier stay.",
        done=Severity.NOTICE,
        fields={**PRUNE, "events": WHOLE},
    ),
    kind(
        EventCode.SETTINGS_UPDATE,
        "settings.update",
        "{actor_label} changed how the portal is set up: {target_label}",
        means="A value that the deployment gives took effect in the database.",
        done=Severity.NOTICE,
        fields={"setting": TEXT, "value": TEXT},
    ),
    kind(
        EventCode.DATABASE_SHELL_OPEN,
        "database.shell.open",
        "{actor_label} opened a shell on the database",
        means="Whoever sits there can change tables past every rule and every event.",
        remedy="Ask why; verify the log, and compare the tables with it.",
        done=Severity.WARNING,
        fields={"command": TEXT},
    ),
    kind(
        EventCode.AUDIT_EXPORT_COMPLETE,
        "audit.export.complete",
        "{actor_label} has a whole copy of what they asked of the log",
        means="The copy that AU002 began left in full; without it the reader hung up.",
        remedy="`sha256` tells whether a file is the copy that was taken here.",
        done=Severity.INFO,
        fields={**EXPORT, "export": TEXT, "rows": WHOLE, "sha256": TEXT},
    ),
    kind(
        EventCode.WITNESS_BEGIN,
        "audit.witness.begin",
        "{target_label} began to sign under the logs",
        means="`key` is the witness's, for the policy file of the verifier.",
        remedy="Compare the key with what the witness's own host says.",
        done=Severity.NOTICE,
        fields={"key": TEXT},
    ),
    kind(
        EventCode.WITNESS_REFUSED,
        "audit.witness.refuse",
        "{target_label} does not sign what a log has become",
        means="A witness saw another history of this log before.",
        remedy="Was a backup restored? If not, the log was rewritten: verify it, and"
        " keep what the witness has kept.",
        alert=Severity.ALERT,
        fields={"log": TEXT, "reason": TEXT},
    ),
    kind(
        EventCode.SAVED_SEARCH_CREATE,
        "audit.search.save",
        "{actor_label} saved a search of the log: {target_label}",
        means="A question has a name; one that is shared is shown to all readers.",
        done=Severity.INFO,
        fields=SEARCH,
    ),
    kind(
        EventCode.SAVED_SEARCH_DELETE,
        "audit.search.delete",
        "{actor_label} removed a saved search of the log: {target_label}",
        means="The event holds what the search asked.",
        done=Severity.INFO,
        fields=SEARCH,
    ),
    kind(
        EventCode.LEGAL_HOLD_PLACE,
        "audit.hold.place",
        "{actor_label} put evidence under a legal hold",
        means="What the hold covers is neither forgotten nor pruned; `whose` is a"
        " person's id, or empty for everybody.",
        done=Severity.NOTICE,
        fields=HOLD,
    ),
    kind(
        EventCode.LEGAL_HOLD_LIFT,
        "audit.hold.lift",
        "{actor_label} lifted a legal hold",
        means="What the hold covered may be forgotten and pruned again.",
        remedy="Nobody was to lift it: place it again, and ask who did.",
        done=Severity.WARNING,
        fields=HOLD,
    ),
    kind(
        EventCode.EVIDENCE_MAKE,
        "evidence.make",
        "{actor_label} made the evidence pack of a period",
        means="Reports over a period left the portal as one file.",
        remedy="`manifest_sha256` tells whether a pack is the one that was made here.",
        done=Severity.NOTICE,
        fields={
            "since": MOMENT,
            "until": MOMENT,
            "files": WHOLE,
            "manifest_sha256": TEXT,
        },
    ),
    kind(
        EventCode.REFUSALS_SUPPRESSED,
        "audit.refusals.suppress",
        "So many were refused that the rest was only counted",
        means="Within one minute more was refused than the log takes.",
        remedy="`most_from` names the places: somebody tries, or a program is broken.",
        alert=Severity.ALERT,
        fields={
            "code": TEXT,
            "minute": MOMENT,
            "suppressed": WHOLE,
            "places": WHOLE,
            "most_from": personal(TABLE),
        },
    ),
)

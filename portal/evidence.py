"""An evidence pack: what an auditor asks of a period, in files that name their hashes.

* `access.csv`: who could reach what at the end of the period, by which grants, from the
  snapshots that gateways had in force; what is to be read with care is in the manifest.
* `leavers.csv`: everybody revoked or disabled in the period, and for each gateway when
  it had enforced that, in milliseconds from the click.
* `revocations.csv`: how many revocations took how long.
* `gaps.csv`: every event that says that evidence is missing or may be.
* `reviews.csv`: every event of an access review.
* `review_campaigns.csv` and `review_items.csv`: the reviews that were open in the
  period, in full: who held what, who decided what, when and why, and whether it was
  applied. A finished one says whether its rows are still what the log says of them.
* `connections.json`: whether the connections people search are what the flow events
  say, which an administrator of the database could have changed. Left out on demand:
  it reads all of them.
* `verification.json`: the verifier's report on both logs, whom it believed, and the
  verification that was recorded last (`portal.verified`).

`manifest.json` (RFC 8785) names each file's size and SHA-256. The manifest's own hash
is an event of the log, so that a pack is told from one that was made or changed later.
Who trusts nobody here runs the verifier (`python -m audit.verify`) on an export, on
a machine of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import rfc8785
from django.conf import settings
from django.db import transaction

from audit.comparing import differences
from audit.events import EventCode
from audit.exports import table_csv
from audit.leaves import moment
from audit.models import AuditEvent
from audit.services import record
from policies.access_reviews.results import (
    CAMPAIGN_COLUMNS,
    ITEM_COLUMNS,
    campaign_rows,
    campaigns_between,
    item_rows,
)
from policies.models import ReviewItem, Revocation, RevocationTarget
from policies.reachability import who_could_reach
from policies.stages import histogram
from portal.verified import PAGE_LEAVES, verification

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from audit.actor import Actor
    from policies.reachability import Reach

VERSION: Final = 1
MANIFEST: Final = "manifest.json"
GAPS: Final = ("GW008", "GW022", "GW003", "FL004", "AU010", "AU004", "AU033")
REVIEWS: Final = ("RQ005", "RQ006", "RQ007", "RQ008")
LEFT: Final = "ID008"
NAMED_DIFFERENCES: Final = 1000
MILLISECOND: Final = timedelta(milliseconds=1)

EVENT_COLUMNS: Final = (
    "at",
    "code",
    "outcome",
    "sentence",
    "actor_label",
    "person_label",
    "gateway_label",
    "application_label",
    "target_label",
    "reason",
    "details",
    "uid",
)
LEAVER_COLUMNS: Final = (
    "person_id",
    "person",
    "at",
    "by",
    "reason",
    "what",
    "gateway",
    "enforced_at",
    "milliseconds",
    "connections_cut",
)
ACCESS_COLUMNS: Final = (
    "person_id",
    "person",
    "application_id",
    "application",
    "devices",
    "grants",
    "gateways",
    "expires_at",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Files by name, the manifest among them, and the manifest's SHA-256."""

    files: Mapping[str, bytes]
    digest: str


def make_pack(
    *,
    since: datetime,
    until: datetime,
    compares: bool = True,
    actor: Actor,
    now: datetime,
) -> Pack:
    """Make the pack of a period, its end left out, and record its hash.

    `until` is not after `now`. With `compares` all connections are read, and all leaves
    are verified, however many there are.
    """
    # Before the transaction: on SQLite everybody who writes would wait for it.
    verified = verification(most=None if compares else PAGE_LEAVES, now=now)
    return _make_pack(verified, since, until, compares=compares, actor=actor, now=now)


@transaction.atomic
def _make_pack(
    verified: bytes,
    since: datetime,
    until: datetime,
    *,
    compares: bool,
    actor: Actor,
    now: datetime,
) -> Pack:
    reached = who_could_reach(until)
    times = [*_times(since, until)]
    reviews = campaigns_between(since, until)
    items = ReviewItem.objects.filter(campaign__in=reviews.order_by())
    files = {
        "access.csv": _access(reached),
        "leavers.csv": table_csv(LEAVER_COLUMNS, _leavers(since, until)),
        "revocations.csv": table_csv(
            ("took", "revocations"),
            ((bar.label, bar.count) for bar in histogram(times)),
        ),
        "gaps.csv": _events(GAPS, since, until),
        "reviews.csv": _events(REVIEWS, since, until),
        "verification.json": verified,
        "review_campaigns.csv": table_csv(CAMPAIGN_COLUMNS, campaign_rows(reviews)),
        "review_items.csv": table_csv(ITEM_COLUMNS, item_rows(items, now=now)),
    }
    if compares:
        files["connections.json"] = _compared()
    manifest = rfc8785.dumps(
        {
            "v": VERSION,
            "deployment": settings.PEERAGE_DEPLOYMENT,
            "since": moment(since),
            "until": moment(until),
            "made_at": moment(now),
            "made_by": actor.label,
            "access_notes": list(reached.notes),
            "access_sources": list(reached.sources),
            "files": [
                {
                    "name": name,
                    "bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
                for name, data in sorted(files.items())
            ],
        }
    )
    digest = hashlib.sha256(manifest).hexdigest()
    record(
        EventCode.EVIDENCE_MAKE,
        actor=actor,
        now=now,
        details={
            "since": moment(since),
            "until": moment(until),
            "files": len(files),
            "manifest_sha256": digest,
        },
    )
    return Pack(files={**files, MANIFEST: manifest}, digest=digest)


def wrong_files(files: Mapping[str, bytes]) -> list[str]:
    """Return the names that are not as the manifest says, or not in it, or missing."""
    manifest = json.loads(files[MANIFEST])
    told = {entry["name"]: entry["sha256"] for entry in manifest["files"]}
    found = {
        name: hashlib.sha256(data).hexdigest()
        for name, data in files.items()
        if name != MANIFEST
    }
    return sorted(name for name in {*told, *found} if told.get(name) != found.get(name))


def _access(reached: Reach) -> bytes:
    return table_csv(
        ACCESS_COLUMNS,
        (
            [
                "; ".join(value) if isinstance(value, tuple) else value
                for value in (getattr(row, name) for name in ACCESS_COLUMNS)
            ]
            for row in reached.rows
        ),
    )


def _leavers(since: datetime, until: datetime) -> Iterator[Sequence[Any]]:
    """Yield a row for each gateway of a revocation, and one for who was disabled."""
    revocations = Revocation.objects.filter(
        requested_at__gte=since, requested_at__lt=until
    )
    for found in (
        revocations.select_related("user")
        .prefetch_related("targets__gateway")
        .order_by("pk")
    ):
        who = (found.user.ref.id, found.user.ref.label, found.requested_at)
        why = (found.actor_label, found.reason, "revoked everywhere")
        targets = list(found.targets.all())
        if not targets:
            yield (*who, *why, "", None, None, None)
        for target in sorted(targets, key=lambda one: one.pk):
            yield (
                *who,
                *why,
                target.gateway.name,
                target.enforced_at,
                _milliseconds(target, found),
                target.flows_cut,
            )
    for event in _found((LEFT,), since, until):
        who = (event.person_id, event.person_label, event.at)
        yield (*who, event.actor_label, event.reason, "disabled", "", None, None, None)


def _milliseconds(target: RevocationTarget, revocation: Revocation) -> int | None:
    if target.enforced_at is None:
        return None
    return round((target.enforced_at - revocation.requested_at) / MILLISECOND)


def _times(since: datetime, until: datetime) -> Iterator[int]:
    """Yield how long gateways took; a person without keys is none of them."""
    pairs = RevocationTarget.objects.filter(
        enforced_at__isnull=False,
        received_at__isnull=False,
        revocation__requested_at__gte=since,
        revocation__requested_at__lt=until,
    ).values_list("enforced_at", "revocation__requested_at")
    for enforced, asked in pairs:
        if enforced is not None:
            yield round((enforced - asked) / MILLISECOND)


def _found(
    codes: Sequence[str], since: datetime, until: datetime
) -> Iterable[AuditEvent]:
    rows = AuditEvent.objects.filter(code__in=codes, at__gte=since, at__lt=until)
    return rows.order_by("pk").iterator(1000)


def _events(codes: Sequence[str], since: datetime, until: datetime) -> bytes:
    return table_csv(
        EVENT_COLUMNS,
        (
            [getattr(event, name) for name in EVENT_COLUMNS]
            for event in _found(codes, since, until)
        ),
    )


def _compared() -> bytes:
    found = differences()
    named = list(islice(found, NAMED_DIFFERENCES))
    counted = Counter(found_one.message for found_one in found)
    return json.dumps(
        {
            "differences": len(named) + counted.total(),
            "named": [
                {"row": one.number, "key": list(one.key), "message": one.message}
                for one in named
            ],
        },
        ensure_ascii=True,
        indent=1,
    ).encode()

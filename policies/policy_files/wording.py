"""What commands say about policy files, as values that JSON can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policies.application_terms import terms_text
from policies.compiler.types import NEVER, Subject, SubjectKind
from policies.conditions import conditions_text
from policies.destinations import label
from policies.dialect.document import ALWAYS
from policies.effect_output import cut_output

LINES: Final = 20
"""So many connections are printed; the others are counted."""

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from audit.models import Connection
    from audit.services import Json
    from policies.dialect.definitions import ApplicationDefinition
    from policies.policy_files.documents import PolicyFile
    from policies.policy_files.planning import Plan


def report_output(found: PolicyFile) -> dict[str, Json]:
    """Return what the tests of a file said, and its warnings."""
    return {
        "warnings": [str(warning) for warning in found.warnings],
        "tests": len(found.reports),
        "failed": [
            {
                "src": report.test.source,
                "line": report.test.position.line,
                "problems": [str(item) for item in report.problems],
            }
            for report in found.failed
        ],
    }


def plan_output(
    found: PolicyFile, plan: Plan, *, cut: Sequence[Connection] = (), percent: int
) -> dict[str, Json]:
    """Return what a file would do; `percent` is where the brake is.

    `cut` are the open connections that end with it.
    """
    who = _names(plan)
    return {
        **report_output(found),
        "applications": {
            "created": [_application(a) for a in plan.created],
            "changed": [_application(a) for a in plan.changed],
        },
        "grants": {
            "created": [
                {
                    "application": wanted.application,
                    "subject": who[wanted.subject],
                    "not_before": _time(wanted.not_before),
                    "expires_at": _time(wanted.expires_at),
                    "conditions": conditions_text(wanted.conditions),
                }
                for wanted, _ in plan.granted
            ],
            "ended": [
                {
                    "id": f"gt_{grant.id}",
                    "application": plan.applications[grant.application_id],
                    "subject": who[grant.subject],
                }
                for grant in plan.ended
            ]
            + [
                {
                    "id": f"lg_{grant.id}",
                    "application": grant.label,
                    "subject": who[grant.subject],
                }
                for grant in plan.labels_ended
            ],
        },
        "left": list(plan.left),
        "skipped": list(plan.skipped),
        "effect": {
            "people_with_access": len(plan.effect.holders),
            "people_losing": len(plan.effect.losers),
            "rows": [
                {
                    "kind": row.kind.value,
                    "application": plan.applications[row.application_id],
                    "destinations": list(row.destinations),
                    "people": [
                        who[Subject(kind=SubjectKind.USER, id=person)]
                        for person in row.people
                    ],
                }
                for row in plan.effect.rows
            ],
            "connections": cut_output(cut),
        },
        "brake": {
            "percent": percent,
            "is_on": plan.braking(percent=percent) is not None,
        },
        "is_pending": not plan.is_empty,
    }


def plan_lines(output: Mapping[str, Any], *, is_done: bool = False) -> Iterator[str]:
    """Return a plan, or what was done, as a person at a terminal reads it."""
    for sign, kind in (("+", "created"), ("~", "changed")):
        for made in output["applications"][kind]:
            places = ", ".join(made["destinations"])
            yield f"{sign} application {made['name']}: {places}"
    for made in output["grants"]["created"]:
        begins = f" from {made['not_before']}" if made["not_before"] else ""
        ends = f" until {made['expires_at']}" if made["expires_at"] else ""
        demands = f" ({made['conditions']})" if made["conditions"] else ""
        where = f"{made['subject']} → {made['application']}"
        yield f"+ grant {where}{begins}{ends}{demands}"
    for ended in output["grants"]["ended"]:
        where = f"{ended['subject']} → {ended['application']}"
        yield f"- grant {ended['id']} {where}"
    yield from (f"skipped: {text}" for text in output["skipped"])
    yield from (f"left alone: {text}" for text in output["left"])
    effect = output["effect"]
    for row in effect["rows"]:
        places = ", ".join(row["destinations"])
        yield f"{len(row['people'])} {row['kind']} {row['application']} ({places}):"
        yield f"    {', '.join(row['people'])}"
    yield from _cut_lines(effect["connections"])
    losing, holding = effect["people_losing"], effect["people_with_access"]
    yield f"{losing} of {holding} people with access lose something"
    if output["brake"]["is_on"] and not is_done:
        yield f"that is more than {output['brake']['percent']} %: apply needs --confirm"
    if not output["is_pending"]:
        yield "nothing to do"
    elif is_done:
        yield "applied"


def _cut_lines(connections: Mapping[str, Any]) -> Iterator[str]:
    """Return the connections that are cut, the first of them one by one."""
    count, cut = connections["count"], connections["cut"][:LINES]
    if count:
        yield f"{count} open connection{'s are' if count > 1 else ' is'} cut:"
    for row in cut:
        port = f":{row['port']}" if row["port"] else ""
        yield (
            f"    {row['person']} ({row['device']}) → {row['application']}"
            f" {row['destination']}{port}, since {row['opened_at']}"
        )
    if count > len(cut):
        yield f"    and {count - len(cut)} more"


def report_lines(output: Mapping[str, Any]) -> Iterator[str]:
    """Return what tests said as a person at a terminal reads it."""
    yield from (f"warning: {text}" for text in output["warnings"])
    for test in output["failed"]:
        yield f"failed: test of {test['src']}"
        yield from (f"  {text}" for text in test["problems"])
    yield f"{output['tests']} tests, {len(output['failed'])} failed"


def _names(plan: Plan) -> dict[Subject, str]:
    """Return what a file calls the people and groups of the portal."""
    state = plan.state
    return {
        Subject(kind=kind, id=number): name
        for kind, names in (
            (SubjectKind.USER, state.people),
            (SubjectKind.GROUP, state.groups),
        )
        for name, number in names.items()
    }


def _application(found: ApplicationDefinition) -> dict[str, Json]:
    """Return an application and where it is."""
    said: dict[str, Json] = {
        "name": found.name,
        "destinations": [label(place) for place in found.destinations],
    }
    return said if found.terms is None else said | {"terms": terms_text(found.terms)}


def _time(moment: datetime) -> str | None:
    """Return a moment, or nothing for what has no beginning or no end."""
    return None if moment in {ALWAYS, NEVER} else f"{moment:%Y-%m-%dT%H:%M:%SZ}"

"""A policy as a file: what `define(read_policy(text))` makes of it is the same again.

Every application becomes `hosts` (one alias for each prefix), every grant one entry of
`grants` for each set of services, under one `id`. Where a host name stands beside the
prefix, `hostNames` says which. In `tailscale` dialect our own keys must not appear; a
grant that needs one is left out and said so in a comment, because without its limit it
would allow more, and so are destinations by host name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from policies.compiler.conditions import Schedule
from policies.compiler.types import NEVER, IPNetwork
from policies.dialect import selectors
from policies.dialect.definitions import (
    EVERY_APPLICATION,
    ApplicationDefinition,
    GrantDefinition,
    PolicyDefinition,
)
from policies.dialect.document import ALWAYS, SelectorKind
from policies.dialect.errors import DialectError
from policies.dialect.formatting import fmt
from policies.dialect.naming import is_part, part_names, service_text
from policies.dialect.postures import assertion_text
from policies.dialect.requirements import requirement_fields
from policies.dialect.schedules import window_text
from policies.dialect.terms import TERMS, terms_section

Section: TypeAlias = "Mapping[str, object] | Sequence[object]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Aliases of an application that share their services."""

    aliases: tuple[str, ...]
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Aliases:
    """The names that the file defines for addresses."""

    hosts: dict[str, str] = field(default_factory=dict)
    host_names: dict[str, str] = field(default_factory=dict)
    ipsets: dict[str, list[str]] = field(default_factory=dict)


def export(policy: PolicyDefinition, *, tailscale: bool = False) -> str:
    """Return a policy as the text of a file, in canonical style.

    Raises:
        DialectError: the name of an application cannot be an alias; or, in `tailscale`
            dialect, an application speaks `any`, which that dialect cannot say.
    """
    aliases = _Aliases()
    remarks: list[str] = []
    parts: dict[str, tuple[_Part, ...]] = {}
    for application in policy.applications:
        _check_name(application.name)
        if tailscale and application.terms is not None:
            # Applied again, a file that does not say leaves them as they are.
            remarks.append(f"this dialect has no terms: {application.name}")
        if tailscale and any(place.host for place in application.destinations):
            remarks.append(f"this dialect has no host names: {application.name}")
            left = _less_hosts(application)
            parts[left.name] = _parts(left, aliases) if left.destinations else ()
        else:
            parts[application.name] = _parts(application, aliases)
    for whole in (EVERY_APPLICATION, *_labels(policy)):
        parts[whole] = (_Part(aliases=(whole,), services=("*",)),)
    granted = {grant.application for grant in policy.grants}
    entries = [
        entry
        for name, found in parts.items()
        if name not in granted and name != EVERY_APPLICATION
        for entry in _entries(found, _unused(name, tailscale=tailscale))
    ]
    for grant in policy.grants:
        extras = _extras(grant)
        if tailscale and extras.keys() - {"id", "comment"}:
            remarks.append(f"this dialect cannot say its limits: {grant.name}")
            continue
        terms = _terms(grant, {} if tailscale else extras)
        entries += _entries(parts[grant.application], terms)
    if tailscale and any(
        "any:*" in part.services for p in parts.values() for part in p
    ):
        msg = "the protocol any cannot be said in this dialect"
        raise DialectError(msg)
    sections: dict[str, Section] = {
        "groups": {group.name: list(group.members) for group in policy.groups},
        "hosts": aliases.hosts,
        "hostNames": aliases.host_names,
        TERMS: {} if tailscale else terms_section(policy.applications),
        "ipsets": aliases.ipsets,
        "tagOwners": {tag: [] for tag in sorted(_tags(policy))},
        "postures": {
            name: [assertion_text(assertion) for assertion in posture]
            for name, posture in policy.postures.items()
        },
        "grants": entries,
    }
    return _text({name: part for name, part in sections.items() if part}, remarks)


def _unused(name: str, *, tailscale: bool) -> dict[str, object]:
    """Return the terms of an application that nobody is granted."""
    return {"src": []} if tailscale else {"id": f"unused/{name}", "src": []}


def _check_name(name: str) -> None:
    """Refuse a name that would not be read back as the alias of an application."""
    found = selectors.selector(name)
    if found.kind is not SelectorKind.HOST or is_part(name):
        msg = f"{name!r} cannot be the alias of an application"
        raise DialectError(msg)


def _parts(application: ApplicationDefinition, aliases: _Aliases) -> tuple[_Part, ...]:
    """Return an application as aliases with services; define the aliases."""
    spoken: dict[tuple[IPNetwork, str], list[str]] = {}
    for place in application.destinations:
        spoken.setdefault((place.prefix, place.host), []).append(service_text(place))
    if not spoken:
        aliases.ipsets[f"ipset:{application.name}"] = []
        return (_Part(aliases=(f"ipset:{application.name}",), services=("any:*",)),)
    shared: dict[tuple[str, ...], list[str]] = {}
    for alias, ((prefix, host), services) in zip(
        part_names(application.name, len(spoken)), spoken.items(), strict=True
    ):
        aliases.hosts[alias] = _prefix_text(prefix)
        if host:
            aliases.host_names[alias] = host
        shared.setdefault(tuple(services), []).append(alias)
    return tuple(
        _Part(aliases=tuple(names), services=services)
        for services, names in shared.items()
    )


def _less_hosts(application: ApplicationDefinition) -> ApplicationDefinition:
    """Return an application without its destinations by host name."""
    return replace(
        application,
        destinations=tuple(d for d in application.destinations if not d.host),
    )


def _prefix_text(prefix: IPNetwork) -> str:
    """Return a prefix; a single address without its length."""
    is_single = prefix.num_addresses == 1
    return str(prefix.network_address) if is_single else str(prefix)


def _entries(
    parts: Iterable[_Part], terms: Mapping[str, object]
) -> list[dict[str, object]]:
    """Return the entries of `grants` for one grant."""
    return [
        {**terms, "dst": list(part.aliases), "ip": list(part.services)}
        for part in parts
    ]


def _terms(grant: GrantDefinition, extras: Mapping[str, object]) -> dict[str, object]:
    """Return what all entries of a grant have in common."""
    found: dict[str, object] = {**extras, "src": [grant.subject]}
    if grant.sites:
        found["via"] = list(grant.sites)
    if grant.postures:
        found["srcPosture"] = list(grant.postures)
    return found


def _extras(grant: GrantDefinition) -> dict[str, object]:
    """Return what only our own keys can say."""
    found: dict[str, object] = {"id": grant.name}
    if grant.comment:
        found["comment"] = grant.comment
    if grant.not_before != ALWAYS:
        found["notBefore"] = _time_text(grant.not_before)
    if grant.expires_at != NEVER:
        found["expires"] = _time_text(grant.expires_at)
    if grant.schedule is not None:
        found["schedule"] = _schedule_text(grant.schedule)
    return {**found, **requirement_fields(grant.requires)}


def _time_text(moment: datetime) -> str:
    """Return a moment in RFC 3339."""
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _schedule_text(schedule: Schedule) -> dict[str, object]:
    """Return a schedule as the file spells it."""
    return {
        "timeZone": schedule.time_zone,
        "windows": [window_text(window) for window in schedule.windows],
    }


def _tags(policy: PolicyDefinition) -> set[str]:
    """Return the tags that a policy names and must therefore define."""
    subjects = {g.subject for g in policy.grants if g.subject.startswith("tag:")}
    return subjects.union(_labels(policy), *(grant.sites for grant in policy.grants))


def _labels(policy: PolicyDefinition) -> set[str]:
    """Return the labels whose applications are granted."""
    return {g.application for g in policy.grants if g.application.startswith("tag:")}


def _text(sections: Mapping[str, Section], left_out: Sequence[str]) -> str:
    """Return the sections as a file, with a remark about what is not in it."""
    remarks = "".join(f"// Left out, {reason}\n" for reason in left_out)
    return fmt(remarks + _spread(sections))


def _spread(sections: Mapping[str, Section]) -> str:
    """Return the file with one line for each name or grant."""
    lines = ["{"]
    for name, section in sections.items():
        if isinstance(section, Mapping):
            lines.append(f"{_json(name)}: {{")
            lines += (f"{_json(key)}: {_json(item)}," for key, item in section.items())
            lines.append("},")
        else:
            lines += (f"{_json(name)}: [", *(f"{_json(i)}," for i in section), "],")
    return "\n".join([*lines, "}\n"])


def _json(value: object) -> str:
    """Return a value on one line."""
    return json.dumps(value, ensure_ascii=False)

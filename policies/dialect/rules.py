"""Entries of `acls` and `grants`, read into rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from policies.compiler.types import NEVER
from policies.dialect import selectors
from policies.dialect.document import ALWAYS, Rule, Selector, Service, Target
from policies.dialect.errors import DialectError, PolicyError, problem
from policies.dialect.requirements import read_requirements
from policies.dialect.schedules import read_schedule
from policies.dialect.tree import Node

EXTENSIONS: Final = (
    "id",
    "comment",
    "notBefore",
    "expires",
    "schedule",
    "requireApproval",
    "maxAuthAge",
    "amr",
    "acr",
)
"""Our additions; other readers of the dialect refuse them."""

T = TypeVar("T")

_ACL: Final = ("action", "src", "users", "proto", "dst", "ports", "srcPosture")
_GRANT: Final = ("src", "dst", "ip", "app", "via", "srcPosture")
_CAPABILITIES: Final = frozenset(
    f"tailscale.com/cap/{name}"
    for name in ("drive", "kubernetes", "relay", "tsidp", "webui")
)
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/\[\]-]{0,99}")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def read_acl(node: Node, index: int, extensions: Sequence[str]) -> Rule:
    """Return the rule that an entry of `acls` makes."""
    fields = node.fields((*_ACL, *extensions))
    action = fields["action"].text if "action" in fields else ""
    if action != "accept":
        fields.get("action", node).refuse(f'action="{action}" is not supported')
    sources = one_of(node, fields, "src", "users")
    targets = one_of(node, fields, "dst", "ports")
    protocol = fields["proto"].text if "proto" in fields else ""
    if protocol:
        guarded(fields["proto"], selectors.protocol_numbers)
    if not extensions and protocol.lower() == "any":
        fields["proto"].refuse("the protocol any is an extension")
    return _rule(
        node,
        fields,
        f"acls[{index}]",
        sources=tuple(read_selector(item) for item in sources),
        targets=tuple(_acl_target(item, protocol) for item in targets),
        is_acl=True,
    )


def read_grant(node: Node, index: int, extensions: Sequence[str]) -> Rule:
    """Return the rule that an entry of `grants` makes."""
    fields = node.fields((*_GRANT, *extensions))
    sources, targets = (
        fields[name].texts() if name in fields else node.refuse(f"{name} is missing")
        for name in ("src", "dst")
    )
    services = tuple(
        service
        for item in texts(fields, "ip")
        for service in _grant_services(item, is_native=bool(extensions))
    )
    apps = _apps(fields)
    if not services and not apps:
        node.refuse("ip and app can not both be empty")
    return _rule(
        node,
        fields,
        f"grants[{index}]",
        sources=tuple(read_selector(item) for item in sources),
        targets=tuple(
            Target(selector=read_selector(item), services=services) for item in targets
        ),
        via=tuple(_via(item) for item in texts(fields, "via")),
        apps=apps,
    )


def one_of(
    node: Node, fields: Mapping[str, Node], name: str, legacy: str
) -> Sequence[Node]:
    """Return a list that may stand under its old name, but not under both."""
    if name in fields and legacy in fields:
        fields[legacy].refuse(f"{legacy} is the old name of {name}; give one of them")
    found = fields.get(name) or fields.get(legacy)
    if found is None:
        node.refuse(f"{name} is missing")
    return found.texts()


def read_selector(node: Node) -> Selector:
    """Return the selector written at a node."""
    return guarded(node, lambda text: selectors.selector(text, node.position))


def read_time(node: Node) -> datetime:
    """Return a moment in RFC 3339; it names its offset from UTC."""
    written = node.text
    if _TIME.fullmatch(written) is None:
        node.refuse(f"{written!r} is not a time like 2026-12-31T23:59:59Z")
    try:
        return datetime.fromisoformat(written.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        node.refuse(f"{written!r} is not a time that exists")


def texts(fields: Mapping[str, Node], name: str) -> Sequence[Node]:
    """Return an optional list of text."""
    return fields[name].texts() if name in fields else ()


def guarded(node: Node, read: Callable[[str], T]) -> T:
    """Return what `read` makes of the text of `node`; its error gets the place."""
    text = node.text
    try:
        return read(text)
    except DialectError as exc:
        raise PolicyError([problem(node.position, str(exc))]) from exc


def _rule(
    node: Node,
    fields: Mapping[str, Node],
    place: str,
    *,
    sources: tuple[Selector, ...],
    targets: tuple[Target, ...],
    via: tuple[str, ...] = (),
    apps: tuple[str, ...] = (),
    is_acl: bool = False,
) -> Rule:
    """Return a rule with what both kinds have in common."""
    identifier = _identifier(fields)
    begin = read_time(fields["notBefore"]) if "notBefore" in fields else ALWAYS
    end = read_time(fields["expires"]) if "expires" in fields else NEVER
    if begin >= end:
        late = fields.get("expires") or fields["notBefore"]
        late.refuse("the rule would end before it begins")
    return Rule(
        name=identifier or place,
        id=identifier,
        comment=fields["comment"].text if "comment" in fields else "",
        sources=sources,
        targets=targets,
        via=via,
        apps=apps,
        postures=tuple(item.text for item in texts(fields, "srcPosture")),
        not_before=begin,
        expires=end,
        schedule=read_schedule(fields["schedule"]) if "schedule" in fields else None,
        requires=read_requirements(fields),
        is_acl=is_acl,
        position=node.position,
    )


def _identifier(fields: Mapping[str, Node]) -> str | None:
    """Return the `id` of a rule, if it has one."""
    if "id" not in fields:
        return None
    identifier = fields["id"].text
    if _ID.fullmatch(identifier) is None:
        fields["id"].refuse(f"{identifier!r} is not an id")
    return identifier


def _acl_target(node: Node, protocol: str) -> Target:
    """Return one `host:ports`."""

    def read(text: str) -> Target:
        host, ports = selectors.split_ports(text)
        return Target(
            selector=selectors.selector(host, node.position),
            services=selectors.services(protocol, ports),
        )

    return guarded(node, read)


def _grant_services(node: Node, *, is_native: bool) -> tuple[Service, ...]:
    """Return one entry of `ip`."""
    if not is_native and node.text.lower().startswith("any:"):
        node.refuse("the protocol any is an extension")
    return guarded(node, selectors.grant_services)


def _via(node: Node) -> str:
    """Return the tag of a gateway."""
    tag = node.text
    if not tag.startswith("tag:"):
        node.refuse("via can only be a tag")
    return tag


def _apps(fields: Mapping[str, Node]) -> tuple[str, ...]:
    """Return the names of the capabilities a grant gives."""
    if "app" not in fields:
        return ()
    entries = fields["app"].entries()
    for name, items in entries:
        domain, slash, path = name.text.partition("/")
        if not (domain and slash and path) or ":" in domain:
            name.refuse("capability name must have the form {domain}/{path}")
        if domain == "tailscale.com" and name.text not in _CAPABILITIES:
            name.refuse("capability name must not be in the tailscale.com domain")
        items.items()
    return tuple(name.text for name, _ in entries)

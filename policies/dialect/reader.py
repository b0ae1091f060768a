"""From the text of a policy file to a `PolicyDocument`; the only way in.

What is not listed here is an error that says where (`policy-dialect` import table); a
few sections that have no meaning for a WireGuard gateway are named, read over and
reported as warnings. An empty file is the empty policy: nobody reaches anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from policies.compiler.types import IPNetwork
from policies.dialect import selectors
from policies.dialect.document import (
    Claim,
    PolicyDocument,
    PolicyTest,
    Rule,
    Selector,
    SelectorKind,
    SetStep,
)
from policies.dialect.errors import PolicyError, Position, Problem, problem
from policies.dialect.extent import check_extent
from policies.dialect.hujson import Kind, parse
from policies.dialect.postures import Assertion, Scalar, parse_assertion
from policies.dialect.rules import (
    EXTENSIONS,
    guarded,
    read_acl,
    read_grant,
    read_time,
    texts,
)
from policies.dialect.terms import TERMS, read_terms, term_places
from policies.dialect.tree import Node
from policies.dialect.validation import check, check_supported

IGNORED: Final = (
    "ssh",
    "sshTests",
    "nodeAttrs",
    "derpMap",
    "autoApprovers",
    "disableIPv4",
    "OneCGNATRoute",
    "randomizeClientPort",
)
"""Sections without meaning for stock WireGuard: read over, with a warning."""

SECTIONS: Final = (
    "groups",
    "hosts",
    "ipsets",
    "tagOwners",
    "postures",
    "defaultSrcPosture",
    "attrConfig",
    "acls",
    "grants",
    "tests",
)

OWN_SECTIONS: Final = ("hostNames", TERMS)
"""Sections of our own, where extensions are allowed."""

_TEST: Final = ("src", "user", "proto", "accept", "allow", "deny", "srcPostureAttrs")
_ATTRIBUTE_TYPES: Final = ("string", "number", "bool")
_SET_STEPS: Final = {"add": True, "remove": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a file is read.

    `extensions` allows our own keys; `egress` says that some gateway leads to the
    Internet; `groups` are the names of the identity provider's groups
    (`group:eng`), which a file may use without defining them.
    """

    extensions: bool = True
    egress: bool = False
    groups: Collection[str] = ()


STANDARD: Final = Options()


def read_policy(source: bytes | str, options: Options = STANDARD) -> PolicyDocument:
    """Return what a policy file says.

    Raises:
        SyntaxRefusedError: it is not HuJSON, or beyond this reader's limits.
        PolicyError: it is not a policy; every problem with line and column.
        UnsupportedError: it is one, but says what a gateway does not enforce.
    """
    if not source.strip():
        return PolicyDocument()
    tree = parse(source)
    root = Node(tree, tree.value)
    own = OWN_SECTIONS if options.extensions else ()
    sections = root.fields((*SECTIONS, *own, *IGNORED))
    document = _document(sections, EXTENSIONS if options.extensions else ())
    check_extent(document)
    if problems := check(document, groups=options.groups):
        raise PolicyError(problems)
    check_supported(document, egress=options.egress)
    return document


def read_tests(
    source: bytes | str, options: Options = STANDARD
) -> tuple[PolicyTest, ...]:
    """Return a list of tests that stands alone.

    Raises:
        SyntaxRefusedError: it is not HuJSON, or beyond this reader's limits.
        PolicyError: it is no list of tests.
    """
    tree = parse(source)
    return tuple(
        _test(item, _test_fields(has_extensions=options.extensions))
        for item in Node(tree, tree.value).items()
    )


def _document(
    sections: Mapping[str, Node], extensions: tuple[str, ...]
) -> PolicyDocument:
    """Return the document that the sections make."""
    rules = _rules(sections, extensions)
    warnings = [
        problem(node.position, f"{name} has no effect here")
        for name, node in sections.items()
        if name in IGNORED
    ]
    warnings += [
        problem(rule.position, f"{rule.name}: app has no effect here, ip has")
        for rule in rules
        if rule.apps and any(target.services for target in rule.targets)
    ]
    return PolicyDocument(
        groups=_names(sections, "groups", "group:"),
        hosts=_hosts(sections),
        host_names=_host_names(sections),
        ipsets=_ipsets(sections),
        tag_owners=_names(sections, "tagOwners", "tag:"),
        postures=_postures(sections),
        default_postures=tuple(i.text for i in texts(sections, "defaultSrcPosture")),
        attribute_types=_attribute_types(sections),
        rules=rules,
        tests=tuple(
            _test(item, _test_fields(has_extensions=bool(extensions)))
            for item in (sections["tests"].items() if "tests" in sections else ())
        ),
        warnings=tuple(sorted(warnings, key=_place)),
        places=_places(sections),
        terms=dict(read_terms(sections.get(TERMS))),
        term_places=term_places(sections.get(TERMS)),
    )


def _place(warning: Problem) -> Position:
    """Return where a warning belongs."""
    return warning.position


def _rules(
    sections: Mapping[str, Node], extensions: tuple[str, ...]
) -> tuple[Rule, ...]:
    """Return the rules of both kinds."""
    acls = sections["acls"].items() if "acls" in sections else ()
    grants = sections["grants"].items() if "grants" in sections else ()
    return (
        *(read_acl(node, index, extensions) for index, node in enumerate(acls)),
        *(read_grant(node, index, extensions) for index, node in enumerate(grants)),
    )


def _places(sections: Mapping[str, Node]) -> dict[str, Position]:
    """Return where each name is defined."""
    # What `hostNames` speaks of has its place in `hosts`, if it is defined at all.
    named = ("hostNames", "groups", "hosts", "ipsets", "tagOwners", "postures")
    return {
        key.text: key.position
        for name in named
        if name in sections
        for key, _ in sections[name].entries()
    }


def _names(
    sections: Mapping[str, Node], name: str, kind: str
) -> dict[str, tuple[str, ...]]:
    """Return a section that maps names of one kind to lists of names."""
    found: dict[str, tuple[str, ...]] = {}
    for key, node in sections[name].entries() if name in sections else ():
        if not key.text.startswith(kind) or key.text == kind:
            key.refuse(f"{key.text!r} does not begin with {kind!r}")
        members = node.texts()
        for member in members:
            if kind == "group:" and member.text.startswith(kind):
                member.refuse("group members cannot be recursive")
            if kind == "group:" and "@" not in member.text:
                member.refuse(f"{member.text!r} is not a user like ana@example.com")
        found[key.text] = tuple(member.text for member in members)
    return found


def _hosts(sections: Mapping[str, Node]) -> dict[str, IPNetwork]:
    """Return the named addresses and prefixes."""
    found: dict[str, IPNetwork] = {}
    for key, node in sections["hosts"].entries() if "hosts" in sections else ():
        guarded(key, selectors.check_alias)
        found[key.text] = guarded(node, selectors.prefix)
    return found


def _host_names(sections: Mapping[str, Node]) -> dict[str, str]:
    """Return the names of hosts whose addresses are DNS's to tell."""
    entries = sections["hostNames"].entries() if "hostNames" in sections else ()
    return {key.text: guarded(node, selectors.host) for key, node in entries}


def _ipsets(sections: Mapping[str, Node]) -> dict[str, tuple[SetStep, ...]]:
    """Return the named sets of addresses."""
    found: dict[str, tuple[SetStep, ...]] = {}
    for key, node in sections["ipsets"].entries() if "ipsets" in sections else ():
        if not key.text.startswith(SelectorKind.IPSET.value):
            key.refuse(f"{key.text!r} does not begin with 'ipset:'")
        found[key.text] = tuple(_set_step(item) for item in node.texts())
    return found


def _set_step(node: Node) -> SetStep:
    """Return `add X`, `remove X` or `X`."""
    verb, _, name = node.text.partition(" ")
    if not name:
        verb, name = "add", verb
    if verb not in _SET_STEPS:
        node.refuse(f"{verb!r} is neither add nor remove")
    found = guarded(node, _step_selector)
    if found.kind not in {
        SelectorKind.PREFIX,
        SelectorKind.HOST,
        SelectorKind.IPSET,
    }:
        node.refuse(f"{name!r} is not an address, a host or an ipset")
    return SetStep(adds=_SET_STEPS[verb], selector=found)


def _step_selector(text: str) -> Selector:
    """Return what a step adds or removes."""
    return selectors.selector(text.rpartition(" ")[2])


def _postures(sections: Mapping[str, Node]) -> dict[str, tuple[Assertion, ...]]:
    """Return the named postures: a list of assertions, or an object with one."""
    found: dict[str, tuple[Assertion, ...]] = {}
    for key, node in sections["postures"].entries() if "postures" in sections else ():
        if not key.text.startswith("posture:"):
            key.refuse(f"{key.text!r} does not begin with 'posture:'")
        listed = node
        if node.value.kind is Kind.OBJECT:
            fields = node.fields(("assertions", "onFailure"))
            listed = fields.get("assertions") or node.refuse("assertions is missing")
        items = listed.texts()
        if not items:
            node.refuse("a posture without assertions would hold for everybody")
        found[key.text] = tuple(guarded(item, parse_assertion) for item in items)
    return found


def _attribute_types(sections: Mapping[str, Node]) -> dict[str, str]:
    """Return the types of custom attributes."""
    found: dict[str, str] = {}
    entries = sections["attrConfig"].entries() if "attrConfig" in sections else ()
    for key, node in entries:
        fields = node.fields(("type", "allowSetByNode"))
        if not key.text.startswith("custom:"):
            key.refuse(f"{key.text!r} does not begin with 'custom:'")
        kind = fields["type"].text if "type" in fields else "string"
        if kind not in _ATTRIBUTE_TYPES:
            fields["type"].refuse(f"{kind!r} is not one of {_ATTRIBUTE_TYPES}")
        found[key.text] = kind
    return found


def _test_fields(*, has_extensions: bool) -> tuple[str, ...]:
    """Return the names that a test may have."""
    return (*_TEST, "at") if has_extensions else _TEST


def _test(node: Node, names: tuple[str, ...]) -> PolicyTest:
    """Return a test; what it claims is judged when it runs."""
    fields = node.fields(names)
    for name, legacy in (("src", "user"), ("accept", "allow")):
        if name in fields and legacy in fields:
            fields[legacy].refuse(f"{legacy} is the old name of {name}")
    source = fields.get("src") or fields.get("user")
    accept = "allow" if "allow" in fields else "accept"
    return PolicyTest(
        source=source.text if source else "",
        protocol=fields["proto"].text if "proto" in fields else "",
        accept=_claims(fields, accept),
        deny=_claims(fields, "deny"),
        attributes=_attributes(fields),
        at=read_time(fields["at"]) if "at" in fields else None,
        position=node.position,
    )


def _claims(fields: Mapping[str, Node], name: str) -> tuple[Claim, ...]:
    """Return the destinations a test claims something about."""
    return tuple(
        Claim(text=item.text, position=item.position) for item in texts(fields, name)
    )


def _attributes(fields: Mapping[str, Node]) -> dict[str, Scalar]:
    """Return the attributes a test supposes."""
    if "srcPostureAttrs" not in fields:
        return {}
    return {key.text: node.scalar for key, node in fields["srcPostureAttrs"].entries()}

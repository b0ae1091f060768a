"""A small company for the tests of the dialect: people, devices, gateways, names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from policies.compiler.types import address, network
from policies.dialect.directory import Directory, Machine, Person, Site
from policies.dialect.document import PolicyDocument
from policies.dialect.errors import PolicyError
from policies.dialect.reader import STANDARD, Options, read_policy

NOW: Final = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)  # a Monday

DEFINITIONS: Final = {
    "groups": {"group:eng": ["ana@example.com", "bob@example.com"], "group:none": []},
    "hosts": {
        "gitlab": "10.10.0.5",
        "six": "fd10::5",
        "lab": "10.20.0.0/16",
    },
    "tagOwners": {"tag:ci": ["group:eng"], "tag:gw": ["tag:ci"]},
}

COMPANY: Final = Directory(
    people=(
        Person(login="ana@example.com", roles=frozenset({"autogroup:admin"})),
        Person(login="bob@example.com"),
        Person(login="cai@vendor.example"),
    ),
    machines=(
        Machine(
            addresses=(address("100.64.0.1"), address("fd7a::1")),
            owner="ana@example.com",
            attributes={"node:os": "linux", "node:osVersion": "14.10"},
        ),
        Machine(addresses=(address("100.64.0.2"),), owner="bob@example.com"),
        Machine(addresses=(address("100.64.0.3"),), owner="cai@vendor.example"),
        Machine(
            addresses=(address("100.64.0.9"),),
            owner="ana@example.com",
            tags=("tag:ci",),
        ),
    ),
    sites=(
        Site(
            name="one",
            routes=(network("10.10.0.0/16"), network("0.0.0.0/0")),
            addresses=(address("100.64.0.100"),),
            tags=("tag:gw",),
        ),
        Site(name="two", routes=(network("10.20.0.0/16"), network("fd10::/64"))),
    ),
    groups={"group:idp": frozenset({"cai@vendor.example"})},
    overlay=(network("100.64.0.0/10"), network("fd7a::/48")),
    labels={"tag:gw": (network("10.30.0.0/24"),)},
    zones={"Europe/Berlin": ZoneInfo("Europe/Berlin")},
)


def source(**sections: object) -> str:
    """The text of a policy with the company's definitions."""
    return json.dumps({**DEFINITIONS, **sections}, default=_number)


def policy(options: Options = STANDARD, /, **sections: object) -> PolicyDocument:
    """A policy with the company's definitions, read."""
    return read_policy(source(**sections), options)


def grant(
    src: object, dst: object, ip: object = "*", **more: object
) -> dict[str, object]:
    """One entry of `grants`; single names need no list."""
    return {"src": listed(src), "dst": listed(dst), "ip": listed(ip), **more}


def acl(src: object, dst: object, **more: object) -> dict[str, object]:
    """One entry of `acls`."""
    return {"action": "accept", "src": listed(src), "dst": listed(dst), **more}


def claim(
    src: str, *, accept: object = (), deny: object = (), **more: object
) -> object:
    """One entry of `tests`."""
    return {"src": src, "accept": listed(accept), "deny": listed(deny), **more}


def listed(value: object) -> list[object]:
    """A list of one, or the list itself."""
    return list(value) if isinstance(value, list | tuple) else [value]


def refusal(text: str | bytes, options: Options = STANDARD) -> PolicyError:
    """The error that reading a policy raises."""
    with pytest.raises(PolicyError) as caught:
        read_policy(text, options)
    return caught.value


def why(sections: Mapping[str, object], options: Options = STANDARD) -> str:
    """Why a policy with the company's definitions is refused."""
    return refusal(source(**sections), options).message


def _number(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)

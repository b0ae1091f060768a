"""Names of applications: from a file's aliases, and the other way.

An application of several prefixes is exported as the aliases `gitlab.part1`,
`gitlab.part2`, …; on the way in they are one application again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Mapping
from typing import Final

from policies.compiler.types import ALL_PORTS, Destination, Protocol

_FEW: Final = 6
_ADDRESS: Final = re.compile(r"[:/]|^[0-9.]+$")
_PART: Final = re.compile(r"(?P<base>.+)\.part[1-9][0-9]*")


def base_name(alias: str) -> str:
    """Return the name of the application that an alias in `dst` belongs to."""
    plain = alias.removeprefix("ipset:").removeprefix("tag:")
    if _ADDRESS.search(plain):
        return "net-" + re.sub("[:/]", "-", plain)
    found = _PART.fullmatch(plain)
    return found["base"] if found else plain


def part_names(name: str, count: int) -> tuple[str, ...]:
    """Return the aliases of an application with `count` prefixes."""
    if count == 1:
        return (name,)
    return tuple(f"{name}.part{number}" for number in range(1, count + 1))


def is_part(alias: str) -> bool:
    """Return whether an alias is kept for parts of applications."""
    return _PART.fullmatch(alias) is not None


def service_text(destination: Destination) -> str:
    """Return the service of a destination as a grant's `ip` spells it."""
    if destination.ports is None:
        is_any = destination.protocol is Protocol.ANY
        return "any:*" if is_any else "icmp:*"
    first, last = destination.ports.first, destination.ports.last
    span = str(first) if first == last else f"{first}-{last}"
    return f"{destination.protocol}:{'*' if destination.ports == ALL_PORTS else span}"


def application_names(
    served: Mapping[tuple[str, str], tuple[Destination, ...]],
) -> dict[tuple[str, str], str]:
    """Return a name for the application behind each (grant, alias).

    The alias itself, unless a file uses it with different services: then they are part
    of the name, and what is still the same is numbered.
    """
    variants: defaultdict[str, set[tuple[Destination, ...]]] = defaultdict(set)
    for (_, base), destinations in served.items():
        variants[base].add(destinations)
    taken = {base for base, sets in variants.items() if len(sets) == 1}
    chosen: dict[tuple[str, tuple[Destination, ...]], str] = {}
    for base, sets in sorted(variants.items()):
        for destinations in sorted(sets, key=lambda s: [d.sort_key for d in s]):
            name = base
            if len(sets) > 1:
                name = _unique(_described(base, destinations), taken)
                taken.add(name)
            chosen[base, destinations] = name
    return {(rule, base): chosen[base, served[rule, base]] for rule, base in served}


def _described(base: str, destinations: tuple[Destination, ...]) -> str:
    """Return an alias together with its services, if they are few."""
    texts = dict.fromkeys(
        service_text(destination).replace(":", "").replace("*", "")
        for destination in destinations
    )
    return ".".join([base, *texts]) if len(texts) <= _FEW else base


def _unique(name: str, taken: Container[str]) -> str:
    """Return a name that is not taken."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}.v{number}"
    return found

"""A ruleset, run: what the kernel does with one packet, computed from the texts.

The other end of the compiler, for tests and for explanations that must not trust the
snapshot's own words: sets, maps, chains and rules are read as they are written, with
the meaning nft(8) gives them. Only the vocabulary that `nftables` and `fixed` write
is known; anything else is refused, never skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Final, TypeAlias

from policies.compiler.errors import InvalidValueError
from policies.compiler.leases import LIVE, is_lease
from policies.compiler.ranges import Range, address_family
from policies.compiler.regions import TCP, UDP
from policies.compiler.tables import NamedSet, Ruleset
from policies.compiler.types import IPAddress

SYN: Final = frozenset({"syn"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A packet between two interfaces, with what conntrack says of its flow."""

    came_from: str
    goes_to: str
    source: IPAddress
    destination: IPAddress
    protocol: int
    port: int | None
    state: str = "new"
    is_confirmed: bool = False
    """A flow whose first packet has passed; it stays new until it is answered."""
    flags: frozenset[str] = SYN


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Whether a packet passes, what was logged on the way, and the flow's mark."""

    is_accepted: bool
    logged: tuple[str, ...]
    mark: int


_Key: TypeAlias = tuple[int | str, ...]


class _Run:
    """One packet on its way: what rules read, and what they leave behind."""

    def __init__(self, packet: Arrival) -> None:
        self.packet = packet
        self.mark = 0
        self.logged: list[str] = []

    def field(self, name: str) -> int | str | None:
        """Return what a rule compares; None where this packet has no such thing."""
        packet = self.packet
        if name[:3] in {"ip ", "ip6"}:
            if address_family(packet.source) != (6 if name[2] == "6" else 4):
                return None
            return int(packet.source if name.endswith("saddr") else packet.destination)
        values: Mapping[str, int | str | None] = {
            "iifname": packet.came_from,
            "oifname": packet.goes_to,
            "meta l4proto": packet.protocol,
            "tcp dport": packet.port if packet.protocol == TCP else None,
            "udp dport": packet.port if packet.protocol == UDP else None,
            "ct mark": self.mark,
        }
        return values[name]

    def key(self, fields: Sequence[str]) -> _Key | None:
        """Return a concatenation, or None if a part of it is missing."""
        found = tuple(self.field(name) for name in fields)
        known = tuple(part for part in found if part is not None)
        return known if len(known) == len(found) else None


_Step: TypeAlias = Callable[[_Run], str | None]
"""Part of a rule. None goes on, `break` ends the rule, all else is a verdict."""

_BREAK: Final = "break"
_FIELD: Final = r"(?:ip6? [sd]addr|meta l4proto|(?:tcp|udp) dport|ct mark|[io]ifname)"
_FIELDS: Final = rf"({_FIELD}(?: \. {_FIELD})*)"
_PARTS: Final = re.compile(
    r"|".join(
        (
            rf"ct mark set (?P<source>{_FIELD}) map @(?P<marks>\w+)",
            r"ct state (?P<states>[a-z,]+)",
            r"(?P<unconfirmed>ct status ! confirmed)",
            r"tcp flags & \((?P<mask>[a-z|]+)\) != (?P<flags>[a-z|]+)",
            r"(?P<ported>tcp|udp) dport (?P<ports>\d+(?:-\d+)?)",
            r"meta l4proto (?P<number>\d+)",
            r'(?P<named>[io]ifname) "(?P<interface>[^"]+)"',
            rf"(?P<fields>{_FIELDS}) (?P<how>!= |vmap )?@(?P<table>\w+)",
            r"(?P<sampled>numgen random mod \d+ offset 0 0)",
            r"(?P<filled>(?:add|update) @\w+ \{ ct mark [^}]*\})",
            r"limit rate \d+/second burst \d+ packets",
            r"counter",
            r'log prefix "(?P<prefix>[^"]+)" group \d+',
            r"(?P<verdict>(?:goto|jump) \w+|accept|drop)",
        )
    )
)


class Machine:
    """A ruleset that answers. Elements that have ended at `now` are gone.

    Nobody crowds here: no flow is the one that is counted.

    Leases are open unless told to be `closed`: their elements are no part of a ruleset.

    Raises:
        InvalidValueError: a rule is none of ours.
    """

    def __init__(
        self, table: Ruleset, *, now: datetime, closed: Collection[str] = ()
    ) -> None:
        """Read every set and rule once."""
        self._lookups = {named.name: _lookup(named, now=now) for named in table.sets}
        leases = {LIVE, *(s.name for s in table.sets if is_lease(s.name))}
        for name in leases:
            is_open = name not in closed
            self._lookups[name] = _finder({(table.interface,): ""} if is_open else {})
        self._hooks = {c.name: c.hook for c in table.chains}
        self._chains: Mapping[str, Sequence[Sequence[_Step]]] = {
            chain.name: [self._steps(rule) for rule in chain.rules]
            for chain in table.chains
        }

    def outcome(self, packet: Arrival, *, hook: str = "forward") -> Outcome:
        """Return what becomes of a packet in a base chain."""
        run = _Run(packet)
        verdict = self._verdict(run, hook)
        if verdict is None:
            verdict = "accept" if "policy accept" in self._hooks[hook] else "drop"
        return Outcome(
            is_accepted=verdict == "accept", logged=tuple(run.logged), mark=run.mark
        )

    def _verdict(self, run: _Run, chain: str) -> str | None:
        """Return the verdict of a chain, or None if it comes to its end."""
        for steps in self._chains[chain]:
            said = next((s for step in steps if (s := step(run)) is not None), _BREAK)
            word, _, target = said.partition(" ")
            if word in {"accept", "drop"}:
                return word
            if word == "goto":
                return self._verdict(run, target)
            if word == "jump":
                found = self._verdict(run, target)
                if found is not None:
                    return found
        return None

    def _steps(self, rule: str) -> Sequence[_Step]:
        """Return a rule as steps."""
        steps: list[_Step] = []
        place = 0
        while place < len(rule):
            part = _PARTS.match(rule, place)
            if part is None:
                msg = f"not a rule of ours from {place} on: {rule!r}"
                raise InvalidValueError(msg)
            steps.append(self._step(part.groupdict()))
            place = part.end() + 1
        return steps

    def _step(self, part: Mapping[str, str | None]) -> _Step:
        """Return what one part of a rule does."""
        match part:
            case {"source": str(source), "marks": str(marks)}:
                return self._set_mark(source, marks)
            case {"fields": str(fields), "table": str(table), "how": how}:
                return self._look_up(fields.split(" . "), how, table)
            case {"ported": str(protocol), "ports": str(ports)}:
                return _goes_to({"tcp": TCP, "udp": UDP}[protocol], _span(ports))
            case {"number": str(number)}:
                return _speaks(int(number))
            case {"unconfirmed": str()}:
                return lambda run: _BREAK if run.packet.is_confirmed else None
            case _:
                return _plain_step(part)

    def _set_mark(self, source: str, marks: str) -> _Step:
        """Give the flow the mark that a map holds for a field."""
        lookup = self._lookups[marks]

        def step(run: _Run) -> str | None:
            key = run.key([source])
            mark = None if key is None else lookup(key)
            if mark is None:
                return _BREAK
            run.mark = int(mark)
            return None

        return step

    def _look_up(self, fields: Sequence[str], how: str | None, table: str) -> _Step:
        """Ask a set, or take the verdict of a map."""
        lookup = self._lookups[table]

        def step(run: _Run) -> str | None:
            key = run.key(fields)
            if key is None:
                return _BREAK
            found = lookup(key)
            if how == "vmap ":
                return _BREAK if found is None else found
            return _BREAK if (found is None) != (how == "!= ") else None

        return step


def _plain_step(part: Mapping[str, str | None]) -> _Step:
    """Return what a part does that asks no set."""
    match part:
        case {"states": str(states)}:
            wanted = states.split(",")
            return lambda run: None if run.packet.state in wanted else _BREAK
        case {"mask": str(mask), "flags": str(flags)}:
            return _flags_differ(mask.split("|"), flags.split("|"))
        case {"named": str(name), "interface": str(interface)}:
            return lambda run: None if run.field(name) == interface else _BREAK
        case {"prefix": str(prefix)}:
            return lambda run: run.logged.append(prefix)
        case {"verdict": str(verdict)}:
            return lambda _: verdict
        case _:
            said = _BREAK if part["sampled"] else None
            return lambda _: said


def _flags_differ(mask: Sequence[str], flags: Sequence[str]) -> _Step:
    """Go on with TCP packets whose flags under the mask are others than `flags`."""

    def step(run: _Run) -> str | None:
        packet = run.packet
        if packet.protocol != TCP or packet.flags & set(mask) == set(flags):
            return _BREAK
        return None

    return step


def _speaks(protocol: int) -> _Step:
    """Go on with packets of a protocol."""
    return lambda run: None if run.packet.protocol == protocol else _BREAK


def _goes_to(protocol: int, ports: Range) -> _Step:
    """Go on with packets of a protocol to these ports."""

    def step(run: _Run) -> str | None:
        packet, (first, last) = run.packet, ports
        port = packet.port if packet.protocol == protocol else None
        return None if port is not None and first <= port <= last else _BREAK

    return step


def _lookup(named: NamedSet, *, now: datetime) -> Callable[[_Key], str | None]:
    """Return what finds a key's data; the data of a set's member is empty text."""
    standing = [element for element in named.elements if now < element.expires_at]
    if named.key_type == "ifname":
        return _finder({(e.key.strip('"'),): e.data for e in standing})
    live = [
        (tuple(_span(part) for part in element.key.split(" . ")), element.data)
        for element in standing
    ]
    if "interval" not in named.flags:
        return _finder({tuple(f for f, _ in spans): data for spans, data in live})

    def find(key: _Key) -> str | None:
        for spans, data in live:
            if all(
                f <= int(k) <= last for k, (f, last) in zip(key, spans, strict=True)
            ):
                return data
        return None

    return find


def _finder(held: Mapping[_Key, str]) -> Callable[[_Key], str | None]:
    """Return what finds a key in a hash."""

    def find(key: _Key) -> str | None:
        return held.get(key)

    return find


def _span(text: str) -> Range:
    """Return a part of a key as numbers: one, or a range."""
    first, _, last = text.partition("-")
    return _number(first), _number(last or first)


def _number(text: str) -> int:
    """Return a number, or an address as one."""
    return int(text) if text.isdecimal() else int(ip_address(text))

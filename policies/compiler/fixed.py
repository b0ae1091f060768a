"""The chains that no policy changes: gates, mark, lookups, and how to say no.

The order inside `from_device`, `begin` and `to_device` is DESIGN §7's, and each rule
relies on those before it; the device gate of what is established is part of the rule
that accepts it (ADR-0003). Moving one is a change of the security model. A new flow
takes few steps, because it is the one that pays for all the lookups; which steps cost
what is measured in docs/benchmarks.md.

A denial says why in its log prefix. Logging is rate-limited only where no person could
be hidden by somebody else's noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from policies.compiler.tables import CROWDED, OPENED, Chain

ACCEPT_GROUP: Final = 41
"""NFLOG group of new flows; the prefix is `gt_<grant>/ap_<application>`."""

DENY_GROUP: Final = 42
"""NFLOG group of refusals; the prefix is the reason."""

WITHHELD: Final = "withheld"
"""No rule let a packet pass, and a lease of an application there is closed."""

_LOUD: Final = ("no_grant", "lateral", "input")
_LIMITED: Final = (
    "not_live",
    "no_device",
    "spoofed",
    "invalid",
    "mid_stream",
    "unsolicited",
    "crowded",
)
"""Not decisions about a person: the gateway's state, forged, late or too many packets.
"""

_SAMPLED: Final = 16
"""One of so many new flows is counted, because counting costs as much as a lookup."""

_CROWD: Final = (
    f"update @{OPENED}"
    " { ct mark timeout 60s limit rate over 8/second burst 512 packets }"
    f" add @{CROWDED} {{ ct mark timeout 10s }} goto deny_crowded"
)
"""A device that opened some 8,000 flows at once, or 128 a second for long, opens none
for ten seconds: nobody fills the table of flows for everybody (ADR-0026)."""

_FORWARD: Final = "type filter hook forward priority 0; policy drop;"
_INPUT: Final = "type filter hook input priority 0; policy accept;"


def fixed_chains(interface: str) -> Iterable[Chain]:
    """Return the chains that no policy changes."""
    iif, oif = f'iifname "{interface}"', f'oifname "{interface}"'
    yield Chain(name="from_device", hook="", rules=_from_device(oif))
    yield Chain(name="begin", hook="", rules=_begin())
    yield Chain(name="begin4", hook="", rules=_begin_family("ip", 4))
    yield Chain(name="begin6", hook="", rules=_begin_family("ip6", 6))
    yield Chain(name="crowd", hook="", rules=(_CROWD,))
    yield Chain(name="to_device", hook="", rules=_to_device())
    yield Chain(name="input", hook=_INPUT, rules=(f"{iif} goto deny_input",))
    yield Chain(
        name="forward",
        hook=_FORWARD,
        rules=(
            f"{iif} jump from_device",
            f"{oif} jump to_device",
            "ip saddr @device4 goto deny_spoofed",
            "ip6 saddr @device6 goto deny_spoofed",
            "drop",
        ),
    )
    for reason in _LOUD:
        yield _loud(reason)
    for reason in _LIMITED:
        log = f'log prefix "{reason}" group {DENY_GROUP}'
        rules = (f"limit rate 20/second burst 50 packets {log}", "counter drop")
        yield Chain(name=f"deny_{reason}", hook="", rules=rules)


def withheld_chain() -> Chain:
    """Return the denial of what stands behind a closed lease of its own."""
    return _loud(WITHHELD)


def _loud(reason: str) -> Chain:
    """Return a denial that is always logged."""
    rule = f'counter log prefix "{reason}" group {DENY_GROUP} drop'
    return Chain(name=f"deny_{reason}", hook="", rules=(rule,))


def _from_device(oif: str) -> tuple[str, ...]:
    """Return the way of a packet that came out of the tunnel.

    A new flow goes on at `begin`, which is its device gate; all others meet theirs
    here, before `established`.

    The packets of a bulk transfer come this way: one rule is their device gate and
    `established`, so that each asks few questions; what it lets not pass learns why.
    """
    return (
        f"{oif} goto deny_lateral",
        "iifname != @live goto deny_not_live",
        "ct state new goto begin",
        "ct state established,related ip saddr @device4 accept",
        "ct state established,related ip6 saddr @device6 accept",
        "ip saddr != @device4 goto deny_no_device",
        "ip6 saddr != @device6 goto deny_no_device",
        "goto deny_invalid",
    )


def _begin() -> tuple[str, ...]:
    """Return the device gate of a new flow.

    Its address is looked up once: the mark that the flow gets is the gate's answer,
    and an address without one falls through to the denial (ADR-0012).
    """
    return (
        "ct mark set ip saddr map @device4 goto begin4",
        "ct mark set ip6 saddr map @device6 goto begin6",
        "goto deny_no_device",
    )


def _begin_family(ip: str, family: int) -> tuple[str, ...]:
    """Return the way of a marked new flow to the chain of its destination.

    A map for each protocol with ports: a lookup costs less with one part fewer.

    Conntrack calls a flow new until somebody answers, and some are never answered
    (syslog, StatsD, one-way video). Each of their packets is judged, so that the
    kernel alone ends what has an end; but only the first, whose flow is not
    *confirmed* yet, counts as another flow.
    """
    return (
        "tcp flags & (fin|syn|rst|ack) != syn goto deny_mid_stream",
        f"ct mark @{CROWDED} ct status ! confirmed goto deny_crowded",
        f"numgen random mod {_SAMPLED} offset 0 0 ct status ! confirmed jump crowd",
        f"{ip} daddr . tcp dport vmap @tcp{family}",
        f"{ip} daddr . udp dport vmap @udp{family}",
        f"{ip} daddr . meta l4proto vmap @proto{family}",
        "goto deny_no_grant",
    )


def _to_device() -> tuple[str, ...]:
    """Return the way of a packet that goes into the tunnel: answers only."""
    return (
        "oifname != @live goto deny_not_live",
        "ct state established,related ip daddr @device4 accept",
        "ct state established,related ip6 daddr @device6 accept",
        "ip daddr != @device4 goto deny_no_device",
        "ip6 daddr != @device6 goto deny_no_device",
        "goto deny_unsolicited",
    )

"""The chains that no policy changes: gates, mark, lookups, and how to say no.

The order inside `from_device` and `to_device` is DESIGN §7's, and each rule relies on
those before it. Moving one is a change of the security model.

A denial says why in its log prefix. Logging is rate-limited only where no person could
be hidden by somebody else's noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from policies.compiler.tables import Chain

ACCEPT_GROUP: Final = 41
"""NFLOG group of new flows; the prefix is `gt_<grant>/ap_<application>`."""

DENY_GROUP: Final = 42
"""NFLOG group of refusals; the prefix is the reason."""

_LOUD: Final = ("no_grant", "lateral", "input")
_LIMITED: Final = (
    "not_live",
    "no_device",
    "spoofed",
    "invalid",
    "mid_stream",
    "unsolicited",
)
"""Not decisions about a person: the gateway's state, forged or late packets."""

_FORWARD: Final = "type filter hook forward priority 0; policy drop;"
_INPUT: Final = "type filter hook input priority 0; policy accept;"


def fixed_chains(interface: str) -> Iterable[Chain]:
    """Return the chains that no policy changes."""
    iif, oif = f'iifname "{interface}"', f'oifname "{interface}"'
    yield Chain(name="from_device", hook="", rules=_from_device())
    yield Chain(name="to_device", hook="", rules=_to_device())
    yield Chain(name="input", hook=_INPUT, rules=(f"{iif} goto deny_input",))
    yield Chain(
        name="forward",
        hook=_FORWARD,
        rules=(
            f"{iif} {oif} goto deny_lateral",
            f"{iif} jump from_device",
            f"{oif} jump to_device",
            "ip saddr @device4 goto deny_spoofed",
            "ip6 saddr @device6 goto deny_spoofed",
            "drop",
        ),
    )
    for reason in _LOUD:
        rule = f'counter log prefix "{reason}" group {DENY_GROUP} drop'
        yield Chain(name=f"deny_{reason}", hook="", rules=(rule,))
    for reason in _LIMITED:
        log = f'log prefix "{reason}" group {DENY_GROUP}'
        rules = (f"limit rate 20/second burst 50 packets {log}", "counter drop")
        yield Chain(name=f"deny_{reason}", hook="", rules=rules)


def _from_device() -> tuple[str, ...]:
    """Return the way of a packet that came out of the tunnel."""
    return (
        "iifname != @live goto deny_not_live",
        "ip saddr != @device4 goto deny_no_device",
        "ip6 saddr != @device6 goto deny_no_device",
        "ct state established,related accept",
        "ct state invalid goto deny_invalid",
        "tcp flags & (fin|syn|rst|ack) != syn goto deny_mid_stream",
        "ct mark set ip saddr map @device4",
        "ct mark set ip6 saddr map @device6",
        "ip daddr . meta l4proto . th dport vmap @dst4",
        "ip6 daddr . meta l4proto . th dport vmap @dst6",
        "ip daddr . meta l4proto vmap @proto4",
        "ip6 daddr . meta l4proto vmap @proto6",
        "goto deny_no_grant",
    )


def _to_device() -> tuple[str, ...]:
    """Return the way of a packet that goes into the tunnel: answers only."""
    return (
        "oifname != @live goto deny_not_live",
        "ip daddr != @device4 goto deny_no_device",
        "ip6 daddr != @device6 goto deny_no_device",
        "ct state established,related accept",
        "goto deny_unsolicited",
    )

"""A small company and an office: policies that golden files and kernel tests share.

Alice (1) and Bob (2) are engineers (group 4), Carol (3) is alone. Engineers reach the
wiki (1) and, with everyone's DNS (3), overlap it; Alice runs the database (2) until
the evening; Carol reaches a whole IPv6 network by any protocol (4).

In the office engineers reach the wiki (1) on weekdays, the database (2) besides only
with a sign-in of today, by two factors, from an approved machine; a printer (3) takes
anybody's approved machine. Alice (1) used two factors an hour ago, Bob (2) one just
now, Carol (3) never said how. It is Monday, 13:00 in Berlin.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

from policies.compiler.conditions import ApprovedDevice, MaxAge, Strength
from policies.compiler.strictness import Evidence, Strictness
from policies.compiler.types import Facts, Resolved
from tests.policies.compiler.build import (
    NOW,
    application,
    device,
    facts,
    grant,
    hours,
    key,
    proof,
    resolved,
)

EVENING: Final = NOW + timedelta(hours=8)
SESSION: Final = NOW + timedelta(hours=10)


def company() -> Facts:
    """Return the policy."""
    return facts(
        devices=(
            device(1),
            device(2),
            device(3, expires_at=SESSION),
            device(7, 1, addresses=("100.64.0.7",)),
        ),
        memberships=((1, 4), (2, 4)),
        applications=(
            application(
                1, "10.20.0.0/22 tcp 80-443", "10.20.0.0/22 icmp", "fd20::/64 tcp 443"
            ),
            application(2, "10.20.1.5/32 tcp 5432", "10.20.1.5/32 tcp 443"),
            application(3, "10.0.0.0/8 udp 53", "fd20::53/128 udp 53"),
            application(4, "fd30::/32 any", "10.20.1.0/24 any"),
        ),
        grants=(
            grant(10, "gr_4", 1),
            grant(11, "us_1", 2, expires_at=EVENING),
            grant(12, "gr_4", 3),
            grant(13, "us_3", 4),
            grant(14, "us_3", 3),
        ),
        revoked_keys=(key(99),),
    )


def company_with_names() -> Facts:
    """Return the company with two applications by host name.

    Engineers reach the database's machine by its name (5), Carol the shop (6), which
    may come to share an address with it, and with the wiki's network.
    """
    given = company()
    return replace(
        given,
        applications=(
            *given.applications,
            application(
                5,
                "db.example.com@10.20.0.0/16 tcp 5432",
                "db.example.com@fd20::/32 tcp 5432",
                "db.example.com@10.20.0.0/16 icmp",
            ),
            application(6, "shop.example.com@10.20.0.0/16 tcp 8080-8090"),
        ),
        grants=(
            *given.grants,
            grant(8, "gr_4", 5),
            grant(15, "us_3", 6, expires_at=EVENING),
        ),
    )


def answers() -> Resolved:
    """Return what the names of that company stand for: one address is shared."""
    return resolved(
        "db.example.com 10.20.0.9 10.20.5.5 fd20::9 192.0.2.9",
        "shop.example.com 10.20.0.9 169.254.169.254",
        end=NOW + timedelta(minutes=5),
    )


def hospital() -> Facts:
    """Return a policy whose applications have terms of their own.

    Everybody reads the news (1), evidence or not. Records (2) are as ordinary as can
    be; the pharmacy (3), inside their network, hears from the portal every two minutes
    or closes; the monitors (4), by name, close after a minute, but never for evidence.
    """
    return facts(
        devices=(device(1), device(2)),
        memberships=((1, 4), (2, 4)),
        applications=(
            application(1, "10.70.0.1/32 tcp 443", terms=BEST_EFFORT),
            application(2, "10.71.0.0/24 tcp 443"),
            application(3, "10.71.0.8/32 tcp 443", terms=Strictness(max_staleness=120)),
            application(
                4,
                "monitors.example.com@10.71.0.0/24 tcp 443",
                terms=replace(BEST_EFFORT, max_staleness=60),
            ),
        ),
        grants=(
            grant(40, "gr_4", 1),
            grant(41, "gr_4", 2),
            grant(42, "us_1", 3, expires_at=EVENING),
            grant(43, "us_2", 4),
        ),
    )


BEST_EFFORT: Final = Strictness(evidence=Evidence.BEST_EFFORT)
MFA: Final = Strength(amr=("mfa",), acr=())
TODAY: Final = MaxAge(seconds=8 * 3600)
WORKDAY: Final = hours("mon-fri 08:00-18:00", ZoneInfo("Europe/Berlin"))


def office() -> Facts:
    """Return a policy with every condition there is."""
    return facts(
        devices=(
            device(1, is_approved=True),
            device(2, is_approved=True),
            device(3),
            device(7, 1),
        ),
        memberships=((1, 4), (2, 4), (3, 4)),
        applications=(
            application(1, "10.20.0.0/22 tcp 443"),
            application(2, "10.30.0.5/32 tcp 5432"),
            application(3, "10.40.0.9/32 tcp 631"),
        ),
        grants=(
            grant(30, "gr_4", 1, hours=WORKDAY),
            grant(
                31,
                "gr_4",
                2,
                hours=WORKDAY,
                requires=(TODAY, MFA, ApprovedDevice()),
            ),
            grant(32, "gr_4", 3, requires=(ApprovedDevice(),)),
            grant(33, "us_1", 3, hours=hours("sat 08:00-12:00")),
        ),
        proofs=(
            proof(1, ago=timedelta(hours=1), amr="mfa pwd"),
            proof(2, amr="pwd"),
        ),
    )

"""The golden files and what makes them.

`python -m tests.policies.compiler.golden` writes them anew, to review the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from policies.compiler.canonical import canonical_json
from policies.compiler.holdings import holdings
from policies.compiler.nftables import (
    base_text,
    live_text,
    named_part,
    ruleset,
    transaction,
    with_resolved,
)
from policies.compiler.snapshot import snapshot_bytes
from policies.compiler.types import Facts
from policies.compiler.wireguard import ClientPeer, client_config, device_allowed_ips
from tests.policies.compiler.build import (
    NOW,
    application,
    grant,
    key,
    resolved,
    snapshot,
)
from tests.policies.compiler.examples import (
    EVENING,
    answers,
    company,
    company_with_names,
    hospital,
    office,
)

FOLDER: Final = Path(__file__).parents[2] / "golden"


def changed_company() -> Facts:
    """Return the company after a day's changes.

    Bob leaves the engineers, the wiki loses its HTTP port, DNS is told apart for one
    resolver, Alice's grant ends and Bob is given it for good.
    """
    before = company()
    return replace(
        before,
        memberships=((1, 4),),
        applications=(
            application(1, "10.20.0.0/22 tcp 443", "fd20::/64 tcp 443"),
            *before.applications[1:],
            application(5, "10.9.9.9/32 udp 53"),
        ),
        grants=(
            *(g for g in before.grants if g.id != 11),
            grant(20, "us_2", 2),
            grant(21, "us_2", 5),
        ),
    )


def first_load(given: Facts) -> str:
    """Return the transaction that loads a policy into any kernel."""
    return transaction(None, ruleset(snapshot(given), interface="wg0"), now=NOW)


def day() -> str:
    """Return the transaction of a day's changes."""
    have, want = (
        ruleset(snapshot(given), interface="wg0")
        for given in (company(), changed_company())
    )
    return transaction(have, want, now=NOW)


def names() -> str:
    """Return the transaction that loads a policy with host names, and answers."""
    want = ruleset(snapshot(company_with_names()), interface="wg0", resolved=answers())
    return transaction(None, want, now=NOW)


def names_change() -> str:
    """Return what another answer changes: the shop leaves the shared address."""
    table = ruleset(snapshot(company_with_names()), interface="wg0", resolved=answers())
    later = {**answers(), **resolved("shop.example.com 10.20.7.7", end=EVENING)}
    want = with_resolved(table, snapshot(company_with_names()), later)
    return transaction(named_part(table), named_part(want), now=NOW)


def alice() -> str:
    """Return the configuration of Alice's laptop."""
    gateway = ClientPeer(
        public_key=key(1000),
        endpoint_host="gw1.example.com",
        endpoint_port=51820,
        allowed_ips=device_allowed_ips(company(), user_id=1, now=NOW),
    )
    addresses = [ip_address("100.64.0.1"), ip_address("fd5e:e4a6:e000::1")]
    return client_config(addresses, [gateway])


def expected_holdings() -> str:
    """Return what a kernel should hold under the company's policy."""
    held = holdings(snapshot(company()), "wg0")
    return canonical_json(
        {name: getattr(held, name) for name in held.__dataclass_fields__}
    ).decode()


GOLDEN: Final[Mapping[str, Callable[[], str]]] = {
    "base.nft": lambda: base_text("wg0"),
    "lease.nft": lambda: live_text("wg0", 60),
    "company.nft": lambda: first_load(company()),
    "office.nft": lambda: first_load(office()),
    "hospital.nft": lambda: first_load(hospital()),
    "company_day.nft": day,
    "names.nft": names,
    "names_change.nft": names_change,
    "alice.conf": alice,
    "company_snapshot.json": lambda: snapshot_bytes(snapshot(company())).decode(),
    "company_holdings.json": expected_holdings,
    "office_snapshot.json": lambda: snapshot_bytes(snapshot(office())).decode(),
    "hospital_snapshot.json": lambda: snapshot_bytes(snapshot(hospital())).decode(),
}


def write() -> None:
    """Write every golden file."""
    for name, make in GOLDEN.items():
        (FOLDER / name).write_text(make())


if __name__ == "__main__":
    write()

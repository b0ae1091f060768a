"""A small file cannot ask for a large amount of work (attack D07)."""

from __future__ import annotations

from typing import Any

import pytest

from policies.dialect import extent
from policies.dialect.errors import SyntaxRefusedError
from policies.dialect.reader import read_policy
from policies.dialect.verdicts import run_tests
from tests.policies.dialect.makers import COMPANY, NOW, claim, grant, policy

ANA = "ana@example.com"
MANY = 1000
HOSTS = {f"h{n}": f"10.9.{n // 250}.{n % 250}" for n in range(MANY)}
PORTS = [f"tcp:{port}" for port in range(1, 2 * MANY, 2)]
EVERY_SECOND = [f"10.9.0.{n}" for n in range(0, 250, 2)]


@pytest.mark.parametrize(
    "sections",
    [
        {"hosts": HOSTS, "grants": [grant(ANA, [*HOSTS], ip=PORTS)]},
        {
            "groups": {"group:all": [f"p{n}@example.com" for n in range(MANY)]},
            "hosts": HOSTS,
            "grants": [grant("group:all", [*HOSTS], ip=["tcp:443"])],
        },
        {
            "ipsets": {"ipset:odd": [f"add {text}" for text in EVERY_SECOND]},
            "grants": [grant(ANA, "ipset:odd", ip=PORTS)] * 2,
        },
    ],
    ids=["destinations-services", "people-destinations", "sets-services"],
)
def test_lists_that_multiply_are_refused(sections: dict[str, Any]) -> None:
    with pytest.raises(SyntaxRefusedError, match="pairs"):
        policy(**sections)


def test_claims_that_multiply_are_refused() -> None:
    grants = [grant(ANA, host, ip=["tcp:443"]) for host in HOSTS] * 3
    tests = [claim(ANA, accept=[f"{host}:443" for host in HOSTS])] * 2
    document = policy(hosts=HOSTS, grants=grants, tests=tests)
    with pytest.raises(SyntaxRefusedError, match="too many claims"):
        run_tests(document, COMPANY, now=NOW)


def test_moments_that_multiply_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = [
        claim(ANA, deny="lab:443", at=f"2030-01-0{day}T00:00:00Z") for day in (1, 2, 1)
    ]
    grants = [grant(ANA, "gitlab", ip=["tcp:443"])]
    document = policy(grants=grants, tests=tests)
    monkeypatch.setattr(extent, "MAX_TRIALS", 3 * (1 + extent.ANEW))
    run_tests(document, COMPANY, now=NOW)
    monkeypatch.setattr(extent, "MAX_TRIALS", 3 * (1 + extent.ANEW) - 1)
    with pytest.raises(SyntaxRefusedError, match="too many claims"):
        run_tests(document, COMPANY, now=NOW)


def test_a_large_company_is_read() -> None:
    grants = [grant(ANA, host, ip=PORTS[:5]) for host in HOSTS] * 5
    assert len(policy(hosts=HOSTS, grants=grants).rules) == 5 * MANY
    assert read_policy("").rules == ()

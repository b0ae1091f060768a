"""Labs for the tests: one that everybody shares, and how people get into it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.lab import Lab, lab, prepare
from tests.lab.machines import widened
from tests.lab.network import APP_PREFIXES, PAYROLL, WIKI


def populate(made: Lab) -> None:
    """Grant Wiki to alice's group and Payroll to bob; connect both laptops."""
    prepare(made)
    people = {name: made.visitor(name) for name in ("alice", "bob")}
    dave = made.visitor("dave")
    made.grant(dave, WIKI, group="engineering")
    made.grant(dave, PAYROLL, person="Bob Baker")
    for name, person in people.items():
        made.devices[name] = person.enroll(f"{name}-1")
        made.machines[name].connect(widened(made.devices[name].config, *APP_PREFIXES))


@pytest.fixture(scope="session")
def world() -> Iterator[Lab]:
    """A lab that tests share: nobody in it is revoked."""
    with lab() as made:
        populate(made)
        yield made


@pytest.fixture(scope="module")
def doomed() -> Iterator[Lab]:
    """A lab of one module's own, in which things may be broken."""
    with lab() as made:
        populate(made)
        yield made

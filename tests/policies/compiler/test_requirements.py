"""Rules of holding: through the device or its owner's latest proof, else not at all."""

from __future__ import annotations

from datetime import timedelta

import pytest

from policies.compiler.conditions import (
    ApprovedDevice,
    MaxAge,
    Requirements,
    Strength,
    sorted_requirements,
)
from policies.compiler.requirements import UNHELD, held_until, usable_until
from policies.compiler.types import NEVER
from tests.policies.compiler.build import NOW, device, proof

HOUR = timedelta(hours=1)
AGE = MaxAge(seconds=3600)
MFA = Strength(amr=("mfa",), acr=())
OLD = device(1)
BOTH: Requirements = sorted_requirements((AGE, ApprovedDevice()))


def test_an_age_ends_when_the_proof_is_that_old() -> None:
    assert held_until(AGE, OLD, proof(1, ago=timedelta(minutes=20))) == (
        NOW + timedelta(minutes=40)
    )


def test_nothing_known_is_nothing_held() -> None:
    undated = proof(1, ago=None)
    assert held_until(AGE, OLD, None) == UNHELD
    assert held_until(AGE, OLD, undated) == UNHELD
    assert held_until(MFA, OLD, None) == UNHELD
    assert held_until(MFA, OLD, undated) == UNHELD
    assert held_until(ApprovedDevice(), OLD, proof(1)) == UNHELD


def test_an_approval_is_the_devices_own() -> None:
    assert held_until(ApprovedDevice(), device(1, is_approved=True), None) == NEVER


@pytest.mark.parametrize(
    ("amr", "acr", "proven", "of_class", "is_held"),
    [
        ("mfa", "", "mfa pwd", "", True),
        ("mfa", "", "pwd", "", False),
        ("hwk mfa", "", "mfa pwd", "", False),
        ("", "gold silver", "", "silver", True),
        ("", "gold silver", "gold", "", False),
        ("mfa", "gold", "mfa", "gold", True),
        ("mfa", "gold", "mfa", "silver", False),
        ("mfa", "gold", "pwd", "gold", False),
    ],
)
def test_every_method_and_one_of_the_classes(
    amr: str, acr: str, proven: str, of_class: str, *, is_held: bool
) -> None:
    wanted = Strength(amr=tuple(amr.split()), acr=tuple(acr.split()))
    until = held_until(wanted, OLD, proof(1, amr=proven, acr=of_class))
    assert (until == NEVER) is is_held


def test_what_is_usable_ends_with_the_last_grant_or_what_it_demands() -> None:
    approved = device(1, is_approved=True)
    fresh = proof(1)
    terms = {(): NOW + HOUR / 2, BOTH: NEVER}
    assert usable_until([terms], approved, fresh) == NOW + HOUR
    assert usable_until([terms], device(1), fresh) == NOW + HOUR / 2
    assert usable_until([{BOTH: NEVER}], device(1), fresh) == UNHELD
    assert usable_until([], approved, fresh) == UNHELD

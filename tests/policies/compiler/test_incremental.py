"""Rules of staying compiled: always what compiling from scratch gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler.compile import compile_snapshot
from policies.compiler.errors import CompilerError, InvalidValueError, OverlapError
from policies.compiler.incremental import Compilation
from policies.compiler.types import Device, Facts, Snapshot
from tests.policies.compiler.build import (
    NOW,
    application,
    device,
    facts,
    grant,
    key,
    proof,
)
from tests.policies.compiler.differential import (
    DEMANDS,
    WEEKS,
    random_facts,
    random_proof,
)
from tests.policies.compiler.examples import EVENING, SESSION, company, office
from tests.policies.compiler.strategies import ENDS

HOUR = timedelta(hours=1)
Outcome = Snapshot | type[CompilerError]


def outcome(made: Callable[[], Snapshot]) -> Outcome:
    """Return a snapshot, or the kind of error instead of it."""
    try:
        return made()
    except CompilerError as refusal:
        return type(refusal)


def agree(compilation: Compilation, now: datetime = NOW) -> Outcome:
    """Compare with compiling from scratch, and return what both say."""
    given_facts = compilation.facts()
    kept = outcome(lambda: compilation.snapshot(epoch=1, generation=1, now=now))
    scratch = outcome(
        lambda: compile_snapshot(given_facts, epoch=1, generation=1, now=now)
    )
    assert kept == scratch
    return kept


def edit(compilation: Compilation, random: Random) -> None:
    """Change one user, device, grant or application, at times to nonsense."""
    user, number = random.randint(1, 6), random.randint(1, 9)
    match random.randint(0, 6):
        case 0 | 1:
            owned = [d for d in compilation.facts().devices if d.user_id == user]
            kept = random.sample(owned, random.randint(0, len(owned)))
            taken = {d.id for d in compilation.facts().devices}
            fresh = [_device(random, n, user) for n in {number} - taken]
            groups = random.sample(range(1, 4), random.randint(0, 3))
            proven = random.choice((None, random_proof(random, user)))
            compilation.put_user(
                user, devices=[*kept, *fresh], groups=groups, proof=proven
            )
        case 2 | 3:
            who, what = random.choice(("us_1", "us_2", "gr_1", "gr_2")), number % 5 + 1
            begins = random.choice((NOW - HOUR, NOW + HOUR))
            ends = random.choice(ENDS)
            compilation.put_grant(
                grant(
                    number,
                    who,
                    what,
                    not_before=begins,
                    expires_at=ends,
                    hours=random.choice(WEEKS),
                    requires=random.choice(DEMANDS),
                )
            )
        case 4:
            compilation.remove_grant(number)
        case 5 if random.random() < 0.3:
            compilation.remove_application(number)
        case 5:
            there = f"10.0.{random.randint(0, 255)}.0/24 tcp 443"
            compilation.put_application(application(number, there))
        case _:
            compilation.revoke_key(key(number) if number > 1 else "odd")


def _device(random: Random, number: int, user: int) -> Device:
    """Return a device, at times with somebody else's key or address."""
    made = device(
        number,
        user,
        expires_at=random.choice(ENDS),
        is_approved=random.random() < 0.5,
    )
    return random.choice(
        (
            *(made,) * 8,
            replace(made, public_key=key(3)),
            replace(made, addresses=device(2).addresses),
            device(number, user, addresses=("10.9.9.9",)),
        )
    )


@settings(deadline=None, max_examples=150)
@given(st.randoms(use_true_random=False), st.integers(0, 10**6))
def test_any_edits_lead_where_compiling_from_scratch_leads(
    drawn: Random, seed: int
) -> None:
    begun = random_facts(Random(seed))  # noqa: S311 - reproducible, not secret
    compilation, now = Compilation(begun, now=NOW), NOW
    agree(compilation)
    for _ in range(drawn.randint(1, 25)):
        edit(compilation, drawn)
        now += timedelta(minutes=drawn.choice((0, 0, 0, 10, 70, -30)))
        if drawn.random() < 0.6:
            agree(compilation, now)
    agree(compilation, now)


def test_most_edits_are_compiled_and_some_are_refused() -> None:
    random = Random(5)  # noqa: S311 - reproducible, not secret
    said: list[Outcome] = []
    for _ in range(40):
        compilation = Compilation(random_facts(random), now=NOW)
        for _ in range(10):
            edit(compilation, random)
        said.append(agree(compilation))
    refused = [o for o in said if not isinstance(o, Snapshot)]
    assert 1 <= len(refused) <= 35


def test_facts_come_back_as_they_were_put() -> None:
    compilation = Compilation(company(), now=NOW)
    back = compilation.facts()
    assert sorted(back.devices, key=lambda d: d.id) == [*company().devices]
    assert set(back.memberships) == set(company().memberships)
    assert (back.grants, back.applications) == (
        company().grants,
        company().applications,
    )


def test_time_alone_ends_grants_and_sessions() -> None:
    compilation = Compilation(company(), now=NOW)
    for now in (NOW, EVENING, SESSION):
        agree(compilation, now)
    agree(compilation, NOW)


def test_who_is_gone_is_gone() -> None:
    compilation = Compilation(company(), now=NOW)
    compilation.put_user(3, devices=(), groups=())
    said = agree(compilation)
    assert isinstance(said, Snapshot)
    assert 3 not in [peer.device_id for peer in said.peers]
    agree(compilation, SESSION)


def test_a_revoked_key_leaves() -> None:
    compilation = Compilation(company(), now=NOW)
    compilation.revoke_key(key(1))
    said = agree(compilation)
    assert isinstance(said, Snapshot)
    assert 1 not in [peer.device_id for peer in said.peers]
    for _ in range(2):
        compilation.revoke_key(key(50))
    agree(compilation)


def test_an_error_is_over_when_its_cause_is() -> None:
    compilation = Compilation(company(), now=NOW)
    compilation.put_user(9, devices=[device(9, addresses=("100.64.0.1",))], groups=[4])
    assert agree(compilation) is OverlapError
    compilation.put_user(9, devices=[device(9)], groups=[4])
    assert isinstance(agree(compilation), Snapshot)


def test_an_address_is_clear_when_only_one_holds_it() -> None:
    compilation = Compilation(company(), now=NOW)
    for user in (8, 9):
        shared = [device(user, addresses=("100.64.0.1",))]
        compilation.put_user(user, devices=shared, groups=[4])
    for user, clear in ((8, False), (9, True)):
        compilation.put_user(user, devices=(), groups=())
        assert isinstance(agree(compilation), Snapshot) is clear


@pytest.mark.parametrize(
    ("owned", "error"),
    [
        ([device(1, 9)], OverlapError),
        ([device(9), device(9)], OverlapError),
        ([device(9, 8)], InvalidValueError),
    ],
    ids=["another's", "twice", "another owner"],
)
def test_a_device_has_one_owner(
    owned: list[Device], error: type[CompilerError]
) -> None:
    compilation = Compilation(company(), now=NOW)
    with pytest.raises(error):
        compilation.put_user(9, devices=owned, groups=())
    agree(compilation)


@pytest.mark.parametrize(
    "doubled",
    [
        facts(devices=(device(1), device(1, 2))),
        facts(grants=(grant(1, "us_1", 1), grant(1, "us_2", 1))),
        facts(applications=(application(1), application(1))),
        facts(proofs=(proof(1), proof(1, amr="mfa"))),
    ],
    ids=["device", "grant", "application", "proof"],
)
def test_facts_hold_everything_once(doubled: Facts) -> None:
    with pytest.raises(OverlapError):
        Compilation(doubled, now=NOW)


def test_a_proof_is_of_the_person_who_is_put() -> None:
    compilation = Compilation(company(), now=NOW)
    with pytest.raises(InvalidValueError):
        compilation.put_user(9, devices=(), groups=(), proof=proof(8))
    agree(compilation)


def test_hours_and_proofs_pass_with_time_alone() -> None:
    compilation = Compilation(office(), now=NOW)
    seen = set()
    for hour in range(0, 24 * 9, 3):
        said = agree(compilation, NOW + hour * HOUR)
        assert isinstance(said, Snapshot)
        seen.add((len(said.grants), sum(len(c.holders) for c in said.conditions)))
    assert len(seen) == 4


def test_a_new_sign_in_is_one_edit() -> None:
    compilation = Compilation(office(), now=NOW)
    for amr in ("mfa", "pwd", "mfa pwd"):
        devices = [d for d in office().devices if d.user_id == 2]
        compilation.put_user(2, devices=devices, groups=[4], proof=proof(2, amr=amr))
        agree(compilation)
    for number in (31, 32):
        compilation.remove_grant(number)
        said = agree(compilation)
    assert isinstance(said, Snapshot)
    assert said.conditions == ()

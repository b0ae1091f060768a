"""Every condition can be said. Pure: no database."""

from __future__ import annotations

from typing import Final

import pytest

from policies.compiler.conditions import MaxAge, Strength
from policies.compiler.explanation import Condition, Failure, Question
from policies.compiler.types import IPAddress, address
from policies.wording import (
    SENTENCES,
    destination_text,
    failure_sentence,
    general_sentence,
    question_text,
)
from tests.policies.compiler.build import NOW, destination, grant, proof

NAMES: Final = {"gr_4": "engineering", "us_7": "Alice", "ap_3": "wiki"}


def test_no_condition_was_forgotten() -> None:
    assert set(SENTENCES) == set(Condition)


@pytest.mark.parametrize("condition", Condition)
def test_every_condition_can_be_said(condition: Condition) -> None:
    bare = Failure(condition=condition)
    full = Failure(
        condition=condition, at=NOW, nearest=destination("10.0.0.0/8 tcp 80-443")
    )
    for failure in (bare, full):
        for said in (
            failure_sentence(failure, grant(1, "us_7", 3), NAMES),
            general_sentence(failure),
        ):
            assert said
            assert not {"{", "}"} & set(said)


def test_a_time_and_a_nearest_miss_are_part_of_the_sentence() -> None:
    ended = Failure(condition=Condition.ENDED, at=NOW)
    assert failure_sentence(ended, grant(1, "us_7", 3), NAMES) == (
        "it ended at 2026-11-23 12:00:00 UTC"
    )
    missed = Failure(
        condition=Condition.WRONG_PORT, nearest=destination("10.0.0.0/8 tcp 80-443")
    )
    assert failure_sentence(missed, grant(1, "us_7", 3), NAMES) == (
        "wiki listens on another port; the nearest is 10.0.0.0/8 tcp/80-443"
    )


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("us_7", "it is for Alice, who is somebody else"),
        ("gr_4", "not a member of the group engineering"),
        ("gr_5", "not a member of the group gr_5"),
    ],
)
def test_who_a_grant_is_for_is_named(who: str, said: str) -> None:
    failure = Failure(condition=Condition.NOT_MEMBER)
    assert failure_sentence(failure, grant(1, who, 3), NAMES) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("10.0.0.0/8 tcp 443", "10.0.0.0/8 tcp/443"),
        ("10.0.0.0/8 any", "10.0.0.0/8 any protocol"),
        ("fd00::/64 icmpv6", "fd00::/64 icmpv6"),
    ],
)
def test_a_destination_is_written_as_people_do(written: str, said: str) -> None:
    assert destination_text(destination(written)) == said


@pytest.mark.parametrize(
    ("where", "protocol", "port", "said"),
    [
        (address("10.0.0.1"), 17, 53, "10.0.0.1 udp/53"),
        (address("fd00::1"), 50, None, "fd00::1 50"),
    ],
)
def test_a_question_is_written_as_people_do(
    where: IPAddress, protocol: int, port: int | None, said: str
) -> None:
    asked = Question(destination=where, protocol=protocol, port=port, at=NOW)
    assert question_text(asked) == said


TODAY = MaxAge(seconds=28_800)
STRONG = Strength(amr=("mfa",), acr=("gold",))


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            Failure(condition=Condition.PROOF_TOO_OLD, at=NOW, requirement=TODAY),
            (
                "it needs a sign-in not older than 8 hours;"
                " the last one is too old since"
                " 2026-11-23 12:00:00 UTC"
            ),
        ),
        (
            Failure(condition=Condition.PROOF_TOO_OLD, requirement=TODAY),
            "it needs a sign-in not older than 8 hours; none is known that would do",
        ),
        (
            Failure(
                condition=Condition.PROOF_TOO_OLD,
                requirement=TODAY,
                proof=proof(7, ago=None),
            ),
            (
                "it needs a sign-in not older than 8 hours;"
                " the identity provider does not"
                " say when the last one was"
            ),
        ),
        (
            Failure(
                condition=Condition.PROOF_TOO_WEAK,
                requirement=STRONG,
                proof=proof(7, amr="pwd", acr="silver"),
            ),
            (
                "it needs a strong sign-in mfa, of class gold;"
                " the last one was with pwd,"
                " of class silver"
            ),
        ),
        (
            Failure(
                condition=Condition.PROOF_TOO_WEAK, requirement=STRONG, proof=proof(7)
            ),
            (
                "it needs a strong sign-in mfa, of class gold; the last one was with"
                " methods it does not tell"
            ),
        ),
        (
            Failure(condition=Condition.OUTSIDE_HOURS, at=NOW),
            "it is outside its hours; they open again at 2026-11-23 12:00:00 UTC",
        ),
    ],
)
def test_a_demand_that_is_not_met_says_what_there_is_instead(
    failure: Failure, said: str
) -> None:
    assert failure_sentence(failure, grant(1, "us_7", 3), NAMES) == said

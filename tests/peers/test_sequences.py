"""A second holder of a key is told from a replay. Pure: no database."""

from __future__ import annotations

import itertools

import pytest

from peers.sequences import Position, Verdict, advanced, judge

LAST = Position(sequence=40, created=1000)


def seen(sequence: int, created: int) -> Position:
    return Position(sequence=sequence, created=created)


@pytest.mark.parametrize(
    ("request_", "verdict"),
    [
        pytest.param(seen(41, 1001), Verdict.ACCEPTED, id="the next"),
        pytest.param(seen(41, 1000), Verdict.ACCEPTED, id="in the same second"),
        pytest.param(seen(41, 940), Verdict.ACCEPTED, id="clock stepped back"),
        pytest.param(seen(1041, 1001), Verdict.ACCEPTED, id="after a restart"),
        pytest.param(seen(40, 1000), Verdict.REPLAYED, id="F03 the very same"),
        pytest.param(seen(39, 999), Verdict.REPLAYED, id="F03 an older one"),
        pytest.param(seen(39, 1000), Verdict.REPLAYED, id="F03 overtaken"),
        pytest.param(seen(40, 1001), Verdict.SECOND_HOLDER, id="F04 the same number"),
        pytest.param(seen(7, 1060), Verdict.SECOND_HOLDER, id="F04 a lower number"),
    ],
)
def test_a_request_is_judged_by_number_and_date(
    request_: Position, verdict: Verdict
) -> None:
    assert judge(LAST, request_) is verdict


def test_a_new_channel_takes_any_number() -> None:
    assert judge(Position(), seen(5, 1)) is Verdict.ACCEPTED


def test_a_channel_without_a_date_accuses_nobody() -> None:
    old = Position(sequence=40, created=0)
    assert judge(old, seen(40, 1000)) is Verdict.REPLAYED
    assert judge(old, seen(41, 1000)) is Verdict.ACCEPTED


def test_a_released_channel_begins_anew_with_what_is_signed_later() -> None:
    released = Position(sequence=0, created=1000)
    assert judge(released, seen(3, 1001)) is Verdict.ACCEPTED
    assert judge(released, seen(99, 1000)) is Verdict.REPLAYED
    assert judge(released, seen(99, 900)) is Verdict.REPLAYED


def test_f03_no_order_of_replays_ever_locks_a_gateway() -> None:
    """Whatever one holder signed, late, twice or in any order, accuses nobody.

    Its clock steps back in between; replays come before or after what they repeat.
    """
    signed = [seen(1, 100), seen(2, 101), seen(3, 80), seen(4, 81), seen(5, 81)]
    for accepted in range(1, len(signed) + 1):
        last = Position()
        for request_ in signed[:accepted]:
            assert judge(last, request_) is Verdict.ACCEPTED
            last = advanced(last, request_)
        for late in signed[:accepted]:
            assert judge(last, late) is Verdict.REPLAYED


def test_f03_overtaken_requests_of_one_holder_accuse_nobody() -> None:
    """Requests that a slow network delivers in any order: a retry overtakes."""
    signed = [seen(n, 100 + n) for n in range(1, 6)]
    for order in itertools.permutations(signed):
        last = Position()
        for request_ in order:
            verdict = judge(last, request_)
            assert verdict is not Verdict.SECOND_HOLDER
            if verdict is Verdict.ACCEPTED:
                last = advanced(last, request_)


def test_f04_of_two_holders_one_is_found_however_they_take_turns() -> None:
    """Each counts on from the same number, with its own dates, in any order.

    The one behind is found at its next request; it may overtake the other once.
    """
    for turns in itertools.product((0, 1), repeat=7):
        numbers, last, verdicts = [10, 10], seen(10, 100), []
        for created, turn in enumerate(turns, start=101):
            numbers[turn] += 1
            verdicts.append(judge(last, seen(numbers[turn], created)))
            last = advanced(last, seen(numbers[turn], created))
            if verdicts[-1] is not Verdict.ACCEPTED:
                break
        is_one_behind = any(
            turns[:n].count(turns[n]) < turns[:n].count(1 - turns[n])
            for n in range(len(turns))
        )
        assert (Verdict.SECOND_HOLDER in verdicts) is is_one_behind


def test_a_portal_that_was_restored_is_behind_and_accuses_nobody() -> None:
    assert judge(seen(12, 500), seen(4000, 90_000)) is Verdict.ACCEPTED

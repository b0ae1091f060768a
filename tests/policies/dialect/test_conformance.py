"""The dialect agrees with the reference service on every capture in the subset."""

from __future__ import annotations

from collections import Counter

import pytest

from policies.dialect.meaning import Meaning
from tests.policies.dialect.captures import PATH, delivered
from tests.policies.dialect.conformance import Outcome, Result, outcomes, report

pytestmark = pytest.mark.skipif(
    not PATH.parent.exists(), reason=f"no captures: {PATH.parent} is absent"
)


@pytest.fixture(scope="module")
def found() -> list[Outcome]:
    return list(outcomes())


def of(found: list[Outcome], result: Result) -> list[str]:
    return [outcome.capture.name for outcome in found if outcome.result is result]


def test_every_capture_in_the_subset_means_what_was_delivered(
    found: list[Outcome],
) -> None:
    assert of(found, Result.FAILED) == []
    assert len(of(found, Result.PASSED)) > 200


def test_every_gateway_filter_is_equal(found: list[Outcome]) -> None:
    parts: Counter[tuple[str, bool]] = sum((o.parts for o in found), Counter())
    assert parts["gateway", False] == 0
    assert parts["gateway", True] > 400


def test_a_filter_of_another_node_differs_only_where_a_capture_contradicts_itself(
    found: list[Outcome],
) -> None:
    told = [text for outcome in found for text in outcome.unequal]
    parts: Counter[tuple[str, bool]] = sum((o.parts for o in found), Counter())
    assert len(told) == parts["other node", False]
    assert [text for text in told if "addresses are not its policy's" not in text] == []


def test_every_compiled_snapshot_means_what_was_delivered(
    found: list[Outcome],
) -> None:
    parts: Counter[tuple[str, bool]] = sum((o.parts for o in found), Counter())
    assert parts["snapshot", False] == 0
    assert parts["snapshot", True] > 100


def test_nothing_is_wrongly_accepted(found: list[Outcome]) -> None:
    assert of(found, Result.WRONGLY_ACCEPTED) == []


def test_nothing_is_wrongly_refused(found: list[Outcome]) -> None:
    assert of(found, Result.WRONGLY_REFUSED) == []


def test_what_is_out_of_the_subset_is_refused_with_a_reason(
    found: list[Outcome],
) -> None:
    assert all(o.reason for o in found if o.result is Result.OUT)


def test_rejections_are_in_the_words_of_the_service(found: list[Outcome]) -> None:
    rejected = [o for o in found if o.result is Result.REJECTED]
    assert [o.capture.name for o in rejected if not o.same_words] == []
    assert len(rejected) > 40


def test_the_report_prints_the_figures() -> None:
    text, is_good = report()
    assert is_good
    assert "in subset" in text


def test_filters_that_differ_by_one_port_are_told_apart() -> None:
    def filtered(last: int) -> Meaning:
        ports = {"First": 22, "Last": last}
        entry = {"IP": "10.0.0.1", "Ports": ports}
        return delivered([{"SrcIPs": ["100.64.0.1"], "DstPorts": [entry]}])

    assert filtered(22) != filtered(23)

"""The reference, the snapshot, the ruleset's texts and a real kernel agree."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

import pytest

from policies.compiler.evaluate import Packet
from policies.compiler.types import Facts, Resolved
from tests.policies.compiler.build import NOW
from tests.policies.compiler.differential import (
    judged,
    kernel_judged,
    random_facts,
    random_health,
    random_packets,
    random_resolved,
)
from tests.policies.compiler.kernel import Kernel
from tests.policies.compiler.plants import PLANTS
from tests.policies.compiler.reference import Health, answer
from tests.policies.compiler.wire import wired_kernel

POLICIES = 25
PACKETS = int(os.environ.get("PEERAGE_DIFFERENTIAL_VERDICTS", "50000")) // POLICIES
"""The variable makes the run longer: `script/bench differential` sets it."""


@pytest.fixture(scope="module")
def wired() -> Iterator[Kernel]:
    """Lend a gateway between two wires."""
    with wired_kernel() as lent:
        yield lent


@pytest.mark.netns
@pytest.mark.parametrize("seed", range(POLICIES))
def test_every_way_of_judging_gives_the_same_answer(wired: Kernel, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - reproducible, not secret
    given, resolved = random_facts(random), random_resolved(random)
    health = random_health(random, given)
    packets = random_packets(given, random, PACKETS)
    assert judged(given, resolved, packets, health) == []
    assert kernel_judged(wired, given, resolved, packets, health) == []


def test_packets_are_of_every_kind() -> None:
    answers: Counter[str] = Counter()
    by_name = 0
    for seed in range(POLICIES):
        random = Random(seed)  # noqa: S311 - reproducible, not secret
        given, resolved = random_facts(random), random_resolved(random)
        for packet in random_packets(given, random, 400):
            said = answer(given, packet, now=NOW, resolved=resolved).said
            answers[said.partition("_")[0] if said.startswith("gt_") else said] += 1
            by_name += said != answer(given, packet, now=NOW, resolved={}).said
    assert answers.keys() == {"gt", "no_grant", "no_device", "lateral", "invalid"}
    assert min(answers.values()) > 80
    assert answers["gt"] > 800
    assert by_name > 80


@pytest.mark.netns
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_caught_by_the_texts_and_by_the_kernel(
    wired: Kernel, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    PLANTS[plant](monkeypatch)
    is_shown = False
    for seed in range(POLICIES):
        random = Random(seed)  # noqa: S311 - reproducible, not secret
        given, resolved = random_facts(random), random_resolved(random)
        health = random_health(random, given)
        packets = random_packets(given, random, 400)
        if judged(given, resolved, packets, health):
            is_shown = True
            # A grant that comes second is not in the kernel's log: then try another.
            if is_caught(wired, given, resolved, packets, health):
                return
    pytest.fail(f"seen in the ruleset's texts: {is_shown}; in the kernel: no")


def is_caught(
    kernel: Kernel,
    given: Facts,
    resolved: Resolved,
    packets: Sequence[Packet],
    health: Health,
) -> bool:
    """Return whether the kernel disagrees, or does not even load the ruleset."""
    try:
        return bool(kernel_judged(kernel, given, resolved, packets, health))
    except AssertionError as refusal:
        return "nft" in str(refusal)

"""How much a file asks for, counted before any of it is worked out.

A short list times a short list is a long one: 80 kB can name a million destinations,
or want a thousand claims tried on a thousand rules. What nobody means is refused at
once, so that no file keeps a process, or its memory, for minutes (attack D07).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policies.dialect.document import SelectorKind
from policies.dialect.errors import SyntaxRefusedError, problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policies.dialect.document import PolicyDocument, PolicyTest, Rule, Selector

MAX_PAIRS: Final = 200_000
"""Sources times destinations, and destinations times services, of all rules."""

MAX_TRIALS: Final = 5_000_000
"""Claims times what they are tried on: destinations times services."""

ANEW: Final = 20
"""As many trials as it takes to work out the rules for another moment."""


def check_extent(document: PolicyDocument) -> None:
    """Refuse rules that stand for too much.

    Raises:
        SyntaxRefusedError: they do; it says from which rule on.
    """
    total = 0
    for rule in document.rules:
        total += _made(document, rule) + _opened(document, rule)
        if total > MAX_PAIRS:
            text = (
                f"up to {rule.name} the rules stand for more than {MAX_PAIRS} pairs of"
                " source and destination, or of destination and service; grant groups"
                " instead of people, prefixes instead of hosts"
            )
            raise SyntaxRefusedError([problem(rule.position, text)])


def check_trials(document: PolicyDocument, tests: Iterable[PolicyTest]) -> None:
    """Refuse more tests than can be tried on the rules.

    Raises:
        SyntaxRefusedError: they are; it says from which test on.
    """
    each = sum(_opened(document, rule) for rule in document.rules)
    total, before = 0, None
    for test in tests:
        total += (len(test.accept) + len(test.deny)) * each
        supposed = (test.at, test.attributes)
        if supposed != before:
            total, before = total + ANEW * each, supposed
        if total > MAX_TRIALS:
            text = (
                "too many claims for so many rules: up to this test,"
                f" {total} pairs of claim and destination are to be tried; {MAX_TRIALS}"
                " are the most"
            )
            raise SyntaxRefusedError([problem(test.position, text)])


def _made(document: PolicyDocument, rule: Rule) -> int:
    """Return how many single grants a rule makes, at most."""
    people = sum(len(document.groups.get(s.text, (s,))) for s in rule.sources)
    return people * len(rule.targets)


def _opened(document: PolicyDocument, rule: Rule) -> int:
    """Return how many destinations with services a rule opens, at most."""
    return sum(
        _prefixes(document, target.selector) * len(target.services)
        for target in rule.targets
    )


def _prefixes(document: PolicyDocument, selector: Selector) -> int:
    if selector.kind is not SelectorKind.IPSET:
        return 1
    # One may hold others; each step adds or cuts one prefix at a time.
    return max(1, sum(map(len, document.ipsets.values())))

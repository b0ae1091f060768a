"""How far the dialect agrees with the reference service, over its own captures.

    python -m tests.policies.dialect.conformance

Each capture is a policy, the service's answer, and the packet filter it delivered to
every node. In the subset, the meaning of our filter must equal the delivered one; out
of it, the policy must be refused with a reason; what the service rejects, we reject,
in its words. Our gateways are the nodes that route subnets; the other nodes are
compared too, and counted apart. Where one of those differs the report names it, and
says so when the capture contradicts itself: the policy's own tests, which the service
ran and passed, say that somebody reaches something, and no node was delivered any
filter. Then the addresses of the capture were rewritten, and not those of its policy.

Where the policy fits the portal (sources are people, destinations are applications), it
is also compiled to a snapshot, and that is compared for people's devices.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from policies.dialect.definitions import define
from policies.dialect.document import PolicyDocument
from policies.dialect.errors import PolicyError, UnsupportedError
from policies.dialect.meaning import meaning
from policies.dialect.reader import read_policy
from policies.dialect.resolve import for_site, resolve
from policies.dialect.verdicts import FAILED, run_tests
from tests.policies.dialect.captures import Capture, captures, delivered, site
from tests.policies.dialect.hub import NOW, compiled, narrowed


class Result(StrEnum):
    """What became of a capture."""

    PASSED = "passed"
    FAILED = "FAILED"
    OUT = "out of subset, refused"
    REJECTED = "rejected, as the service does"
    WRONGLY_ACCEPTED = "WRONGLY ACCEPTED"
    WRONGLY_REFUSED = "WRONGLY REFUSED"


@dataclass(slots=True)
class Outcome:
    """What became of one capture, and how its parts compare."""

    capture: Capture
    result: Result
    reason: str = ""
    same_words: bool = True
    parts: Counter[tuple[str, bool]] = field(default_factory=Counter)
    unequal: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing contradicts the service."""
        good = {Result.PASSED, Result.OUT, Result.REJECTED}
        return self.result in good and self.same_words


def outcomes() -> Iterator[Outcome]:
    """Yield what becomes of every capture."""
    for capture in captures():
        yield outcome(capture)


def outcome(capture: Capture) -> Outcome:
    """Return what becomes of one capture."""
    try:
        document = read_policy(capture.policy)
    except UnsupportedError as exc:
        return Outcome(capture, Result.OUT, _reason(exc.message))
    except PolicyError as exc:
        if not capture.is_rejected:
            return Outcome(capture, Result.WRONGLY_REFUSED, exc.message)
        same = exc.message == capture.message
        return Outcome(capture, Result.REJECTED, _reason(exc.message), same)
    return _tried(capture, document)


def _tried(capture: Capture, document: PolicyDocument) -> Outcome:
    """Return what becomes of a policy that reads well: its tests, then its meaning."""
    reports = run_tests(document, capture.directory, now=NOW)
    if any(found.problems for found in reports):
        if not capture.is_rejected:
            return Outcome(capture, Result.WRONGLY_REFUSED, FAILED)
        return Outcome(capture, Result.REJECTED, FAILED, capture.message == FAILED)
    if capture.is_rejected:
        return Outcome(capture, Result.WRONGLY_ACCEPTED, capture.message)
    return _compared(capture, document)


def _compared(capture: Capture, document: PolicyDocument) -> Outcome:
    """Return how the meaning of an accepted policy compares with what was delivered."""
    found = Outcome(capture, Result.PASSED)
    resolved = resolve(document, capture.directory, at=NOW)
    for name, node in capture.nodes.items():
        place = site(name, node)
        is_gateway = any(route.prefixlen for route in place.routes)
        wanted = delivered(capture.filters.get(name))
        same = meaning(for_site(resolved, place)) == wanted
        found.parts["gateway" if is_gateway else "other node", same] += 1
        if not same:
            found.unequal.append(f"{name}: {_why_unequal(capture, document)}")
        if not same and is_gateway:
            found.result = Result.FAILED
    for same in _snapshots(capture, document):
        found.parts["snapshot", same] += 1
        if not same:
            found.result = Result.FAILED
    return found


def _why_unequal(capture: Capture, document: PolicyDocument) -> str:
    """Return why a node's filter differs, where the capture itself tells."""
    is_claimed = any(test.accept for test in document.tests)
    if is_claimed and not any(capture.filters.values()):
        return (
            "the service passed a test that something is reached, and delivered no"
            " filter to any node; the capture's addresses are not its policy's"
        )
    return "the meanings differ"


def _snapshots(capture: Capture, document: PolicyDocument) -> Iterator[bool]:
    """Yield whether each gateway's compiled snapshot means what was delivered."""
    try:
        policy = define(document, capture.directory)
    except UnsupportedError:
        return
    if any(grant.application == "*" or grant.sites for grant in policy.grants):
        return
    for name, node in capture.nodes.items():
        place = site(name, node)
        if any(route.prefixlen for route in place.routes):
            wanted = narrowed(delivered(capture.filters.get(name)), capture.directory)
            yield compiled(policy, capture.directory, place) == wanted


def _reason(text: str) -> str:
    """Return a reason without the names of one policy."""
    plain = re.sub(r"^(acls|grants)\[\d+\]: ", "", text)
    return re.sub(r'"(tag|group):[^"]*"', r'"\1:…"', plain)


def report() -> tuple[str, bool]:
    """Return the figures as text, and whether all is good."""
    found = list(outcomes())
    parts: Counter[tuple[str, bool]] = sum((o.parts for o in found), Counter())
    inside = [o for o in found if o.result in {Result.PASSED, Result.FAILED}]
    passed = sum(o.result is Result.PASSED for o in inside)
    lines = [
        f"captures            {len(found):5}",
        f"in subset           {len(inside):5}   passed {passed}",
    ]
    for what in ("gateway", "other node", "snapshot"):
        good = parts[what, True]
        lines.append(
            f"  {what + ' filters':18}{good + parts[what, False]:5}   equal {good}"
        )
    for result in Result:
        reasons = Counter(o.reason for o in found if o.result is result)
        if result in {Result.PASSED, Result.FAILED}:
            continue
        lines.append(f"{result:30}{reasons.total():5}")
        lines += (f"  {n:5}  {reason}" for reason, n in reasons.most_common())
    lines += (f"unequal: {o.capture.name} {text}" for o in found for text in o.unequal)
    words = sum(o.same_words for o in found if o.result is Result.REJECTED)
    lines.append(f"rejections in the service's words {words}")
    lines += (
        f"{o.result}: {o.capture.name} {o.reason}" for o in found if not o.is_good
    )
    return "\n".join(lines), all(o.is_good for o in found)


if __name__ == "__main__":
    text, is_good = report()
    sys.stdout.write(text + "\n")
    sys.exit(not is_good)

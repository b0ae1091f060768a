"""What a policy file would let somebody reach: asked, answered, and nothing kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address

import pytest

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers.models import Device, Gateway
from policies.compiler.explanation import Condition, Question
from policies.dialect.errors import DialectError
from policies.errors import PolicyError
from policies.explanations import Answer, answer
from policies.models import Application, Grant, Publication, Snapshot
from policies.policy_files.applying import apply_policy
from policies.policy_files.supposing import answer_supposing
from policies.wording import answer_output
from portal.accounts.models import User
from tests.peers.makers import Machine
from tests.policies.makers import NOW
from tests.policies.policy_files.makers import grant, source

pytestmark = pytest.mark.django_db
ALICE = "alice@example.test"
GIT = Question(destination=ip_address("10.2.0.5"), protocol=6, port=443, at=NOW)
WIKI = replace(GIT, destination=ip_address("10.1.0.7"))


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


def suppose(text: str, person: User, question: Question, *gateways: str) -> Answer:
    return answer_supposing(
        text, person, None, question, gateways=gateways, actor=SYSTEM, now=NOW
    )


def kept() -> list[int]:
    """Count everything that a policy file could leave behind."""
    tables = (Application, Grant, Snapshot, AuditEvent)
    stale = Publication.objects.filter(stale_since__isnull=False).count()
    return [*(table.objects.count() for table in tables), stale]


@pytest.mark.usefixtures("gw1", "laptop")
def test_what_a_file_would_grant_is_allowed_and_not_granted(alice: User) -> None:
    before = kept()
    found = suppose(source(grant(ALICE, "git", comment="x")), alice, GIT)
    assert found.is_allowed
    told = answer_output(found)
    assert (told["source"], told["gateways"][0]["snapshot"]) == ("supposed", None)
    grants = told["gateways"][0]["grants"]
    assert [row["grant"]["name"] for row in grants] == ["Alice → git"]
    assert kept() == before


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_what_a_file_would_end_is_denied_and_not_ended(alice: User) -> None:
    before = kept()
    found = suppose("{}", alice, WIKI)
    assert not found.is_allowed
    explanation = found.gateways[0].explanation
    assert explanation is not None
    (candidate,) = explanation.candidates
    assert [f.condition for f in candidate.failures] == [Condition.ENDED]
    assert kept() == before
    assert answer(alice, None, WIKI, now=NOW, with_others=True).is_allowed


@pytest.mark.parametrize("question", [GIT, WIKI, replace(GIT, port=22)])
@pytest.mark.usefixtures("alices_grant", "laptop")
def test_the_answer_is_the_one_after_applying(
    question: Question,
    alice: User,
    gw1: Gateway,
    django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[object]],
) -> None:
    text = source(grant("group:engineering", "git", "tcp:22"), grant(ALICE, "wiki"))
    supposed = answer_output(suppose(text, alice, question, gw1.name))
    with django_capture_on_commit_callbacks(execute=True):
        apply_policy(text, is_confirmed=True, actor=SYSTEM, now=NOW)
    after = answer_output(answer(alice, None, question, now=NOW, with_others=True))
    assert after["verdict"] == supposed["verdict"]
    assert [names(part) for part in after["gateways"]] == [
        names(part) for part in supposed["gateways"]
    ]


def names(part: dict[str, object]) -> object:
    """Return what a gateway's part says of grants, by name."""
    rows = [*part["grants"], *part["candidates"]]  # type: ignore[misc]
    return [
        (row["grant"]["name"], [f["condition"] for f in row.get("failures", ())])
        for row in rows
    ]


@pytest.mark.usefixtures("gw1", "laptop")
def test_a_failing_test_of_the_file_is_no_obstacle(alice: User) -> None:
    wrong = [{"src": ALICE, "deny": ["git:443"]}]
    assert suppose(source(grant(ALICE, "git"), tests=wrong), alice, GIT).is_allowed


@pytest.mark.usefixtures("gw1", "laptop")
def test_a_later_moment_may_be_asked_about(alice: User) -> None:
    text = source(grant(ALICE, "git", expires="2026-11-24T00:00:00Z"))
    assert suppose(text, alice, GIT).is_allowed
    later = replace(GIT, at=NOW + timedelta(days=1))
    assert not suppose(text, alice, later).is_allowed


@pytest.mark.parametrize(
    ("text", "question", "error"),
    [
        ("{", GIT, DialectError),
        (source(grant("*", "git")), GIT, PolicyError),
        ("{}", replace(GIT, at=NOW - timedelta(seconds=1)), PolicyError),
    ],
    ids=["malformed", "not enforced", "past"],
)
@pytest.mark.usefixtures("gw1")
def test_what_cannot_be_supposed_is_refused_and_leaves_nothing(
    text: str, question: Question, error: type[Exception], alice: User
) -> None:
    before = kept()
    with pytest.raises(error):
        suppose(text, alice, question)
    assert kept() == before

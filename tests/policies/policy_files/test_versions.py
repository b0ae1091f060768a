"""Rules of the history: no gaps in its numbers, one writer at a time, no rewriting."""

from __future__ import annotations

import pytest
from pytest_django import DjangoAssertNumQueries

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.models import AuditEvent
from policies.dialect.formatting import fmt
from policies.models import Grant, PolicyVersion
from policies.policy_files import versions
from policies.policy_files.applying import apply_policy
from policies.policy_files.errors import StaleFileError
from policies.policy_files.state import read_state
from policies.policy_files.versions import DENY_ALL, current_policy, etag_of
from portal.accounts.models import User
from tests.policies.makers import NOW
from tests.policies.policy_files.makers import grant, source

pytestmark = pytest.mark.django_db
ALICE = "alice@example.test"


def test_the_default_is_in_canonical_style_and_denies_all() -> None:
    assert fmt(DENY_ALL) == DENY_ALL
    assert current_policy(read_state(now=NOW), now=NOW).text == DENY_ALL


def test_of_two_at_the_same_moment_one_is_refused_and_changes_nothing(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rivalled(text: str) -> str:
        # Between reading the newest number and taking the next one.
        PolicyVersion.objects.get_or_create(
            number=1,
            defaults={"text": "{}", "etag": "x", "applied_at": NOW},
        )
        return etag_of(text)

    monkeypatch.setattr(versions, "etag_of", rivalled)
    with pytest.raises(StaleFileError, match="at the same moment"):
        apply_policy(source(grant(ALICE, "git")), actor=SYSTEM, now=NOW)
    assert not Grant.objects.exists()
    # The rival's row was rolled back with everything else; only the refusal stays.
    assert not PolicyVersion.objects.exists()
    event = AuditEvent.objects.get()
    assert (event.code, event.outcome) == (EventCode.POLICY_APPLY, Outcome.REFUSED)


def test_an_older_text_may_come_back_as_a_new_version(alice: User) -> None:
    one, other = source(grant(ALICE, "git")), source(grant(ALICE, "wiki"))
    for text in (one, other, one):
        apply_policy(text, is_confirmed=True, actor=SYSTEM, now=NOW)
    rows = PolicyVersion.objects.order_by("number")
    assert [row.text for row in rows] == [one, other, one]
    assert len({row.etag for row in rows}) == 2


def test_the_current_policy_takes_a_fixed_number_of_queries(
    alice: User, bob: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    apply_policy(source(grant(ALICE, "git")), actor=SYSTEM, now=NOW)
    state = read_state(now=NOW)
    with django_assert_num_queries(1):
        assert current_policy(state, now=NOW).number == 1


def test_a_file_that_could_not_be_applied_any_more_is_not_the_policy(
    alice: User,
) -> None:
    apply_policy(source(grant(ALICE, "git")), actor=SYSTEM, now=NOW)
    PolicyVersion.objects.update(text=source(grant("*", "git")))
    found = current_policy(read_state(now=NOW), now=NOW)
    assert found.number is None
    assert ALICE in found.text

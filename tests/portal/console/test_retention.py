"""The page of holds and prunes, and what a person's page says of them."""

from __future__ import annotations

from uuid import uuid4

import pytest

from audit.actor import SYSTEM
from audit.models import Prune
from audit.retention.forgetting import forget_salt
from audit.retention.holds import lift_hold, place_hold
from portal.accounts.models import User
from tests.conftest import NOW, SignIn

pytestmark = pytest.mark.django_db


def prune(**fields: object) -> Prune:
    values: dict[str, object] = {
        "log": "control",
        "begin": 0,
        "below": 512,
        "root": b"",
        "hashes": b"",
        "reason": "two years are enough",
        "proposer_id": "us_3",
        "proposed_at": NOW,
    }
    return Prune.objects.create(**(values | fields))


def test_nothing_held_pruned_or_forgotten_is_said(carol: User, sign_in: SignIn) -> None:
    page = sign_in(carol).get("/audit/retention/").content.decode()
    for told in ("None. A hold", "Nothing was pruned", "Nobody. Whoever", "400 days"):
        assert told in page


def test_holds_and_people_are_listed(carol: User, sign_in: SignIn) -> None:
    for person in ("us_77", ""):
        hold = place_hold(
            person=person,
            since=None,
            until=None,
            reason="Archer v. Acme",
            actor=SYSTEM,
            now=NOW,
        )
    lift_hold(hold=hold, reason="over", actor=SYSTEM, now=NOW)
    forget_salt("us_78", now=NOW)
    page = sign_in(carol).get("/audit/retention/").content.decode()
    for told in ("us_77", "everybody", "in force", "lifted", "Archer v. Acme", "us_78"):
        assert told in page


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "waits for another administrator"),
        ({"withdrawn_at": NOW}, "withdrawn"),
        (
            {"approved_at": NOW, "approver_id": "us_4", "leaf_uid": uuid4()},
            "approved by us_4",
        ),
        (
            {
                "approved_at": NOW,
                "approver_id": "us_4",
                "leaf_uid": uuid4(),
                "done_at": NOW,
            },
            "gone",
        ),
    ],
    ids=["waits", "withdrawn", "approved", "gone"],
)
def test_prunes_are_listed_with_both_people(
    fields: dict[str, object], told: str, carol: User, sign_in: SignIn
) -> None:
    made = prune(**fields)
    page = sign_in(carol).get("/audit/retention/").content.decode()
    assert made.ref.id in page
    assert "proposed by us_3" in page
    assert told in page


def test_a_persons_page_tells_of_their_hold(
    alice: User, carol: User, sign_in: SignIn
) -> None:
    hold = place_hold(
        person=alice.ref.id,
        since=None,
        until=None,
        reason="a case",
        actor=SYSTEM,
        now=NOW,
    )
    page = sign_in(carol).get(f"/manage/users/{alice.pk}/").content.decode()
    assert f"legal hold {hold.ref.id}" in page


def test_somebody_forgotten_does_not_come_back(
    alice: User, dave: User, sign_in: SignIn
) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False, revoked_at=NOW)
    forget_salt(alice.ref.id, now=NOW)
    browser = sign_in(dave)
    page = browser.get(f"/manage/users/{alice.pk}/").content.decode()
    assert "Forgotten: no name" in page
    assert "Enable again" not in page
    answer = browser.post(
        f"/manage/users/{alice.pk}/reactivate/", {"reason": "back"}, follow=True
    )
    assert "This person was forgotten" in answer.content.decode()
    assert not User.objects.get(pk=alice.pk).is_active

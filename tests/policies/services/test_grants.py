"""Grants: exactly one subject, sane times, ended once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.actor import SYSTEM
from policies import services
from policies.errors import InvalidGrantError, InvalidNameError
from policies.models import Application, Grant, Publication
from portal.accounts.models import Group, User
from tests.peers.makers import codes
from tests.policies.makers import NOW

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def create(application: Application, **arguments: Any) -> Grant:  # noqa: ANN401 -- any argument of the service
    return services.create_grant(
        application=application, **arguments, actor=SYSTEM, now=NOW
    )


def test_grant_without_subject_is_refused(wiki: Application) -> None:
    with pytest.raises(InvalidGrantError, match="one user or one group"):
        create(wiki)
    assert codes()[1:] == ["PL004W"]


def test_grant_with_two_subjects_is_refused(
    wiki: Application, alice: User, engineering: Group
) -> None:
    with pytest.raises(InvalidGrantError, match="one user or one group"):
        create(wiki, user=alice, group=engineering)
    assert not Grant.objects.exists()
    assert codes()[1:] == ["PL004W"]


def test_disabled_person_is_not_granted(wiki: Application, alice: User) -> None:
    alice.is_active = False
    with pytest.raises(InvalidGrantError, match="is disabled"):
        create(wiki, user=alice)
    assert codes()[1:] == ["PL004W"]


BAD_TIMES = {
    "end past": ({"expires_at": NOW - DAY}, "is past"),
    "end now": ({"expires_at": NOW}, "is past"),
    "end before begin": (
        {"not_before": NOW + 2 * DAY, "expires_at": NOW + DAY},
        "would end before it begins",
    ),
    "end too far": ({"expires_at": NOW + 3654 * DAY}, "ten years at most"),
    "begin too far": ({"not_before": NOW + 3654 * DAY}, "more than ten years"),
}


@pytest.mark.parametrize(("times", "message"), BAD_TIMES.values(), ids=BAD_TIMES.keys())
def test_impossible_time_is_refused_with_one_event(
    wiki: Application, alice: User, times: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidGrantError, match=message):
        create(wiki, user=alice, **times)
    assert not Grant.objects.exists()
    assert codes()[1:] == ["PL004W"]


def test_reason_with_a_line_feed_is_refused(wiki: Application, alice: User) -> None:
    with pytest.raises(InvalidNameError):
        create(wiki, user=alice, reason="on\ncall")
    assert codes()[1:] == ["PL004W"]


def test_grant_marks_its_gateways_stale(wiki: Application, alice: User) -> None:
    Publication.objects.update(stale_since=None)
    create(wiki, user=alice)
    assert Publication.objects.get().stale_since == NOW
    assert codes()[1:] == ["PL004I"]


def test_grant_ends_once(alices_grant: Grant) -> None:
    later = NOW + DAY
    services.end_grant(grant=alices_grant, actor=SYSTEM, now=NOW)
    services.end_grant(grant=alices_grant, actor=SYSTEM, now=later)
    assert alices_grant.ended_at == NOW
    assert codes()[-1] == "PL006I"
    assert codes().count("PL006I") == 1

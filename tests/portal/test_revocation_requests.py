"""Revoking a person takes back what they asked for, in the same transaction."""

from __future__ import annotations

import pytest
from django.db import transaction

from audit.actor import Actor
from policies.errors import InvalidGrantError, RequestConflictError
from policies.models import AccessRequest, Application, Grant
from portal import revocation
from portal.accounts.models import User
from tests.peers.makers import codes
from tests.policies.makers import NOW
from tests.policies.requests import approve, ask, open_for_requests

pytestmark = pytest.mark.django_db


def revoke(user: User, actor: Actor) -> None:
    revocation.revoke_user(
        user=user, reason="left", actor=actor, requested_at=NOW, now=NOW
    )


@pytest.fixture
def asked(wiki: Application, alice: User) -> AccessRequest:
    """Alice waits for the wiki."""
    return ask(open_for_requests(wiki), alice)


def test_revocation_takes_back_what_the_person_waits_for(
    asked: AccessRequest, alice: User, dave: User, actor: Actor
) -> None:
    revoke(alice, actor)
    asked.refresh_from_db()
    assert asked.state == "cancelled"
    assert codes().index("RQ004I") < codes().index("RV001I")
    with pytest.raises((RequestConflictError, InvalidGrantError)):
        approve(asked, dave)
    assert not Grant.objects.exists()


def test_a_revocation_that_is_undone_takes_nothing_back(
    asked: AccessRequest, alice: User, actor: Actor
) -> None:
    with transaction.atomic():
        revoke(alice, actor)
        transaction.set_rollback(True)
    asked.refresh_from_db()
    assert asked.is_pending

"""Trying and keeping a change where commits are real, and gateways hear of them."""

from __future__ import annotations

from functools import partial

import pytest

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers.models import Gateway
from policies import services
from policies.errors import InvalidNameError
from policies.models import Application, Grant, Publication, Snapshot
from policies.whatif import UnconfirmedError, carry_out, outlook
from portal.accounts.models import User
from tests.peers.makers import Machine
from tests.policies.makers import NOW, content, make_application, make_grant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def grant(alice: User, pools: None, gw1: Gateway) -> Grant:
    """Alice reaches the wiki with her laptop."""
    Machine().enroll(alice)
    wiki = make_application("wiki", "10.1.0.0/24", gateways=[gw1])
    return make_grant(wiki, user=alice)


def state() -> tuple[object, ...]:
    return (
        [*Publication.objects.order_by("pk").values()],
        [*Snapshot.objects.order_by("pk").values_list("pk", flat=True)],
        AuditEvent.objects.count(),
        Grant.objects.get().ended_at,
    )


def test_trying_a_change_leaves_nothing_behind(grant: Grant) -> None:
    before = state()
    end = partial(services.end_grant, grant=grant, actor=SYSTEM, now=NOW)
    assert outlook(end, now=NOW).effect.losers == {grant.user_id}
    assert state() == before


def test_what_is_taken_back_publishes_nothing_and_what_is_kept_does(
    grant: Grant, gw1: Gateway
) -> None:
    end = partial(services.end_grant, grant=grant, actor=SYSTEM, now=NOW)
    carry = partial(
        carry_out, end, title="End", is_confirmed=True, actor=SYSTEM, now=NOW
    )
    before = state()
    with pytest.raises(UnconfirmedError):
        carry(digest="another")
    assert state() == before
    assert content(gw1).grants
    carry(digest=outlook(end, now=NOW).digest)
    assert not content(gw1).grants
    assert Publication.objects.get().stale_since is None


def test_a_refusal_is_on_record_though_all_else_is_taken_back(
    grant: Grant, gw1: Gateway
) -> None:
    def change() -> Application:
        return make_application("wiki", "10.2.0.0/24", gateways=[gw1])

    before = AuditEvent.objects.count()
    with pytest.raises(InvalidNameError, match="already"):
        carry_out(
            change, title="", digest=None, is_confirmed=True, actor=SYSTEM, now=NOW
        )
    assert AuditEvent.objects.count() == before + 1
    assert Application.objects.count() == 1

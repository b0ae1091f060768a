"""Nobody loses much unasked because nobody happens to be in their hours."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from audit.actor import SYSTEM
from peers.models import Device
from policies import services
from policies.conditions import ConditionsInput, WindowInput
from policies.models import Application, Grant
from policies.policy_files.applying import apply_policy
from policies.policy_files.errors import BrakeError
from policies.whatif import UnconfirmedError, carry_out, outlook
from portal.accounts.models import Group, User
from tests.peers.makers import Machine
from tests.policies.makers import NOW
from tests.policies.policy_files.makers import source

pytestmark = pytest.mark.django_db
DAYTIME = ConditionsInput(
    time_zone="UTC",
    windows=(WindowInput(days=("mon", "tue"), begin="08:00", end="18:00"),),
)
NIGHT = NOW + timedelta(hours=10)
CONDITIONS = [
    DAYTIME,
    ConditionsInput(max_auth_age_seconds=3600),
    ConditionsInput(amr=("mfa",)),
    ConditionsInput(needs_approved_device=True),
]
IDS = ["hours", "age", "strength", "approval"]


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """A device of one of those who are granted the wiki."""
    return Machine().enroll(alice)


def given(wiki: Application, group: Group, conditions: ConditionsInput) -> Grant:
    return services.create_grant(
        application=wiki, group=group, conditions=conditions, actor=SYSTEM, now=NOW
    )


@pytest.mark.parametrize("conditions", CONDITIONS, ids=IDS)
def test_what_nobody_can_use_now_is_braked_all_the_same(
    conditions: ConditionsInput,
    wiki: Application,
    engineering: Group,
    laptop: Device,
) -> None:
    grant = given(wiki, engineering, conditions)
    ending = partial(services.end_grant, grant=grant, actor=SYSTEM, now=NIGHT)
    found = outlook(ending, now=NIGHT)
    assert (found.effect.rows, found.is_braked) == ((), True)
    with pytest.raises(UnconfirmedError, match="1 of 1 people"):
        carry_out(
            ending,
            title="End a grant",
            digest=found.digest,
            is_confirmed=False,
            actor=SYSTEM,
            now=NIGHT,
        )


def test_what_has_not_begun_is_braked_too(
    wiki: Application, engineering: Group, laptop: Device
) -> None:
    grant = services.create_grant(
        application=wiki,
        group=engineering,
        not_before=NIGHT,
        actor=SYSTEM,
        now=NOW,
    )
    ending = partial(services.end_grant, grant=grant, actor=SYSTEM, now=NOW)
    assert outlook(ending, now=NOW).is_braked


@pytest.mark.parametrize("conditions", CONDITIONS, ids=IDS)
def test_a_file_is_braked_whenever_it_is_applied(
    conditions: ConditionsInput,
    wiki: Application,
    engineering: Group,
    laptop: Device,
) -> None:
    given(wiki, engineering, conditions)
    with pytest.raises(BrakeError, match="1 of 1 people"):
        apply_policy(source(), actor=SYSTEM, now=NIGHT)


def test_what_another_grant_gives_is_not_lost(
    wiki: Application, engineering: Group, laptop: Device
) -> None:
    given(wiki, engineering, DAYTIME)
    grant = given(wiki, engineering, CONDITIONS[3])
    ending = partial(services.end_grant, grant=grant, actor=SYSTEM, now=NIGHT)
    assert not outlook(ending, now=NIGHT).is_braked

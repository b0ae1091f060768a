"""Grants: exactly one subject, sane times, ended once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction

from audit.actor import SYSTEM
from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import Gateway
from policies import services
from policies.compiler.conditions import Hours
from policies.conditions import (
    ConditionsInput,
    WindowInput,
    parse_conditions,
    stored_conditions,
)
from policies.errors import InvalidGrantError, InvalidNameError
from policies.facts import gateway_facts
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


WORKDAYS = ("mon", "tue", "wed", "thu", "fri")
DAYTIME = WindowInput(days=WORKDAYS, begin="08:00", end="18:00")
BERLIN = "Europe/Berlin"


def test_every_condition_is_kept_recorded_and_reaches_the_gateway(
    gw1: Gateway, wiki: Application, alice: User
) -> None:
    given = ConditionsInput(
        time_zone=BERLIN,
        windows=(DAYTIME, WindowInput(days=("sat",), begin="22:00", end="24:00")),
        max_auth_age_seconds=28_800,
        amr=("pwd", "mfa", "mfa"),
        acr=("gold",),
        needs_approved_device=True,
    )
    made = create(wiki, user=alice, conditions=given)
    made.refresh_from_db()
    kept = stored_conditions(made)
    assert kept == parse_conditions(given)
    assert kept.schedule
    (fact,) = gateway_facts(gw1).grants
    assert fact.hours == Hours(schedule=kept.schedule, zone=ZoneInfo(BERLIN))
    assert fact.requires == kept.requires
    event = AuditEvent.objects.get(code=EventCode.GRANT_CREATE)
    assert event.details["conditions"] == {
        "schedule": {
            "time_zone": BERLIN,
            "windows": [
                {"days": [*WORKDAYS], "from": "08:00", "until": "18:00"},
                {"days": ["sat"], "from": "22:00", "until": "24:00"},
            ],
        },
        "max_auth_age_seconds": 28_800,
        "amr": ["mfa", "pwd"],
        "acr": ["gold"],
        "needs_approved_device": True,
    }


def between(begin: str, end: str, *days: str) -> ConditionsInput:
    window = WindowInput(days=days or ("mon",), begin=begin, end=end)
    return ConditionsInput(time_zone=BERLIN, windows=(window,))


BAD_CONDITIONS = {
    "no zone": (ConditionsInput(windows=(DAYTIME,)), "hours need a time zone"),
    "no hours": (ConditionsInput(time_zone=BERLIN), "without hours would mean never"),
    "unknown zone": (
        ConditionsInput(time_zone="Mars/Base", windows=(DAYTIME,)),
        "'Mars/Base' is not the name of a time zone",
    ),
    "an offset": (
        ConditionsInput(time_zone="+01:00", windows=(DAYTIME,)),
        "is not the name of a time zone",
    ),
    "a path": (
        ConditionsInput(time_zone="../UTC", windows=(DAYTIME,)),
        "is not the name of a time zone",
    ),
    "leap seconds": (
        ConditionsInput(time_zone="right/UTC", windows=(DAYTIME,)),
        "is not the name of a time zone",
    ),
    "empty": (between("08:00", "08:00"), "until 08:00 are empty"),
    "reversed": (between("18:00", "08:00"), "over midnight are two windows"),
    "no clock": (between("8", "18:00"), "'8' is not a time of day"),
    "past midnight": (between("08:00", "24:01"), "'24:01' is not a time of day"),
    "no such day": (between("08:00", "18:00", "mon", "moon"), "'moon' is not a day"),
    "no day": (
        ConditionsInput(
            time_zone=BERLIN,
            windows=(WindowInput(days=(), begin="08:00", end="09:00"),),
        ),
        "at least one day",
    ),
    "too many": (
        ConditionsInput(time_zone=BERLIN, windows=(DAYTIME,) * 29),
        "28 windows",
    ),
    "no age": (ConditionsInput(max_auth_age_seconds=0), "no age from 60 to"),
    "absurd age": (ConditionsInput(max_auth_age_seconds=10**30), "no age from 60 to"),
    "odd method": (ConditionsInput(amr=("mfa\n",)), "is not a method"),
    "long class": (ConditionsInput(acr=("x" * 65,)), "is not a method or class"),
    "many classes": (
        ConditionsInput(acr=tuple(f"c{n}" for n in range(17))),
        "at most 16 methods",
    ),
}


@pytest.mark.parametrize(
    ("conditions", "message"), BAD_CONDITIONS.values(), ids=BAD_CONDITIONS.keys()
)
def test_a_condition_that_says_nothing_or_does_not_exist_is_refused(
    wiki: Application, alice: User, conditions: ConditionsInput, message: str
) -> None:
    with pytest.raises(InvalidGrantError, match=message):
        create(wiki, user=alice, conditions=conditions)
    assert not Grant.objects.exists()
    assert codes()[1:] == ["PL004W"]


@pytest.mark.parametrize(
    "changes",
    [
        {"time_zone": BERLIN},
        {"windows": [{"days": ["mon"], "from": "08:00", "until": "18:00"}]},
        {"max_auth_age_seconds": 59},
        {"max_auth_age_seconds": 40_000_000},
    ],
    ids=["a zone without hours", "hours without a zone", "too young", "too old"],
)
def test_the_database_refuses_half_a_condition(
    alices_grant: Grant, changes: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Grant.objects.filter(pk=alices_grant.pk).update(**changes)


def test_hours_on_unknown_clocks_never_come(
    gw1: Gateway, wiki: Application, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    made = create(wiki, user=alice, conditions=between("00:00", "24:00"))
    Grant.objects.update(time_zone="Mars/Base")
    (fact,) = gateway_facts(gw1).grants
    assert fact.expires_at == fact.not_before
    assert f"the hours of gt_{made.pk} are never" in caplog.text

"""Labels borne, granted, ended and removed at the same time: nobody misses anybody."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import SYSTEM
from peers.models import Gateway
from policies import services
from policies.errors import LabelInUseError, PolicyError, UnknownLabelError
from policies.models import Application, Grant, Label, LabelGrant
from policies.policy_files import applying
from policies.services import grants, labels, publishing
from portal import revocation
from portal.accounts.models import User
from tests.conftest import MakeUser
from tests.policies.makers import NOW, content, make_application, publish, web
from tests.policies.services.test_publishing_races import THREADS, at_once

pytestmark = pytest.mark.django_db(transaction=True)
LATER = NOW + timedelta(minutes=1)


@pytest.fixture(autouse=True)
def slow_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave time between the steps; without the locks these tests then fail."""
    hold, give = labels.hold_labels, grants.create_grant

    def hold_labels(rows: Iterable[Label]) -> None:
        hold(rows)
        time.sleep(0.02)

    def create_grant(**given: Any) -> Grant:  # noqa: ANN401 -- handed on as it is
        made = give(**given)
        time.sleep(0.05)
        return made

    monkeypatch.setattr(labels, "hold_labels", hold_labels)
    monkeypatch.setattr(labels, "create_grant", create_grant)


@pytest.fixture
def tag() -> Label:
    """Return a label that nothing bears."""
    return services.create_label(name="db", actor=SYSTEM, now=NOW)


@pytest.fixture
def several(gw1: Gateway) -> list[Application]:
    """One application a thread, behind two gateways by turns."""
    other = Gateway.objects.create(
        name="gw2", endpoint_host="b.test", state="enrolled", created_at=NOW
    )
    both = [other, gw1]
    return [
        make_application(f"a{n}", f"10.7.{n}.1/32", gateways=[both[n % 2]])
        for n in range(THREADS)
    ]


def bear(application: Application, *wanted: Label) -> None:
    services.label_application(
        application=application, labels=wanted, actor=SYSTEM, now=LATER
    )


def grant(label: Label, user: User) -> LabelGrant:
    return services.create_label_grant(label=label, user=user, actor=SYSTEM, now=NOW)


def test_who_is_granted_while_applications_take_the_label_on_gets_all_of_them(
    tag: Label, several: list[Application], make_user: MakeUser
) -> None:
    people = [make_user(f"p{n}") for n in range(THREADS)]

    def work(number: int) -> None:
        if number % 2:
            grant(tag, people[number])
        else:
            bear(several[number], tag)

    assert at_once(work) == []
    granted = {(row.user_id, row.application_id) for row in Grant.objects.all()}
    assert granted == {
        (person.pk, found.pk) for person in people[1::2] for found in several[::2]
    }


def test_application_labelled_at_once_is_granted_once(
    tag: Label, wiki: Application, alice: User
) -> None:
    grant(tag, alice)
    assert at_once(lambda _number: bear(wiki, tag)) == []
    assert Grant.objects.get().application == wiki


def test_label_that_ends_while_it_is_taken_on_gives_nothing(
    tag: Label, several: list[Application], alice: User
) -> None:
    source = grant(tag, alice)

    def work(number: int) -> None:
        if number:
            bear(several[number], tag)
        else:
            services.end_label_grant(grant=source, actor=SYSTEM, now=LATER)

    assert at_once(work) == []
    assert not Grant.objects.filter(ended_at=None).exists()


def test_label_is_removed_or_granted_never_both(tag: Label, alice: User) -> None:
    def work(number: int) -> None:
        if number:
            grant(tag, alice)
        else:
            services.delete_label(label=tag, actor=SYSTEM, now=NOW)

    raised = at_once(work)
    assert raised
    if Label.objects.exists():
        assert [type(error) for error in raised] == [LabelInUseError]
        assert LabelGrant.objects.count() == THREADS - 1
    else:
        assert {type(error) for error in raised} == {UnknownLabelError}
        assert not LabelGrant.objects.exists()


def test_label_is_made_once(make_user: MakeUser) -> None:
    raised = at_once(
        lambda _number: services.create_label(name="db", actor=SYSTEM, now=NOW)
    )
    assert len(raised) == THREADS - 1
    assert all(isinstance(error, PolicyError) for error in raised)
    assert Label.objects.count() == 1


def revoke(user: User) -> None:
    """Revoke somebody everywhere."""
    revocation.revoke_user(
        user=user, reason="left", actor=SYSTEM, requested_at=LATER, now=LATER
    )


def test_no_revocation_is_stopped_by_who_takes_a_label_on(
    tag: Label,
    several: list[Application],
    alice: User,
    bob: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for person in (bob, alice):
        grant(tag, person)
    give, is_begun = grants.create_grant, threading.Event()

    def create_grant(**given: Any) -> Grant:  # noqa: ANN401 -- handed on as it is
        made = give(**given)
        is_begun.set()
        time.sleep(0.3)
        return made

    monkeypatch.setattr(labels, "create_grant", create_grant)

    def work(number: int) -> None:
        if number:
            assert is_begun.wait(10)
            revoke(alice)
        else:
            bear(several[1], tag)

    assert at_once(work, threads=2) == []
    assert not User.objects.get(pk=alice.pk).is_active
    assert Grant.objects.count() == 2


def test_no_revocation_is_stopped_by_a_policy_file(
    several: list[Application], alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, is_held = publishing.hold_gateways, threading.Event()

    def hold_gateways(numbers: Iterable[int] | None) -> None:
        hold(numbers)
        is_held.set()
        time.sleep(0.3)

    monkeypatch.setattr(applying, "hold_gateways", hold_gateways)
    host = str(several[1].destinations.get().prefix)
    file = {
        "hosts": {"a1": host},
        "grants": [{"src": [alice.email], "dst": ["a1"], "ip": ["tcp:443"]}],
    }

    def work(number: int) -> None:
        if number:
            assert is_held.wait(10)
            revoke(alice)
        else:
            applying.apply_policy(json.dumps(file), actor=SYSTEM, now=NOW)

    assert at_once(work, threads=2) == []
    assert not User.objects.get(pk=alice.pk).is_active


def change(application: Application, wanted: Label) -> Callable[[], object]:
    """Return what says anew what an application is."""
    return lambda: services.update_application(
        application=application,
        name=application.name,
        description="",
        destinations=[web("10.7.0.1/32")],
        gateways=application.gateways.all(),
        labels=[wanted],
        actor=SYSTEM,
        now=LATER,
    )


def publish_often() -> None:
    """Publish every gateway, again and again, as revocations do."""
    for _ in range(10):
        publish()
        time.sleep(0.02)


def test_changing_and_granting_and_publishing_at_once_never_wait_in_a_ring(
    tag: Label, several: list[Application], alice: User, bob: User, gw1: Gateway
) -> None:
    for found in reversed(several):
        bear(found, tag)
    work = (
        lambda: grant(tag, alice),
        lambda: grant(tag, bob),
        change(several[0], tag),
        publish_often,
    )
    assert at_once(lambda number: work[number]()) == []
    assert len(content(gw1).grants) == 2 * (THREADS // 2)

"""Labels: who bears one is granted with it, from then on and until then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from audit.actor import SYSTEM
from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import Gateway
from policies import services
from policies.errors import (
    InvalidGrantError,
    InvalidNameError,
    LabelInUseError,
    UnknownLabelError,
)
from policies.models import Application, Grant, Label, LabelGrant, Publication
from policies.selectors import my_access
from portal.accounts.models import Group, User
from tests.peers.makers import codes
from tests.policies.makers import NOW, make_application

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def tag() -> Label:
    return services.create_label(name="db", actor=SYSTEM, now=NOW)


def bear(application: Application, *labels: Label) -> None:
    services.label_application(
        application=application, labels=labels, actor=SYSTEM, now=LATER
    )


def grant(
    label: Label, *, user: User | None = None, group: Group | None = None
) -> LabelGrant:
    return services.create_label_grant(
        label=label, user=user, group=group, actor=SYSTEM, now=NOW
    )


def opened() -> list[tuple[str, str]]:
    rows = Grant.objects.filter(ended_at__isnull=True).order_by("pk")
    return [(str(row.user or row.group), row.application.name) for row in rows]


def test_granting_a_label_grants_every_application_that_bears_it(
    tag: Label, wiki: Application, gw1: Gateway, alice: User
) -> None:
    bear(wiki, tag)
    other = make_application("payroll", "10.9.0.1/32", gateways=[gw1])
    bear(other, tag)
    grant(tag, user=alice)
    assert opened() == [(str(alice), wiki.name), (str(alice), "payroll")]
    assert codes()[-3:] == ["PL023I", "PL004I", "PL004I"]


def test_application_that_takes_a_label_on_is_granted_from_then(
    tag: Label, wiki: Application, engineering: Group
) -> None:
    grant(tag, group=engineering)
    assert opened() == []
    bear(wiki, tag)
    found = Grant.objects.get()
    assert (found.group, found.application) == (engineering, wiki)
    assert found.not_before == LATER


def test_application_that_loses_a_label_is_granted_no_longer(
    tag: Label, wiki: Application, alice: User
) -> None:
    bear(wiki, tag)
    grant(tag, user=alice)
    bear(wiki)
    assert opened() == []
    assert Grant.objects.get().ended_at == LATER
    assert codes()[-2:] == ["PL022I", "PL006I"]


def test_other_grants_of_the_application_stay(
    tag: Label, wiki: Application, alices_grant: Grant, bob: User
) -> None:
    bear(wiki, tag)
    grant(tag, user=bob)
    bear(wiki)
    assert [row.pk for row in Grant.objects.filter(ended_at=None)] == [alices_grant.pk]


def test_ending_the_grant_of_a_label_ends_all_that_it_gave(
    tag: Label, wiki: Application, alice: User
) -> None:
    bear(wiki, tag)
    source = grant(tag, user=alice)
    services.end_label_grant(grant=source, actor=SYSTEM, now=LATER)
    services.end_label_grant(
        grant=source, actor=SYSTEM, now=LATER + timedelta(minutes=1)
    )
    assert opened() == []
    assert source.ended_at == LATER
    assert codes()[-2:] == ["PL024I", "PL006I"]


def test_ended_grant_of_a_label_gives_nothing_new(
    tag: Label, wiki: Application, alice: User
) -> None:
    source = grant(tag, user=alice)
    services.end_label_grant(grant=source, actor=SYSTEM, now=NOW)
    bear(wiki, tag)
    assert opened() == []


def test_past_grant_of_a_label_gives_nothing_new(
    tag: Label, wiki: Application, alice: User
) -> None:
    services.create_label_grant(
        label=tag, user=alice, expires_at=LATER, actor=SYSTEM, now=NOW
    )
    bear(wiki, tag)
    assert opened() == []


def test_who_comes_back_has_what_took_the_label_on_meanwhile(
    tag: Label, wiki: Application, alice: User, bob: User
) -> None:
    grant(tag, user=alice)
    grant(tag, user=bob)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    alice.refresh_from_db()
    bear(wiki, tag)
    assert my_access(alice, LATER) == ()
    User.objects.filter(pk=alice.pk).update(is_active=True)
    alice.refresh_from_db()
    assert [found.application for found in my_access(alice, LATER)] == [wiki]
    assert [found.application for found in my_access(bob, LATER)] == [wiki]


def test_disabled_person_is_granted_no_label(tag: Label, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    alice.refresh_from_db()
    with pytest.raises(InvalidGrantError, match="disabled"):
        grant(tag, user=alice)
    assert codes()[-1] == "PL023W"


def test_the_log_says_which_label_gave_it(
    tag: Label, wiki: Application, alice: User
) -> None:
    bear(wiki, tag)
    grant(tag, user=alice)
    event = AuditEvent.objects.get(code=EventCode.GRANT_CREATE)
    assert event.target_label == f"{alice} → {wiki} (tag:db)"


@pytest.mark.parametrize("act", ["bear", "grant", "delete"])
def test_label_that_is_gone_is_refused(
    act: str, tag: Label, wiki: Application, alice: User
) -> None:
    services.delete_label(label=Label.objects.get(), actor=SYSTEM, now=NOW)
    acts: dict[str, Callable[[], object]] = {
        "bear": lambda: bear(wiki, tag),
        "grant": lambda: grant(tag, user=alice),
        "delete": lambda: services.delete_label(label=tag, actor=SYSTEM, now=NOW),
    }
    with pytest.raises(UnknownLabelError, match="tag:db was removed meanwhile"):
        acts[act]()
    assert not wiki.labels.exists()
    assert not LabelGrant.objects.exists()


def test_what_a_label_gives_ends_with_the_label_alone(
    tag: Label, wiki: Application, alice: User
) -> None:
    bear(wiki, tag)
    grant(tag, user=alice)
    with pytest.raises(InvalidGrantError, match="comes from tag:db"):
        services.end_grant(grant=Grant.objects.get(), actor=SYSTEM, now=LATER)
    assert len(opened()) == 1
    assert codes()[-1] == "PL006W"


def test_terms_of_a_label_are_checked_though_nothing_bears_it(
    tag: Label, alice: User, engineering: Group
) -> None:
    with pytest.raises(InvalidGrantError, match="one user or one group"):
        grant(tag, user=alice, group=engineering)
    assert not LabelGrant.objects.exists()
    assert codes()[-1] == "PL023W"


def test_gateways_of_what_bears_a_label_are_marked_stale(
    tag: Label, wiki: Application, alice: User
) -> None:
    bear(wiki, tag)
    Publication.objects.update(stale_since=None)
    grant(tag, user=alice)
    assert Publication.objects.get().stale_since == NOW


def test_bearing_the_same_labels_again_is_no_event(
    tag: Label, wiki: Application
) -> None:
    bear(wiki, tag)
    before = codes()
    bear(wiki, tag)
    assert codes() == before


@pytest.mark.parametrize(
    "name", ["", "DB", "1st", "a b", "-db", "db-", "d" * 64, "i\np", "ä"]
)
def test_label_that_no_file_could_say_is_refused(name: str) -> None:
    with pytest.raises(InvalidNameError, match="cannot be a label"):
        services.create_label(name=name, actor=SYSTEM, now=NOW)
    assert not Label.objects.exists()
    assert codes() == ["PL020W"]


def test_label_is_made_once(tag: Label) -> None:
    with pytest.raises(InvalidNameError, match="already"):
        services.create_label(name="tag:db", actor=SYSTEM, now=NOW)
    assert codes() == ["PL020I", "PL020W"]


def test_label_that_was_granted_is_kept(tag: Label, alice: User) -> None:
    services.end_label_grant(grant=grant(tag, user=alice), actor=SYSTEM, now=NOW)
    with pytest.raises(LabelInUseError, match="the log speaks of it"):
        services.delete_label(label=tag, actor=SYSTEM, now=NOW)
    assert codes()[-1] == "PL021W"


def test_label_that_was_never_granted_is_removed_from_applications(
    tag: Label, wiki: Application
) -> None:
    bear(wiki, tag)
    services.delete_label(label=tag, actor=SYSTEM, now=NOW)
    assert not Label.objects.exists()
    assert not wiki.labels.exists()
    assert codes()[-1] == "PL021I"

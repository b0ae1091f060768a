"""Each person has a salt from the moment they exist, and nobody waits for one."""

from __future__ import annotations

import threading
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection, transaction

from audit.actor import SYSTEM
from audit.events import EventCode
from audit.models import IdentitySalt
from audit.services import record
from portal.accounts import services
from portal.accounts.models import User
from tests.audit.alarms.test_races import at_once
from tests.conftest import NOW

pytestmark = pytest.mark.django_db(transaction=True)
WAIT_SECONDS = 10
migration = import_module("portal.accounts.migrations.0004_salts")


def provisioned(subject: str) -> User:
    return services.provision_user(
        issuer="https://idp.example.test",
        subject=subject,
        name=subject,
        email="",
        groups=(),
        role=None,
        actor=SYSTEM,
        now=NOW,
    )


def salt_of(user: User) -> IdentitySalt:
    return IdentitySalt.objects.get(person_id=user.ref.id)


def test_who_is_made_has_a_salt() -> None:
    assert len(bytes(salt_of(provisioned("erin")).salt or b"")) == 32


def test_migration_gives_each_person_a_salt_and_keeps_those_there_are(
    alice: User, bob: User, carol: User
) -> None:
    IdentitySalt.objects.create(person_id=bob.ref.id, salt=b"s" * 32)
    IdentitySalt.objects.create(person_id=carol.ref.id, forgotten_at=NOW)
    migration.make_salts(apps, None)
    assert len(bytes(salt_of(alice).salt or b"")) == 32
    assert bytes(salt_of(bob).salt or b"") == b"s" * 32
    assert salt_of(carol).salt is None


if connection.vendor == "postgresql":

    @pytest.mark.parametrize("is_new", [True, False], ids=["made", "migrated"])
    def test_transactions_that_mention_two_people_in_turn_do_not_wait(
        *, is_new: bool, alice: User, bob: User
    ) -> None:
        if is_new:
            one, other = provisioned("erin"), provisioned("frank")
        else:
            # As rows from before the log was sealed: no event ever named them.
            one, other = alice, bob
            migration.make_salts(apps, None)
        both = threading.Barrier(2)

        def mention(first: User, second: User) -> None:
            with transaction.atomic():
                record(EventCode.USER_LOGIN, actor=SYSTEM, now=NOW, person=first.ref)
                both.wait(WAIT_SECONDS)
                record(EventCode.USER_LOGIN, actor=SYSTEM, now=NOW, person=second.ref)

        works = (lambda: mention(one, other), lambda: mention(other, one))
        assert at_once(*works) == []

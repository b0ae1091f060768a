"""Who may see whom, and the commands that find people."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.http import Http404

from audit.actor import Actor
from audit.models import AuditEvent
from portal.accounts import selectors, services
from portal.accounts.models import User
from tests.conftest import NOW

pytestmark = pytest.mark.django_db


def test_readers_see_everybody(alice: User, carol: User, dave: User) -> None:
    assert set(selectors.list_users_for(carol)) == {alice, carol, dave}
    assert selectors.get_user_for(dave, alice.pk) == alice


def test_others_see_themselves_alone(alice: User, bob: User) -> None:
    assert list(selectors.list_users_for(bob)) == [bob]
    with pytest.raises(Http404):
        selectors.get_user_for(bob, alice.pk)


def test_others_see_their_own_groups(alice: User, carol: User, mallory: User) -> None:
    assert [g.name for g in selectors.list_groups_for(alice)] == ["engineering"]
    assert selectors.list_groups_for(carol).count() == 2
    assert selectors.list_groups_for(mallory).count() == 0


def test_person_is_found_by_id_and_subject(alice: User) -> None:
    assert selectors.find_user(alice.ref.id) == alice
    assert selectors.find_user("alice") == alice
    assert selectors.find_user("us_x") is None
    assert selectors.find_user("") is None


def test_subject_of_two_issuers_finds_nobody(alice: User) -> None:
    User.objects.create(
        issuer="https://other.example.test",
        subject="alice",
        username="other",
        created_at=alice.created_at,
    )
    assert selectors.find_user("alice") is None


def test_command_gives_the_first_owner_the_role(alice: User) -> None:
    out = StringIO()
    call_command("assign_role", "alice", "owner", stdout=out)
    alice.refresh_from_db()
    assert alice.role == "owner"
    event = AuditEvent.objects.get()
    assert (event.code, event.actor_kind) == ("ID011", "command")
    assert "owner" in out.getvalue()


def test_command_names_whom_it_does_not_find() -> None:
    with pytest.raises(CommandError, match="zoe"):
        call_command("assign_role", "zoe", "owner")


def test_last_owner_who_was_revoked_comes_back_from_the_server(
    alice: User, actor: Actor
) -> None:
    services.deactivate_user(user=alice, reason="oops", actor=actor, now=NOW)
    call_command("reactivate_user", "alice", "--reason", "mistake", stdout=StringIO())
    alice.refresh_from_db()
    assert alice.is_active
    event = AuditEvent.objects.get(code="ID009")
    assert (event.actor_kind, event.reason) == ("command", "mistake")
    with pytest.raises(CommandError):
        call_command("reactivate_user", "zoe", "--reason", "x")

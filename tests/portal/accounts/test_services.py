"""Provisioning, ending sessions, revoking tokens, disabling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from allauth.idp.oidc.models import Token
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.test import Client

from audit.actor import SYSTEM, Actor
from audit.leaves import MAX_LENGTH
from audit.models import AuditEvent
from portal.accounts import services
from portal.accounts.errors import (
    DeactivatedError,
    ForeignGroupError,
    InvalidIdentityError,
)
from portal.accounts.models import (
    Authentication,
    Group,
    GroupSource,
    Membership,
    Role,
    User,
)
from portal.accounts.signals import people_changed
from tests.conftest import NOW, SignIn

pytestmark = pytest.mark.django_db

ISSUER = "https://idp.example.test"
Provision = Callable[..., User]


def provision(**changes: Any) -> User:  # noqa: ANN401 -- any fact of a person
    """Provision alice, changed."""
    facts: dict[str, Any] = {
        "issuer": ISSUER,
        "subject": "alice",
        "name": "Alice",
        "email": "alice@example.test",
        "groups": ["engineering"],
        "role": Role.EMPLOYEE,
        "actor": SYSTEM,
        "now": NOW,
    }
    return services.provision_user(**(facts | changes))


@pytest.fixture
def news() -> Iterator[list[frozenset[int]]]:
    """Whom `people_changed` spoke of."""
    heard: list[frozenset[int]] = []

    def hear(*, user_ids: frozenset[int], **_kwargs: object) -> None:
        assert transaction.get_connection().in_atomic_block
        heard.append(user_ids)

    people_changed.connect(hear)
    yield heard
    people_changed.disconnect(hear)


def codes() -> list[str]:
    """Return the codes of the events so far, oldest first."""
    return list(AuditEvent.objects.order_by("id").values_list("code", flat=True))


def names(user: User) -> list[str]:
    """Return the groups of a person."""
    return sorted(user.groups.values_list("name", flat=True))


def test_first_sign_in_creates_person_and_groups(news: list[frozenset[int]]) -> None:
    user = provision(role=Role.AUDITOR)
    assert (user.role, names(user)) == (Role.AUDITOR, ["engineering"])
    assert not user.has_usable_password()
    assert codes() == ["ID006", "ID011", "ID010"]
    assert news == [frozenset({user.pk})]


def test_same_facts_again_change_and_record_nothing(
    news: list[frozenset[int]],
) -> None:
    provision()
    before = AuditEvent.objects.count()
    user = provision(now=NOW + timedelta(hours=1))
    assert AuditEvent.objects.count() == before
    assert len(news) == 1
    assert user.authenticated_at == NOW + timedelta(hours=1)


def test_groups_follow_the_provider_both_ways(news: list[frozenset[int]]) -> None:
    user = provision(groups=["engineering", "sales"])
    provision(groups=["sales", "support"])
    assert names(user) == ["sales", "support"]
    details = AuditEvent.objects.filter(code="ID010").latest("id").details
    assert [item["name"] for item in details["added"]] == ["support"]
    assert [item["name"] for item in details["removed"]] == ["engineering"]
    assert len(news) == 2


def test_absent_groups_mean_none() -> None:
    user = provision()
    provision(groups=[])
    assert names(user) == []


def test_local_groups_are_left_alone() -> None:
    user = provision()
    local = Group.objects.create(source=GroupSource.LOCAL, name="ops", created_at=NOW)
    Membership.objects.create(user=user, group=local, since=NOW)
    provision(groups=[])
    assert names(user) == ["ops"]


def test_groups_of_another_issuer_are_other_groups() -> None:
    provision()
    other = provision(issuer="https://other.example.test")
    assert Group.objects.filter(name="engineering").count() == 2
    assert other.groups.get().issuer == "https://other.example.test"


def test_same_email_of_another_subject_is_another_person() -> None:
    alice = provision()
    impostor = provision(subject="mallory")
    assert impostor.pk != alice.pk
    assert names(alice) == names(impostor)


def test_same_subject_of_another_issuer_is_another_person() -> None:
    assert provision().pk != provision(issuer="https://other.example.test").pk


def test_new_name_is_recorded_with_the_old() -> None:
    provision()
    provision(name="Alice Archer")
    event = AuditEvent.objects.get(code="ID007")
    assert event.details == {"name": {"before": "Alice", "after": "Alice Archer"}}


def test_role_is_taken_away_again() -> None:
    provision(role=Role.ADMINISTRATOR)
    user = provision(role=Role.EMPLOYEE)
    assert user.role == Role.EMPLOYEE
    event = AuditEvent.objects.filter(code="ID011").latest("id")
    assert event.details == {"before": "administrator", "after": "employee"}


def test_role_kept_by_hand_survives_a_sign_in() -> None:
    provision(role=Role.OWNER)
    assert provision(role=None).role == Role.OWNER


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"name": "Alice\nroot signed in"}, id="line break in name"),
        pytest.param({"name": "Alice\x1b[2J"}, id="escape in name"),
        pytest.param({"name": "\u202eecilA"}, id="direction override in name"),
        pytest.param({"name": "A" * 256}, id="long name"),
        pytest.param({"email": "a@b\r\nBcc: c@d"}, id="line break in email"),
        pytest.param({"groups": ["peerage-administrators\n"]}, id="padded group"),
        pytest.param({"groups": [" "]}, id="blank group"),
        pytest.param({"groups": [7]}, id="number as group"),
        pytest.param({"subject": ""}, id="no subject"),
        pytest.param({"subject": " alice"}, id="padded subject"),
        pytest.param({"subject": "alice\0"}, id="nul in subject"),
    ],
)
def test_bad_text_from_the_provider_changes_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidIdentityError):
        provision(**changes)
    assert User.objects.count() == 0
    assert AuditEvent.objects.count() == 0


def test_deactivated_person_is_refused_and_not_updated() -> None:
    provision()
    User.objects.update(is_active=False)
    with pytest.raises(DeactivatedError):
        provision(name="Somebody", groups=["sales"], role=Role.OWNER)
    user = User.objects.get()
    assert (user.name, user.role, names(user)) == (
        "Alice",
        Role.EMPLOYEE,
        ["engineering"],
    )


def test_ending_sessions_ends_them_all(
    alice: User, sign_in: SignIn, actor: Actor
) -> None:
    browsers = [sign_in(alice), sign_in(alice)]
    for browser in browsers:
        UserSession.objects.create(
            user=alice,
            ip="192.0.2.1",
            session_key=browser.session.session_key,
            user_agent="tests",
        )
    assert services.end_sessions(users=[alice], actor=actor, now=NOW) == {alice.pk: 2}
    for browser in browsers:
        assert browser.get("/accounts/sessions/").status_code == 302
    assert codes() == ["ID002"]


def test_session_that_no_list_knows_ends_too(
    alice: User, sign_in: SignIn, actor: Actor
) -> None:
    browser = sign_in(alice)
    assert services.end_sessions(users=[alice], actor=actor, now=NOW) == {}
    assert browser.get("/accounts/sessions/").status_code == 302


def test_ending_one_persons_sessions_leaves_the_others(
    alice: User, bob: User, sign_in: SignIn, actor: Actor
) -> None:
    browser = sign_in(bob)
    services.end_sessions(users=[alice], actor=actor, now=NOW)
    assert browser.get("/accounts/sessions/").status_code == 200


def test_revoking_tokens_deletes_only_that_persons(alice: User, bob: User) -> None:
    for user, text in ((alice, "a"), (alice, "b"), (bob, "c")):
        Token.objects.create(user=user, type=Token.Type.ACCESS_TOKEN, hash=text)
    assert services.revoke_tokens(users=[alice], now=NOW) == {alice.pk: 2}
    assert Token.objects.get().user == bob


def test_disabled_person_is_nobody_at_the_next_request(
    alice: User, sign_in: SignIn, actor: Actor, news: list[frozenset[int]]
) -> None:
    browser: Client = sign_in(alice)
    services.deactivate_user(user=alice, reason="left", actor=actor, now=NOW)
    assert browser.get("/accounts/sessions/").status_code == 302
    assert (alice.is_active, alice.revoked_at) == (False, NOW)
    assert news == [frozenset({alice.pk})]
    event = AuditEvent.objects.get()
    assert (event.code, event.reason) == ("ID008", "left")


def test_disabling_twice_records_once(
    alice: User, actor: Actor, news: list[frozenset[int]]
) -> None:
    for _ in range(2):
        services.deactivate_user(user=alice, reason="left", actor=actor, now=NOW)
    assert codes() == ["ID008"]
    assert len(news) == 1


def test_enabling_again_revives_no_session(
    alice: User, sign_in: SignIn, actor: Actor, news: list[frozenset[int]]
) -> None:
    browser = sign_in(alice)
    services.deactivate_user(user=alice, reason="left", actor=actor, now=NOW)
    services.end_sessions(users=[alice], actor=actor, now=NOW)
    services.reactivate_user(user=alice, reason="back", actor=actor, now=NOW)
    assert alice.is_active
    assert browser.get("/accounts/sessions/").status_code == 302
    assert codes() == ["ID008", "ID009"]
    assert len(news) == 2


def test_receiver_that_fails_undoes_the_change(alice: User, actor: Actor) -> None:
    def fail(**_kwargs: object) -> None:
        message = "no"
        raise RuntimeError(message)

    people_changed.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            services.deactivate_user(user=alice, reason="left", actor=actor, now=NOW)
    finally:
        people_changed.disconnect(fail)
    alice.refresh_from_db()
    assert alice.is_active
    assert codes() == []


def test_event_of_many_groups_fits_into_leaves() -> None:
    names = [f"{number:04}" + "\U0001f98a" * 251 for number in range(60)]
    provision(groups=names)
    events = AuditEvent.objects.filter(code="ID010")
    assert sum(len(event.details["added"]) for event in events) == 60
    assert max(len(bytes(event.leaf or b"")) for event in events) <= MAX_LENGTH


def test_token_handed_out_during_a_revocation_ends_with_it(
    alice: User, actor: Actor
) -> None:
    services.deactivate_user(user=alice, reason="left", actor=actor, now=NOW)
    Token.objects.create(user=alice, type=Token.Type.REFRESH_TOKEN, hash="late")
    services.reactivate_user(user=alice, reason="back", actor=actor, now=NOW)
    assert not Token.objects.exists()


def prove(user: User, *, ago: int | None = 0, **claims: object) -> Authentication:
    """Keep a proof that is so many seconds old; None is one without a time."""
    if ago is not None:
        claims["auth_time"] = int(NOW.timestamp()) - ago
    return services.keep_authentication(user=user, claims=claims, now=NOW)


def test_the_latest_proof_is_kept_and_told_once(news: list[frozenset[int]]) -> None:
    user = provision(groups=[])
    for _ in range(2):
        prove(user, ago=60, amr=["pwd"])
    kept = prove(user, amr=["mfa", "pwd"], acr="gold")
    kept.refresh_from_db()
    assert Authentication.objects.get() == kept
    assert (kept.proven_at, kept.amr, kept.acr) == (NOW, ["mfa", "pwd"], "gold")
    assert news == [frozenset({user.pk})] * 2


def test_an_older_proof_that_comes_late_changes_nothing(
    news: list[frozenset[int]],
) -> None:
    user = provision(groups=[])
    prove(user, amr=["mfa"])
    assert prove(user, ago=1, amr=["pwd"]).amr == ["mfa"]
    assert len(news) == 1


def test_a_proof_without_a_time_counts_and_has_no_age() -> None:
    user = provision()
    prove(user, amr=["mfa"])
    kept = prove(user, ago=None, amr=["pwd"])
    assert (kept.proven_at, kept.amr) == (None, ["pwd"])
    assert prove(user, ago=3600, amr=["mfa"]).amr == ["mfa"]


def test_who_is_disabled_has_proven_nothing_when_enabled_again() -> None:
    user = provision()
    prove(user)
    services.deactivate_user(user=user, reason="left", actor=SYSTEM, now=NOW)
    services.reactivate_user(user=user, reason="back", actor=SYSTEM, now=NOW)
    assert not Authentication.objects.exists()


def test_people_leave_a_local_group_and_the_log_says_so_once(
    alice: User, bob: User, mallory: User, news: list[frozenset[int]]
) -> None:
    group = Group.objects.create(source=GroupSource.LOCAL, name="ops", created_at=NOW)
    for user in (alice, bob):
        Membership.objects.create(user=user, group=group, since=NOW)
    left = [
        services.remove_members(
            group=group, users=[alice, mallory], actor=SYSTEM, now=NOW
        )
        for _ in range(2)
    ]
    assert left == [{alice.pk}, frozenset()]
    assert news == [{alice.pk}]
    assert [*group.users.all()] == [bob]
    (event,) = AuditEvent.objects.filter(code="ID010")
    assert event.details["removed"] == [{"id": group.ref.id, "name": "ops"}]


def test_nobody_is_taken_out_of_a_providers_group(alice: User) -> None:
    with pytest.raises(ForeignGroupError, match="at the identity provider"):
        services.remove_members(
            group=alice.groups.get(), users=[alice], actor=SYSTEM, now=NOW
        )
    assert alice.groups.exists()

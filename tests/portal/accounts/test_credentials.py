"""Rules of programs' credentials: hashed, shown once, judged at every use."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.actor import Actor, ActorKind
from audit.events import EventCode, Outcome
from audit.models import AuditEvent
from portal.accounts import credentials, services
from portal.accounts.errors import InvalidCredentialError
from portal.accounts.models import (
    ApiCredential,
    ApiToken,
    CredentialKind,
    Role,
    Scope,
    User,
)
from tests.conftest import NOW
from tests.portal.credentials import MakeKey, make_key

__all__ = ["make_key"]
pytestmark = pytest.mark.django_db
READ, WRITE = Scope.POLICY_READ, Scope.POLICY_WRITE
CLIENT = CredentialKind.OAUTH_CLIENT


def token_of(credential: ApiCredential, actor: Actor, *scopes: Scope) -> str:
    return credentials.issue_token(
        credential=credential, scopes=scopes or (READ,), actor=actor, now=NOW
    )


def opens(text: str, *, after: timedelta = timedelta(0)) -> bool:
    return credentials.caller_of(text, now=NOW + after) is not None


def test_only_a_hash_is_kept(dave: User, make_key: MakeKey) -> None:
    made, secret = make_key(dave, now=NOW)
    stored = ApiCredential.objects.values().get()
    assert not any(secret in str(value) for value in stored.values())
    assert not any(
        secret in str(event) for event in AuditEvent.objects.values_list("details")
    )
    assert secret.startswith(f"peerage_ac_{made.pk}_")
    assert len(secret.split("_", 3)[3]) == 43


def test_two_secrets_differ(dave: User, make_key: MakeKey) -> None:
    assert make_key(dave, now=NOW)[1][-43:] != make_key(dave, now=NOW)[1][-43:]


def test_a_key_opens_with_its_scopes(dave: User, make_key: MakeKey) -> None:
    caller = credentials.caller_of(make_key(dave, READ, now=NOW)[1], now=NOW)
    assert caller is not None
    assert (caller.may(READ), caller.may(WRITE)) == (True, False)
    actor = caller.actor(address="192.0.2.1", request_id="r")
    assert actor.kind is ActorKind.CREDENTIAL
    assert actor.label == "pipeline (made by Dave)"


def test_who_may_write_may_read(dave: User, make_key: MakeKey) -> None:
    caller = credentials.caller_of(make_key(dave, WRITE, now=NOW)[1], now=NOW)
    assert caller is not None
    assert caller.may(READ)


def test_what_is_not_quite_the_secret_opens_nothing(
    dave: User, make_key: MakeKey
) -> None:
    made, secret = make_key(dave, now=NOW)
    last = "A" if secret[-1] != "A" else "B"
    for text in (
        secret[:-1] + last,
        secret[:-1],
        secret + "A",
        secret.replace(f"_{made.pk}_", f"_{made.pk + 1}_"),
        secret.upper(),
        made.secret_hash,
        "",
        "peerage_ac_" + "9" * 30 + "_" + "A" * 43,
    ):
        assert not opens(text)


def test_a_key_ends_by_itself(dave: User, make_key: MakeKey) -> None:
    secret = make_key(dave, days=1, now=NOW)[1]
    assert opens(secret, after=timedelta(hours=23))
    assert not opens(secret, after=timedelta(days=1))


def test_a_revoked_key_opens_nothing(
    dave: User, make_key: MakeKey, actor: Actor
) -> None:
    made, secret = make_key(dave, now=NOW)
    for _ in range(2):
        credentials.revoke_credential(
            credential=made, reason="leaked", actor=actor, now=NOW
        )
    assert not opens(secret)
    event = AuditEvent.objects.get(code=EventCode.API_TOKEN_REVOKE)
    assert (event.target_id, event.reason) == (made.ref.id, "leaked")


@pytest.mark.parametrize("kind", ["disabled", "demoted"])
def test_a_key_is_worth_no_more_than_its_creator(
    kind: str, dave: User, make_key: MakeKey, actor: Actor
) -> None:
    secret = make_key(dave, now=NOW)[1]
    client, _ = make_key(dave, kind=CLIENT, now=NOW)
    token = token_of(client, actor)
    assert (opens(secret), opens(token)) == (True, True)
    if kind == "disabled":
        services.deactivate_user(user=dave, reason="left", actor=actor, now=NOW)
    else:
        services.assign_role(user=dave, role=Role.AUDITOR, actor=actor, now=NOW)
    assert (opens(secret), opens(token)) == (False, False)


def test_a_clients_secret_is_no_key_and_a_key_gets_no_token(
    dave: User, make_key: MakeKey
) -> None:
    client_secret = make_key(dave, kind=CLIENT, now=NOW)[1]
    key = make_key(dave, now=NOW)[1]
    assert not opens(client_secret)
    assert credentials.verified(key, kind=CLIENT, now=NOW) is None


def test_a_token_lives_for_an_hour_and_is_stored_as_a_hash(
    dave: User, make_key: MakeKey, actor: Actor
) -> None:
    client, _ = make_key(dave, kind=CLIENT, now=NOW)
    token = token_of(client, actor)
    assert token not in str(ApiToken.objects.values().get())
    assert opens(token, after=timedelta(minutes=59))
    assert not opens(token, after=timedelta(hours=1))


def test_a_token_never_outlives_its_client(
    dave: User, make_key: MakeKey, actor: Actor
) -> None:
    client, _ = make_key(dave, kind=CLIENT, now=NOW - timedelta(days=1), days=1)
    ApiCredential.objects.update(expires_at=NOW + timedelta(minutes=1))
    client.refresh_from_db()
    token = token_of(client, actor)
    assert not opens(token, after=timedelta(minutes=1))


def test_revoking_the_client_ends_its_tokens(
    dave: User, make_key: MakeKey, actor: Actor
) -> None:
    client, _ = make_key(dave, kind=CLIENT, now=NOW)
    token = token_of(client, actor)
    credentials.revoke_credential(credential=client, reason="", actor=actor, now=NOW)
    assert not opens(token)
    assert not ApiToken.objects.exists()


def test_a_token_does_not_gain_what_its_client_lost(
    dave: User, make_key: MakeKey, actor: Actor
) -> None:
    client, _ = make_key(dave, READ, WRITE, kind=CLIENT, now=NOW)
    token = token_of(client, actor, READ, WRITE)
    ApiCredential.objects.update(scopes="policy:read policy:unheard_of")
    caller = credentials.caller_of(token, now=NOW)
    assert caller is not None
    assert caller.scopes == {READ}


def test_tokens_that_are_over_are_forgotten(
    dave: User, make_key: MakeKey, actor: Actor
) -> None:
    client, _ = make_key(dave, kind=CLIENT, now=NOW)
    token_of(client, actor)
    later = NOW + timedelta(hours=2)
    credentials.issue_token(credential=client, scopes=[READ], actor=actor, now=later)
    assert ApiToken.objects.get().created_at == later


def test_use_is_noted_to_the_minute(dave: User, make_key: MakeKey) -> None:
    made, _ = make_key(dave, now=NOW)
    for seconds in (0, 59, 61):
        moment = NOW + timedelta(seconds=seconds)
        credentials.note_use(credential=made, address=f"192.0.2.{seconds}", now=moment)
    made.refresh_from_db()
    assert made.last_used_at == NOW + timedelta(seconds=61)
    assert made.last_used_address == "192.0.2.61"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": ""}, "visible characters"),
        ({"name": " "}, "visible characters"),
        ({"name": "x" * 65}, "visible characters"),
        ({"name": "a\nb"}, "visible characters"),
        ({"scopes": ()}, "scopes are"),
        ({"scopes": ("policy:read", "all")}, "scopes are"),
        ({"expires_at": NOW}, "ends in the future"),
        ({"expires_at": NOW + timedelta(days=367)}, "within 366 days"),
    ],
)
def test_a_wrong_credential_is_refused_and_recorded(
    changed: dict[str, object], words: str, dave: User, actor: Actor
) -> None:
    given = {
        "kind": CredentialKind.API_KEY,
        "name": "pipeline",
        "scopes": (READ,),
        "expires_at": NOW + timedelta(days=1),
        "creator": dave,
    }
    with pytest.raises(InvalidCredentialError, match=words):
        credentials.create_credential(**{**given, **changed}, actor=actor, now=NOW)  # type: ignore[arg-type]
    event = AuditEvent.objects.get(code=EventCode.API_TOKEN_CREATE)
    assert event.outcome == Outcome.REFUSED
    assert not ApiCredential.objects.exists()


def test_making_one_is_recorded_without_its_secret(
    dave: User, make_key: MakeKey
) -> None:
    made, _ = make_key(dave, now=NOW)
    event = AuditEvent.objects.get(code=EventCode.API_TOKEN_CREATE)
    assert (event.target_id, event.target_label) == (made.ref.id, "pipeline")
    assert event.details["scopes"] == ["policy:read", "policy:write"]

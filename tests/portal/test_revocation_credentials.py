"""Revoking a person revokes what they made for programs, in the same transaction."""

from __future__ import annotations

import pytest

from audit.actor import Actor
from audit.events import EventCode
from audit.models import AuditEvent
from portal import revocation
from portal.accounts import credentials, services
from portal.accounts.models import CredentialKind, Scope, User
from tests.peers.makers import codes
from tests.policies.makers import NOW
from tests.portal.credentials import MakeKey, make_key

__all__ = ["make_key"]
pytestmark = pytest.mark.django_db


def test_revocation_ends_keys_clients_and_tokens_for_good(
    dave: User, make_key: MakeKey, actor: Actor
) -> None:
    _, key = make_key(dave, now=NOW)
    client, _ = make_key(dave, kind=CredentialKind.OAUTH_CLIENT, now=NOW)
    token = credentials.issue_token(
        credential=client, scopes=[Scope.POLICY_READ], actor=actor, now=NOW
    )
    done = revocation.revoke_user(
        user=dave, reason="left", actor=actor, requested_at=NOW, now=NOW
    )
    assert done.tokens_revoked == 2
    assert codes().index("AU008I") < codes().index("RV001I")
    events = AuditEvent.objects.filter(code=EventCode.API_TOKEN_REVOKE)
    assert {event.reason for event in events} == {"its creator was revoked"}
    services.reactivate_user(user=dave, reason="back", actor=actor, now=NOW)
    for text in (key, token):
        assert credentials.caller_of(text, now=NOW) is None

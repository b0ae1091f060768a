"""Gateways witness the logs over HTTP: shown, signed, kept; or refused and told."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.models import AuditEvent, Cosignature, Log, SealerState, Witness
from audit.sealing.sealer import Sealer
from audit.tlog.cosignature import WitnessKey, cosign, parse_witness_key
from audit.tlog.merkle import verify_consistency
from audit.tlog.note import parse_note, parse_verifier_key, verify_note
from audit.tlog.witnessing import Head, judge, parse_request
from audit.witnesses import cosigned_note
from peers.models import Gateway
from tests.audit.sealing.conftest import Write, sealer_files, write
from tests.peers.makers import codes
from tests.policies.api.agents import SigningAgent
from tests.policies.makers import NOW

__all__ = ["sealer_files", "write"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealer_files")]
KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def agent(gw1: Gateway) -> SigningAgent:
    """The agent of gw1."""
    return SigningAgent(gw1)


@pytest.fixture
def sealed(write: Write, sealer_files: Path) -> int:
    """The size of the control log, signed a minute ago."""
    del sealer_files
    write(5)
    Sealer(Log.CONTROL).seal(NOW - timedelta(minutes=1))
    return SealerState.objects.get(log="control").size


def shown(agent: SigningAgent, old: int, log: str = "control") -> Any:  # noqa: ANN401 -- JSON
    """Return what is shown of a log; None if nothing is."""
    answer = agent.get(f"witness?log={log}&old={old}")
    if answer.status_code == 204:
        return None
    assert answer.status_code == 200
    return json.loads(answer.content)


def told(
    agent: SigningAgent, note: str, size: int, changes: dict[str, str] | None = None
) -> int:
    """Tell a signature, or something like one; return the answer's status."""
    changes = dict(changes or {})
    name = changes.pop("name", agent.gateway.ref.id)
    line = cosign(parse_note(note.encode()).text, name=name, key=KEY, at=1).line()
    public = KEY.public_key().public_bytes_raw()
    key = str(WitnessKey(name=name, public_key=public))
    document = {"log": "control", "size": str(size), "key": key, "line": line}
    return int(agent.post("witness", document | changes).status_code)


def test_a_log_is_shown_with_its_key_and_a_proof(
    agent: SigningAgent, sealed: int, write: Write
) -> None:
    first = shown(agent, 0)
    key = parse_verifier_key(first["key"])
    head = judge(parse_request(first["request"].encode()), key=key, known=Head())
    assert head.size == sealed
    write(300)
    Sealer(Log.CONTROL).seal(NOW - timedelta(seconds=40))
    second = shown(agent, sealed)
    request = parse_request(second["request"].encode())
    grown = judge(request, key=key, known=head)
    verify_consistency(
        old_size=head.size,
        new_size=grown.size,
        old_root=head.root,
        new_root=grown.root,
        proof=request.proof,
    )


def test_what_does_not_grow_is_not_shown(agent: SigningAgent, sealed: int) -> None:
    assert shown(agent, sealed) is None
    assert shown(agent, 0, "connections") is None


def test_a_log_that_became_shorter_is_shown_as_it_is(
    agent: SigningAgent, sealed: int
) -> None:
    document = shown(agent, sealed + 7)
    assert parse_request(document["request"].encode()).checkpoint().size == sealed


def test_a_signature_is_kept_under_its_checkpoint(
    agent: SigningAgent, sealed: int
) -> None:
    note = SealerState.objects.get(log="control").note
    assert told(agent, note, sealed) == 204
    assert told(agent, note, sealed) == 204
    found = cosigned_note(Log.CONTROL)
    assert found is not None
    key = parse_witness_key(Witness.objects.get().key)
    verify_note(found.encode(), [key])
    assert Cosignature.objects.count() == 1
    assert codes()[-1] == "AU040I"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "gw_999"},
        {"size": "3"},
        {"line": "\N{EM DASH} gw_1 AAAA\n"},
        {"key": "nonsense"},
        {"log": "other"},
        {"size": "-1"},
    ],
    ids=str,
)
def test_what_is_not_its_own_signature_is_refused_and_told(
    agent: SigningAgent, sealed: int, changes: dict[str, str]
) -> None:
    note = SealerState.objects.get(log="control").note
    assert told(agent, note, sealed, changes) == 422
    assert not Cosignature.objects.exists()


def test_a_witness_keeps_its_key(agent: SigningAgent, sealed: int) -> None:
    note = SealerState.objects.get(log="control").note
    told(agent, note, sealed)
    name = agent.gateway.ref.id
    thief = Ed25519PrivateKey.generate()
    line = cosign(parse_note(note.encode()).text, name=name, key=thief, at=2).line()
    key = WitnessKey(name=name, public_key=thief.public_key().public_bytes_raw())
    document = {"log": "control", "size": str(sealed), "key": str(key), "line": line}
    assert agent.post("witness", document).status_code == 422


def test_a_refusal_is_an_alert_once_an_hour(agent: SigningAgent, sealed: int) -> None:
    del sealed
    document = {"log": "control", "refused": "not continued"}
    assert agent.post("witness", document).status_code == 204
    assert agent.post("witness", document).status_code == 204
    (event,) = AuditEvent.objects.filter(code="AU041")
    assert (event.outcome, event.details["reason"]) == ("A", "not continued")
    assert event.target_id == agent.gateway.ref.id

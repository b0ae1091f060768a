"""Agent and portal of different ages; the agent a process, judged by packets."""

from __future__ import annotations

import json

from policies.compiler.canonical import canonical_json
from policies.compiler.snapshot import SNAPSHOT_TYPE, snapshot_bytes
from policies.compiler.types import Snapshot
from tests.faults.field import Field, field, policy
from tests.faults.isolated import isolated
from tests.gateway.netns.lab import until
from tests.gateway.world import signer, snapshot

LEASE = 6.0
FIRST_IDENTITY = {
    "portal",
    "insecure_http",
    "ca_file",
    "gateway",
    "deployment",
    "epoch",
    "snapshot_keys",
    "signing_seed",
    "wireguard_private_key",
}
"""What the first released agent wrote of itself."""
FIRST_FILES = {"identity.json", "accepted.json", "lease.json", "sequences.json", "lock"}


def newer(value: Snapshot) -> bytes:
    """Return a snapshot as a later portal would sign it."""
    document = json.loads(snapshot_bytes(value))
    document |= {"version": 99, "quotas": []}
    return signer().sign(SNAPSHOT_TYPE, canonical_json(document))


def age(made: Field) -> None:
    """Leave of the state what the first released agent knew, as it wrote it."""
    for path in made.state.iterdir():
        if path.is_file() and path.name not in FIRST_FILES:
            path.unlink()
    path = made.state / "identity.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    old = {name: document[name] for name in FIRST_IDENTITY}
    path.write_text(json.dumps(old), encoding="utf-8")


@isolated()
def test_fault_25_newer_schema_is_refused_kept_out_and_told() -> None:
    with field(lease=LEASE) as made:
        alice = made.probe("alice")
        alice.opens()
        kept = (made.state / "accepted.json").read_bytes()
        made.portal.raw = newer(snapshot(2, of=policy()))
        made.publish()
        until(
            lambda: any("upgrade the agent" in error for error in made.errors()),
            "the agent saying that it is too old",
        )
        assert (made.state / "accepted.json").read_bytes() == kept
        assert alice.is_open()
        alice.closes(LEASE + 3)
        made.portal.raw = None
        alice.opens()
        made.applied(2)


@isolated()
def test_fault_24_state_of_an_older_agent_is_taken_up() -> None:
    with field() as made:
        alice = made.probe("alice")
        alice.opens()
        made.kill()
        age(made)
        made.portal.acknowledgements.clear()
        made.start()
        made.applied(1)
        assert alice.is_open()
        made.publish()
        made.applied(2)


@isolated()
def test_fault_24_state_of_a_newer_agent_is_refused_closed_with_a_word() -> None:
    with field() as made:
        alice = made.probe("alice")
        alice.opens()
        made.kill()
        path = made.state / "accepted.json"
        kept = path.read_bytes()
        path.write_bytes(newer(snapshot(1, of=policy())))
        older = made.start()
        assert older.wait(20) != 0
        assert "upgrade the agent" in made.said()
        alice.closes(60)
        # Nothing was lost by trying: the newer agent takes up its own again.
        path.write_bytes(kept)
        made.portal.acknowledgements.clear()
        made.start()
        made.applied(1)
        alice.opens()
